"""Conversion of ``model.keras`` to other formats, with TensorFlow and its converters. Runs in a Keras process.

The converters of LiteRT and ONNX start from one graph in which the weights are constants. This makes LiteRT's converter
fast, and ONNX's finds no captured tensors (with Keras's own ``Model.export`` it fails on those of Normalization).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.errors import HeadstartError, InputError, UnavailableError, field_name
from headstart.exporting.box_forms import LOCATION, SCORE
from headstart.exporting.formats import DETECTIONS, FORMATS, PROBABILITIES, Format
from headstart.exporting.onnx_order import put_in_order
from headstart.exporting.onnx_suppression import add_suppression
from headstart.exporting.runtimes import open_model, replay
from headstart.features.engines import last_error_line
from headstart.system import keras_compat
from headstart.system.extras import require

_OPSET = 17  # supported by ONNX Runtime 1.12 (2022) and later


class _Source(NamedTuple):
    """What is converted.

    Attributes:
        model: the Keras model.
        output: name of what it gives.
        card: metadata for the files: name -> text.
        images: for the calibration of int8, uint8 (n, h, w, 3); None if no format needs it.
    """

    model: Any
    output: str
    card: dict[str, str]
    images: np.ndarray | None


def convert(
    model: str,
    layers: list[str],
    formats: list[str],
    out: str,
    card: dict[str, str],
    calibration: str | None,
    output: str = PROBABILITIES,
) -> None:
    """Write the model of a run in other formats, each into its own folder in ``out``.

    Args:
        model: path of ``model.keras``.
        layers: names of headstart's own layers in it.
        formats: names of formats.
        out: folder to write into.
        card: metadata for the files: name -> text.
        calibration: ``.npy`` with images for the calibration of int8; None if no format needs it.
        output: name of what the model gives: ``probabilities`` or ``detections``.

    Raises:
        InputError: a converter does not support the model.
        UnavailableError: the disk is full, or a package is missing.
    """
    if "GraphLayer" in layers:
        from headstart.bases import graph_layer  # noqa: F401 - makes the layer known to Keras
    import keras

    keras_model = keras.models.load_model(model)
    _replace_grouped_convolutions(keras_model)
    images = np.load(calibration) if calibration else None
    source = _Source(keras_model, output, card, images)
    for target in map(FORMATS.__getitem__, formats):
        path = Path(out, target.folder, target.file)
        path.parent.mkdir()
        try:
            _WRITERS[target.kind](source, target, path)
        except HeadstartError:
            raise
        except OSError as exc:
            raise UnavailableError(
                f"{target.name}: {exc}. Free disk space, or set another folder with {field_name('out')}."
            ) from exc
        except Exception as exc:  # converters raise errors of many types
            raise InputError(
                f"{target.name}: the converter does not support this model: {last_error_line(str(exc))}"
            ) from exc


def _replace_grouped_convolutions(model: Any) -> None:
    """Compute grouped convolutions as depthwise ones, or group by group. Weights and results stay the same.

    Keras computes them with XLA on TensorFlow, and the converters cannot read compiled functions.
    """
    import keras

    for layer in keras_compat.all_layers(model):
        if type(layer) is keras.layers.Conv2D and layer.groups > 1:
            keras_compat.set_convolution(layer, partial(_convolve_in_groups, layer))


def _convolve_in_groups(layer: Any, inputs: Any, kernel: Any) -> Any:
    """The result of a layer's ``convolution_op``; the kernel is (h, w, c / groups, d)."""
    from keras import ops

    options = {
        "strides": layer.strides, "padding": layer.padding, "data_format": layer.data_format,
        "dilation_rate": layer.dilation_rate,
    }  # fmt: skip
    h, w, c, d = kernel.shape
    if c == 1:
        return ops.depthwise_conv(inputs, ops.reshape(kernel, (h, w, layer.groups, d // layer.groups)), **options)
    axis = 1 if layer.data_format == "channels_first" else -1
    groups = zip(ops.split(inputs, layer.groups, axis), ops.split(kernel, layer.groups, -1), strict=True)
    return ops.concatenate([ops.conv(part, part_kernel, **options) for part, part_kernel in groups], axis)


def replay_with_keras(models: dict[str, str], sample: str, out: str) -> dict[str, float]:
    """Replay a sample with models that Keras or TensorFlow runs, and write the values to ``KIND.npy``.

    Args:
        models: kind of format -> path of the model.
        sample: ``.npz`` with batches and single examples, see :func:`save_sample`.
        out: folder to write into.

    Returns:
        Kind of format -> milliseconds for one example by itself.
    """
    with np.load(sample) as saved:
        batches, singles = ([saved[name] for name in saved if name.startswith(kind)] for kind in ("batch", "single"))
    milliseconds = {}
    for kind, path in models.items():
        values, milliseconds[kind] = replay(open_model(kind, Path(path)), batches, singles)
        np.save(Path(out, f"{kind}.npy"), values)
    return milliseconds


def _frozen(model: Any, n: int | None, outputs: Callable[[Any], dict[str, Any]]) -> Any:
    """A concrete function from ``pixels`` or ``ids`` to named outputs, with the weights as constants.

    Args:
        model: the Keras model.
        n: number of examples per call; None for any number.
        outputs: name -> tensor, from what the model gives.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model_input = model.inputs[0]
    spec = tf.TensorSpec((n, *model_input.shape[1:]), model_input.dtype, name=model_input.name)

    def compute(x: Any) -> list[Any]:
        return [tf.identity(tensor, name) for name, tensor in outputs(model(x, training=False)).items()]

    function = tf.function(compute, input_signature=[spec])
    # Loops (of LSTMs) must not be lowered, because tf2onnx does not recognise lowered loops.
    return convert_variables_to_constants_v2(function.get_concrete_function(), lower_control_flow=False)


def _write_onnx(source: _Source, target: Format, path: Path) -> None:
    tf2onnx = require("tf2onnx", extra=target.extra, purpose=f"exporting to {target.name}")
    onnx = require("onnx", extra=target.extra, purpose=f"exporting to {target.name}")

    frozen = _frozen(source.model, None, lambda values: {source.output: values})
    input_name, output_name = frozen.inputs[0].name, frozen.outputs[0].name
    converted, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(), name="headstart", opset=_OPSET,
        input_names=[input_name], output_names=[output_name],
        tensors_to_rename={input_name: source.model.inputs[0].name, output_name: source.output},
        custom_op_handlers={"Erfc": (_erfc, [])},
    )  # fmt: skip
    for value in (converted.graph.input[0], converted.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    if target.suppresses_boxes:
        n_points, n_values = source.model.outputs[0].shape[1:]
        add_suppression(converted.graph, n_points, n_values - 4)
    put_in_order(converted.graph)
    onnx.helper.set_model_props(converted, source.card)
    onnx.checker.check_model(converted)
    path.write_bytes(converted.SerializeToString())


def _erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """Replace erfc(x) (in TensorFlow's GELU), which ONNX does not have, by 1 - erf(x)."""
    x, output = node.input[0], node.output[0]
    dtype, shape = graph.get_dtype(output), graph.get_shape(output)
    unit = graph.make_const(f"{name}_one", np.ones((), np.float32))
    graph.remove_node(name)
    erf = graph.make_node("Erf", [x])
    graph.make_node("Sub", [unit.output[0], erf.output[0]], outputs=[output], name=name, dtypes=[dtype], shapes=[shape])


def _write_litert(source: _Source, target: Format, path: Path) -> None:
    import tensorflow as tf

    from headstart.exporting.litert_metadata import with_metadata

    model = _with_float_input(source.model) if target.precision == "int8" else source.model
    has_boxes = source.output == DETECTIONS
    frozen = _frozen(model, 1, _location_and_score if has_boxes else lambda values: {source.output: values})
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if target.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if target.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if target.precision == "int8" and source.images is not None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = _calibration_examples(source.images)
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    path.write_bytes(with_metadata(converter.convert(), model.inputs[0].shape[1:], source.card))


def _location_and_score(values: Any) -> dict[str, Any]:
    """What MediaPipe's object detector takes, from boxes and scores; see :mod:`headstart.exporting.box_forms`."""
    import tensorflow as tf

    x1, y1, x2, y2 = tf.split(values[..., :4], 4, -1)
    location = tf.concat([(y1 + y2) / 2, (x1 + x2) / 2, y2 - y1, x2 - x1], -1)
    return {LOCATION: location, SCORE: values[..., 4:]}


def _with_float_input(model: Any) -> Any:
    """The same layers on a float input; TensorFlow quantises only float inputs."""
    import keras

    model_input = model.inputs[0]
    float_input = keras.Input(model_input.shape[1:], dtype="float32", name=model_input.name)
    return keras.models.clone_model(model, input_tensors=float_input, clone_function=lambda layer: layer)


def _calibration_examples(images: np.ndarray) -> Callable[[], Iterator[list[np.ndarray]]]:
    """Images one by one. A black and a white pixel in the first make the quantised input equal to the pixels."""
    floats = images.astype(np.float32)
    floats[0, 0, 0], floats[0, 0, 1] = 0, 255
    return lambda: ([image[np.newaxis]] for image in floats)


def _write_saved_model(source: _Source, _: Format, path: Path) -> None:
    """Write with TensorFlow, because Keras's ``Model.export`` writes every weight twice."""
    import tensorflow as tf

    model = source.model
    model_input = model.inputs[0]
    spec = tf.TensorSpec(model_input.shape, model_input.dtype, name=model_input.name)
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    signature = tf.function(lambda x: {source.output: module.serve(x)}, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures=signature)
    extra = path / "assets.extra"  # the folder of TensorFlow for additional files of a model
    extra.mkdir()
    for name, text in source.card.items():
        (extra / f"{name}.{'json' if text.startswith('{') else 'txt'}").write_text(text, encoding="utf-8")


_WRITERS: dict[str, Callable[..., None]] = {
    "onnx": _write_onnx, "litert": _write_litert, "saved-model": _write_saved_model
}  # fmt: skip


def save_sample(path: Path, batches: list[np.ndarray], singles: list[np.ndarray]) -> None:
    """Write the file that :func:`replay_with_keras` reads."""
    arrays = {f"batch{i:04}": array for i, array in enumerate(batches)}
    arrays |= {f"single{i:04}": array for i, array in enumerate(singles)}
    np.savez(path, **arrays)  # type: ignore[arg-type]
