"""The source ``tfhub:``: SavedModels that compute features of images, from TF Hub or a local folder.

The package ``tensorflow_hub`` is not needed and could not be used: it cannot be imported with current setuptools, and
Keras 3 refuses its layer. TensorFlow reads a module once; its graph and weights become a Keras layer
(:mod:`headstart.bases.graph_layer`), which a run saves like any other layer.

Modules in TF2's format can be fine-tuned as a whole; those of TF1 stay frozen.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import BaseSpec, ImageBase, Preprocessing, files_sha256, refuse_weights
from headstart.bases.cached_facts import cached_facts
from headstart.bases.download import fetch_archive
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, field_name, one_line
from headstart.system import keras_worker
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder

UNIT_RANGE = Preprocessing("[0, 1]", 1 / 255)
"""The input range of TF Hub's modules: https://www.tensorflow.org/hub/common_signatures/images"""

_BUILT_IN = Preprocessing("built in")
_SCALES = (255.0, 127.5, 1 / 255, 1 / 127.5, 128.0, 1 / 128)
_OPERATIONS_BEFORE_KERNELS = {
    "Mul", "RealDiv", "Sub", "AddV2", "Add", "Div", "BiasAdd", "Identity", "Cast", "Pad", "PadV2", "Reshape",
    "Transpose",
}  # fmt: skip
_MIN_WEIGHT_VALUES = 16  # constants with fewer values stay in the graph; larger ones become weights of the layer


def names() -> list[str]:
    """Names for ``tfhub:``: an empty list, because every address or folder is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> ImageBase:
    """Load a SavedModel.

    Raises:
        InputError: not a SavedModel, a model whose input is not an image, or a size that it does not accept.
        UnavailableError: it is not on this machine and cannot be downloaded, or TensorFlow is not installed.
    """
    refuse_weights(spec)
    if spec.folder:
        return from_folder(Path(spec.folder), spec)
    folder = _find_folder(parse_handle(spec.handle).name, progress)
    return from_folder(folder, spec if "://" in spec.handle else replace(spec, handle=f"tfhub:{folder}"))


def from_folder(folder: Path, spec: BaseSpec) -> ImageBase:
    """Load a SavedModel from a local folder as the base of a spec."""
    if not (folder / "saved_model.pb").is_file():
        raise InputError(f"{folder} is not a SavedModel: expected a folder with saved_model.pb in it.")
    digest = files_sha256(_files(folder))
    cached = cache_folder() / "saved-models" / digest[:32]
    choose_backend = partial(keras_worker.with_tensorflow, spec.handle)
    facts = cached_facts(cached, "headstart.bases.saved_model:read_module", folder, spec.handle, choose_backend)
    size = _size(spec, facts["input_size"])
    return ImageBase(
        spec=spec,
        input_size=size,
        preprocessing=_BUILT_IN if facts["scales_itself"] else UNIT_RANGE,
        build=partial(_build, cached, size),
        weights_path=folder / "saved_model.pb",
        weights_sha256=digest,
        files={path.relative_to(folder).as_posix(): path for path in _files(folder)},
        feature_dim=facts["feature_dim"],
        frozen_reason=facts["frozen"],
        backends=("tensorflow",),
        licence="see the module's page",
    )


def _find_folder(name: str, progress: Progress) -> Path:
    if "://" not in name:
        return Path(os.path.abspath(Path(name).expanduser()))
    # The cache of tensorflow_hub, so that the two share their downloads.
    cache = Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir(), "tfhub_modules")).expanduser()
    folder = cache / hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    if not (folder / "saved_model.pb").is_file():
        separator = "&" if "?" in name else "?"
        fetch_archive(f"{name}{separator}tf-hub-format=compressed", folder, f"tfhub:{name}", progress)
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted([folder / "saved_model.pb", *folder.glob("variables/*"), *folder.glob("assets/*")])


def _size(spec: BaseSpec, fixed: list[int | None]) -> tuple[int, int]:
    size = spec.input_size
    if None in fixed:
        if size is None:
            raise InputError(
                f"{spec.handle} takes images of any size: set {field_name('input_size', 224)}, for example."
            )
        return size
    if size is not None and list(size) != fixed:
        raise InputError(
            f"{size[0]}x{size[1]} cannot be used with {spec.handle}: expected {fixed[0]}x{fixed[1]}.",
            field="input_size",
        )
    return int(fixed[0] or 0), int(fixed[1] or 0)


def _build(cached: Path, size: tuple[int, int], include_top: bool) -> Any:
    import keras

    from headstart.bases.graph_layer import GraphLayer

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("a module can only be used with the channel order it was built with, channels last")
    facts = json.loads((cached / "facts.json").read_text())
    layer = GraphLayer(
        (cached / "graph.txt").read_text(), facts["takes"], facts["gives"], facts["constants"], name="module"
    )
    inputs = keras.Input((*size, 3))
    network = keras.Model(inputs, layer(inputs), name="module_network")
    with np.load(cached / "weights.npz") as weights:
        layer.set_weights([weights[f"w{i}"] for i in range(len(facts["constants"]))])
    return network


def read_module(folder: str, out: str, name: str) -> None:
    """Write a module for :func:`_build`: its frozen graph, its weights and facts. Runs in a TensorFlow process.

    Raises:
        InputError: its input is not an image, or it has operations that are not allowed in a base.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from headstart.bases.graph_layer import read_graph, write_graph

    module, function, spec, is_tf2 = _open(folder, name)
    if hasattr(function, "structured_outputs"):  # a signature is frozen directly: a wrapper would only call it
        concrete, outputs = function, function.structured_outputs
    else:
        concrete = tf.function(function).get_concrete_function(
            tf.TensorSpec([None, *spec.shape[1:]], tf.float32, name="pixels")
        )
        outputs = concrete.structured_outputs
    feature_index = _feature_index(outputs, name)
    variables = getattr(module, "trainable_variables", None) or concrete.graph.trainable_variables
    trainable = {_content(variable.numpy()) for variable in variables} if is_tf2 else set()
    frozen = convert_variables_to_constants_v2(concrete)
    graph, weights, constants = frozen.graph.as_graph_def(), [], []
    scales_itself = _scales_itself(graph)
    for node in graph.node:
        if node.op != "Const":
            continue
        value = tf.make_ndarray(node.attr["value"].tensor)
        if value.dtype != np.float32 or value.size < _MIN_WEIGHT_VALUES:
            continue
        constants.append((node.name, list(value.shape), _content(value) in trainable))
        weights.append(value)
        node.op = "Placeholder"
        del node.attr["value"]
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    text = write_graph(graph)
    read_graph(text)  # checks its operations
    features = frozen.outputs[feature_index]
    facts = {
        "takes": frozen.inputs[0].name,
        "gives": features.name,
        "constants": constants,
        "input_size": [spec.shape[1], spec.shape[2]],
        "feature_dim": features.shape[-1],
        "scales_itself": scales_itself,
        "frozen": "" if any(is_trainable for *_, is_trainable in constants) else "the module has no trainable weights",
    }
    arrays: dict[str, Any] = {f"w{i}": value for i, value in enumerate(weights)}
    np.savez(Path(out, "weights.npz"), **arrays)
    Path(out, "graph.txt").write_text(text)
    Path(out, "facts.json").write_text(json.dumps(facts))


def _content(value: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest()


def _open(folder: str, name: str) -> tuple[Any, Any, Any, bool]:
    """The module, the function that returns features, its input as a TensorSpec, and whether it is in TF2's format."""
    import tensorflow as tf

    try:
        try:
            module = tf.saved_model.load(folder)
        except ValueError:  # modules of TF1 have no tags
            module = tf.saved_model.load(folder, tags=[])
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as exc:
        raise InputError(f"TensorFlow cannot open {name} ({one_line(str(exc))}).") from exc
    if callable(module):
        concretes = module.__call__.concrete_functions
        spec = _image_input(concretes, name)
        has_mode = any("training" in concrete.structured_input_signature[1] for concrete in concretes) or any(
            isinstance(value, bool) for concrete in concretes for value in concrete.structured_input_signature[0]
        )
        return module, partial(module, training=False) if has_mode else module, spec, True
    expected = ("default", "serving_default", "serve", "image_feature_vector")
    for signature in expected:
        if signature in module.signatures:
            function = module.signatures[signature]
            return module, function, _image_input([function], name), signature != "default"
    signatures = ", ".join(module.signatures) or "none"
    raise InputError(f"{name} has the signatures {signatures}: expected one of {', '.join(expected)}.")


def _image_input(concretes: list[Any], name: str) -> Any:
    """The input that takes images, as a TensorSpec of shape (n, h, w, 3)."""
    import tensorflow as tf

    all_specs: list[Any] = []
    for concrete in concretes:
        flat = tf.nest.flatten(concrete.structured_input_signature)
        specs = [spec for spec in flat if isinstance(spec, tf.TensorSpec)]
        image_specs = [spec for spec in specs if spec.shape.rank == 4 and spec.shape[-1] == 3]
        if len(specs) == 1 and image_specs:
            return image_specs[0]
        all_specs += specs
    shapes = ", ".join(str(tuple(spec.shape)) for spec in all_specs[:3]) or "none"
    raise InputError(f"{name} has inputs of shape {shapes}: expected one input of images, (n, height, width, 3).")


def _feature_index(outputs: Any, name: str) -> int:
    """The index of the feature vector among a module's output tensors, in TensorFlow's order."""
    import tensorflow as tf

    flat = tf.nest.flatten(outputs)
    has_default = isinstance(outputs, dict) and "default" in outputs
    index = sorted(outputs).index("default") if has_default else 0
    if not (has_default or len(flat) == 1) or flat[index].shape.rank not in (2, 4):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in flat[:4])
        raise InputError(
            f"{name} has outputs of shape {shapes or 'none'}: expected one tensor of features, (n, d) or (n, h, w, c)."
        )
    return index


def _scales_itself(graph: Any) -> bool:
    """Whether the graph scales pixels before its first kernel, for example by 1/255; then it takes raw pixels."""
    import tensorflow as tf

    constants = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"}
    reached = {node.name for node in graph.node if node.op == "Placeholder"}
    for node in graph.node:  # in execution order
        sources = [source.partition(":")[0] for source in node.input]
        if node.op not in _OPERATIONS_BEFORE_KERNELS or reached.isdisjoint(sources):
            continue
        reached.add(node.name)
        for value in (constants[source] for source in sources if source in constants):
            if (
                value.size
                and value.dtype.kind == "f"
                and any(np.allclose(abs(value), scale, 1e-3) for scale in _SCALES)
            ):
                return True
    return False
