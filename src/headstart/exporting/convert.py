"""``model.keras`` in other formats, by TensorFlow and its converters. Runs in a Keras process.

The model's weights become constants of one graph, from which both converters start: LiteRT's is quick then, and ONNX's
meets no captured tensors (through Keras's own ``Model.export`` it fails on those of Normalization).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import HeadstartError, InputError, UnavailableError
from headstart.exporting.formats import FORMATS, Format
from headstart.exporting.runtimes import open_model, replay
from headstart.features.engines import last_error_line
from headstart.system import keras_compat
from headstart.system.extras import require

_OPSET = 17  # every ONNX Runtime since 1.12 (2022) knows it


def convert(
    model: str, layers: list[str], formats: list[str], out: str, card: dict[str, str], calibration: str | None
) -> None:
    """Write a run's model in some formats, each into a folder of its own in ``out``.

    Args:
        model: the ``model.keras``.
        layers: which of headstart's own layers are in it.
        formats: names of formats.
        out: folder.
        card: what goes into the files' metadata: name -> text.
        calibration: ``.npy`` with pictures to quantise by, where that is asked for.

    Raises:
        InputError: a converter cannot express the model.
        UnavailableError: there is no room, or a package is missing.
    """
    if "GraphLayer" in layers:
        from headstart.bases import graph_layer  # noqa: F401 - makes the layer known to Keras
    import keras

    opened = keras.models.load_model(model)
    _divide_groups(opened)
    pictures = np.load(calibration) if calibration else None
    for one in map(FORMATS.__getitem__, formats):
        path = Path(out, one.folder, one.file)
        path.parent.mkdir()
        try:
            _WRITERS[one.kind](opened, one, path, card, pictures)
        except HeadstartError:
            raise
        except OSError as exc:
            raise UnavailableError(f"{one.name}: {exc}. Make room, or choose another folder (--out).") from exc
        except Exception as exc:  # converters fail in any way they like
            raise InputError(
                f"{one.name}: the converter cannot express this model: {last_error_line(str(exc))}"
            ) from exc


def _divide_groups(model: Any) -> None:
    """Let convolutions in groups compute as depthwise ones, or group by group; weights and values stay as they are.

    Keras has TensorFlow compile them by XLA, and what is compiled no converter can look into.
    """
    import keras

    for layer in keras_compat.all_layers(model):
        if type(layer) is keras.layers.Conv2D and layer.groups > 1:
            keras_compat.set_convolution(layer, partial(_in_groups, layer))


def _in_groups(layer: Any, inputs: Any, kernel: Any) -> Any:
    """What the ``convolution_op`` of a layer gives: its kernel is (h, w, c / groups, d)."""
    from keras import ops

    options = {
        "strides": layer.strides, "padding": layer.padding, "data_format": layer.data_format,
        "dilation_rate": layer.dilation_rate,
    }  # fmt: skip
    h, w, c, d = kernel.shape
    if c == 1:
        return ops.depthwise_conv(inputs, ops.reshape(kernel, (h, w, layer.groups, d // layer.groups)), **options)
    axis = 1 if layer.data_format == "channels_first" else -1
    parts = zip(ops.split(inputs, layer.groups, axis), ops.split(kernel, layer.groups, -1), strict=True)
    return ops.concatenate([ops.conv(part, its, **options) for part, its in parts], axis)


def replay_here(models: dict[str, str], sample: str, out: str) -> dict[str, float]:
    """Replay a sample through models that Keras or TensorFlow runs, and write ``KIND.npy`` with the probabilities.

    Args:
        models: kind of format -> path of the model.
        sample: ``.npz`` with the batches and singles, see :func:`save_sample`.
        out: folder to write into.

    Returns:
        Kind of format -> milliseconds for one example by itself.
    """
    with np.load(sample) as saved:
        batches, singles = ([saved[name] for name in saved if name.startswith(part)] for part in ("batch", "single"))
    taken = {}
    for kind, path in models.items():
        probabilities, taken[kind] = replay(open_model(kind, Path(path)), batches, singles)
        np.save(Path(out, f"{kind}.npy"), probabilities)
    return taken


def _frozen(model: Any, n: int | None, dtype: str | None = None) -> Any:
    """A concrete function from ``pixels`` or ``ids`` to ``probabilities``, its weights constants.

    Args:
        model: the Keras model.
        n: how many examples it takes at a time; None for any number.
        dtype: of its input, where that is not the model's own.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    given = model.inputs[0]
    spec = tf.TensorSpec((n, *given.shape[1:]), dtype or given.dtype, name=given.name)
    function = tf.function(lambda x: tf.identity(model(x, training=False), "probabilities"), input_signature=[spec])
    # Loops (of LSTMs) stay whole: taken apart, tf2onnx does not know them again.
    return convert_variables_to_constants_v2(function.get_concrete_function(), lower_control_flow=False)


def _write_onnx(model: Any, one: Format, path: Path, card: dict[str, str], _: Any) -> None:
    tf2onnx = require("tf2onnx", extra=one.extra, purpose=f"exporting to {one.name}")
    onnx = require("onnx", extra=one.extra, purpose=f"exporting to {one.name}")

    frozen = _frozen(model, None)
    takes, gives = frozen.inputs[0].name, frozen.outputs[0].name
    converted, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(), name="headstart", input_names=[takes], output_names=[gives], opset=_OPSET,
        tensors_to_rename={takes: model.inputs[0].name, gives: "probabilities"},
        custom_op_handlers={"Erfc": (_erfc, [])},
    )  # fmt: skip
    for value in (converted.graph.input[0], converted.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.helper.set_model_props(converted, card)
    onnx.checker.check_model(converted)
    path.write_bytes(converted.SerializeToString())


def _erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """TensorFlow's GELU, in ONNX, which has no erfc: 1 - erf(x)."""
    taken, given = node.input[0], node.output[0]
    dtype, shape = graph.get_dtype(given), graph.get_shape(given)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    graph.remove_node(name)
    erf = graph.make_node("Erf", [taken])
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[given], name=name, dtypes=[dtype], shapes=[shape])


def _write_litert(model: Any, one: Format, path: Path, card: dict[str, str], pictures: np.ndarray | None) -> None:
    import tensorflow as tf

    from headstart.exporting.litert_metadata import with_metadata

    if one.precision == "int8":
        model = _taking_floats(model)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_frozen(model, 1)])
    if one.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if one.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if one.precision == "int8" and pictures is not None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = _examples(pictures)
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    path.write_bytes(with_metadata(converter.convert(), model.inputs[0].shape[1:], card))


def _taking_floats(model: Any) -> Any:
    """The same model, layers and all, on an input of floats: only such an input is quantised itself."""
    import keras

    given = model.inputs[0]
    floats = keras.Input(given.shape[1:], dtype="float32", name=given.name)
    return keras.models.clone_model(model, input_tensors=floats, clone_function=lambda layer: layer)


def _examples(pictures: np.ndarray) -> Callable[[], Iterator[list[np.ndarray]]]:
    """Pictures one by one. The first has a black and a white pixel: so 8 bits of the input are pixels as they are."""
    floats = pictures.astype(np.float32)
    floats[0, 0, 0], floats[0, 0, 1] = 0, 255
    return lambda: ([picture[np.newaxis]] for picture in floats)


def _write_saved_model(model: Any, one: Format, path: Path, card: dict[str, str], _: Any) -> None:
    """By TensorFlow: Keras's ``Model.export`` writes every weight twice."""
    import tensorflow as tf

    given = model.inputs[0]
    spec = tf.TensorSpec(given.shape, given.dtype, name=given.name)
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    named = tf.function(lambda x: {"probabilities": module.serve(x)}, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures=named)
    extra = path / "assets.extra"  # TensorFlow's own place for what belongs to a model
    extra.mkdir()
    for name, text in card.items():
        (extra / f"{name}.{'json' if text.startswith('{') else 'txt'}").write_text(text, encoding="utf-8")


_WRITERS: dict[str, Callable[..., None]] = {
    "onnx": _write_onnx, "litert": _write_litert, "saved-model": _write_saved_model
}  # fmt: skip


def save_sample(path: Path, batches: list[np.ndarray], singles: list[np.ndarray]) -> None:
    """Write what :func:`replay_here` reads."""
    named = {f"batch{i:04}": array for i, array in enumerate(batches)}
    named |= {f"single{i:04}": array for i, array in enumerate(singles)}
    np.savez(path, **named)  # type: ignore[arg-type]
