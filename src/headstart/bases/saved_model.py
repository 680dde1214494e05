"""The source ``tfhub:``: SavedModels that give features of images, from TF Hub or a local folder.

The package ``tensorflow_hub`` is not needed, and could not be used: it no longer imports beside current setuptools, and
Keras 3 refuses its layer. A module is read once by TensorFlow itself; its graph and weights then are a Keras layer of
their own (:mod:`headstart.bases.graph_layer`), which a run saves like any other.

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
from headstart.bases.download import fetch_archive
from headstart.bases.handle import parse_handle
from headstart.bases.reading import read_once
from headstart.errors import InputError
from headstart.system import keras_worker
from headstart.system.settings import cache_folder

UNIT_RANGE = Preprocessing("[0, 1]", 1 / 255)
"""What modules of TF Hub take: https://www.tensorflow.org/hub/common_signatures/images"""

_BUILT_IN = Preprocessing("built in")
_SCALES = (255.0, 127.5, 1 / 255, 1 / 127.5, 128.0, 1 / 128)
_BEFORE_KERNELS = {
    "Mul", "RealDiv", "Sub", "AddV2", "Add", "Div", "BiasAdd", "Identity", "Cast", "Pad", "PadV2", "Reshape",
    "Transpose",
}  # fmt: skip
_LARGE = 16  # a constant of more numbers is a weight of the layer


def names() -> list[str]:
    """Names that follow ``tfhub:``: any address or folder, so there are none to list."""
    return []


def load(spec: BaseSpec) -> ImageBase:
    """Give a SavedModel as a base.

    Raises:
        InputError: no SavedModel, one that does not take images, or a size that it cannot take.
        UnavailableError: it is not here and cannot be fetched, or TensorFlow is not installed.
    """
    refuse_weights(spec)
    if spec.folder:
        return from_folder(Path(spec.folder), spec)
    folder = _folder(parse_handle(spec.handle).name)
    return from_folder(folder, spec if "://" in spec.handle else replace(spec, handle=f"tfhub:{folder}"))


def from_folder(folder: Path, spec: BaseSpec) -> ImageBase:
    """A SavedModel in a local folder as a base; ``spec`` says what it is called."""
    if not (folder / "saved_model.pb").is_file():
        raise InputError(f"{folder} is not a SavedModel: expected a folder with saved_model.pb in it.")
    digest = files_sha256(_files(folder))
    read = cache_folder() / "saved-models" / digest[:32]
    with_tensorflow = partial(keras_worker.with_tensorflow, spec.handle)
    facts = read_once(read, "headstart.bases.saved_model:read_module", folder, spec.handle, with_tensorflow)
    size = _size(spec, facts["input_size"])
    return ImageBase(
        spec=spec,
        input_size=size,
        preprocessing=_BUILT_IN if facts["scales_itself"] else UNIT_RANGE,
        build=partial(_build, read, size),
        weights_path=folder / "saved_model.pb",
        weights_sha256=digest,
        files={path.relative_to(folder).as_posix(): path for path in _files(folder)},
        feature_dim=facts["feature_dim"],
        frozen_because=facts["frozen"],
        backends=("tensorflow",),
        licence="see the module's page",
    )


def _folder(name: str) -> Path:
    if "://" not in name:
        return Path(os.path.abspath(Path(name).expanduser()))
    # Where tensorflow_hub keeps it, so that the two share their downloads.
    cache = Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir(), "tfhub_modules")).expanduser()
    folder = cache / hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    if not (folder / "saved_model.pb").is_file():
        separator = "&" if "?" in name else "?"
        fetch_archive(f"{name}{separator}tf-hub-format=compressed", folder, f"tfhub:{name}")
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted([folder / "saved_model.pb", *folder.glob("variables/*"), *folder.glob("assets/*")])


def _size(spec: BaseSpec, own: list[int | None]) -> tuple[int, int]:
    asked = spec.input_size
    if None in own:
        if asked is None:
            raise InputError(
                f"{spec.handle} takes images of any size, so say which: add --input-size, for instance 224."
            )
        return asked
    if asked is not None and list(asked) != own:
        raise InputError(
            f"input size {asked[0]}x{asked[1]} cannot be used with {spec.handle}: it takes {own[0]}x{own[1]}."
        )
    return int(own[0] or 0), int(own[1] or 0)


def _build(read: Path, size: tuple[int, int], include_top: bool) -> Any:
    import keras

    from headstart.bases.graph_layer import GraphLayer

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("a module keeps the channel order it was made with, which is channels last")
    facts = json.loads((read / "facts.json").read_text())
    layer = GraphLayer(
        (read / "graph.txt").read_text(), facts["takes"], facts["gives"], facts["constants"], name="module"
    )
    inputs = keras.Input((*size, 3))
    network = keras.Model(inputs, layer(inputs), name="module_network")
    with np.load(read / "weights.npz") as weights:
        layer.set_weights([weights[f"w{i}"] for i in range(len(facts["constants"]))])
    return network


def read_module(folder: str, out: str, name: str) -> None:
    """Write what :func:`_build` needs of a module: its frozen graph, its weights and facts. In a TensorFlow process.

    Raises:
        InputError: it does not take images, or has operations that a base must not have.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from headstart.bases.graph_layer import read_graph, write_graph

    module, function, spec, is_tf2 = _open(folder, name)
    if hasattr(function, "structured_outputs"):  # a signature is frozen itself: wrapped, it would stay a call
        concrete, outputs = function, function.structured_outputs
    else:
        concrete = tf.function(function).get_concrete_function(
            tf.TensorSpec([None, *spec.shape[1:]], tf.float32, name="pixels")
        )
        outputs = concrete.structured_outputs
    place = _place_of_features(outputs, name)
    variables = getattr(module, "trainable_variables", None) or concrete.graph.trainable_variables
    trainable = {_content(variable.numpy()) for variable in variables} if is_tf2 else set()
    frozen = convert_variables_to_constants_v2(concrete)
    graph, weights, constants = frozen.graph.as_graph_def(), [], []
    scales_itself = _scales_itself(graph)
    for node in graph.node:
        if node.op != "Const":
            continue
        value = tf.make_ndarray(node.attr["value"].tensor)
        if value.dtype != np.float32 or value.size < _LARGE:
            continue
        constants.append((node.name, list(value.shape), _content(value) in trainable))
        weights.append(value)
        node.op = "Placeholder"
        del node.attr["value"]
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    text = write_graph(graph)
    read_graph(text)  # refuses what must not be in it
    features = frozen.outputs[place]
    facts = {
        "takes": frozen.inputs[0].name,
        "gives": features.name,
        "constants": constants,
        "input_size": [spec.shape[1], spec.shape[2]],
        "feature_dim": features.shape[-1],
        "scales_itself": scales_itself,
        "frozen": "" if any(can for _, _, can in constants) else "nothing in this module can be trained",
    }
    arrays: dict[str, Any] = {f"w{i}": value for i, value in enumerate(weights)}
    np.savez(Path(out, "weights.npz"), **arrays)
    Path(out, "graph.txt").write_text(text)
    Path(out, "facts.json").write_text(json.dumps(facts))


def _content(value: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest()


def _open(folder: str, name: str) -> tuple[Any, Any, Any, bool]:
    """The module, what to call for features, its input as a TensorSpec, and whether it is in TF2's format."""
    import tensorflow as tf

    try:
        try:
            module = tf.saved_model.load(folder)
        except ValueError:  # modules of TF1 have no tags, which has to be said
            module = tf.saved_model.load(folder, tags=[])
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as exc:
        raise InputError(f"TensorFlow cannot open {name} ({' '.join(str(exc).split())[:300]}).") from exc
    if callable(module):
        concretes = module.__call__.concrete_functions
        spec = _image_input(concretes, name)
        has_mode = any("training" in concrete.structured_input_signature[1] for concrete in concretes) or any(
            isinstance(value, bool) for concrete in concretes for value in concrete.structured_input_signature[0]
        )
        return module, partial(module, training=False) if has_mode else module, spec, True
    for wanted in ("default", "serving_default", "serve", "image_feature_vector"):
        if wanted in module.signatures:
            function = module.signatures[wanted]
            return module, function, _image_input([function], name), wanted != "default"
    known = ", ".join(module.signatures) or "none"
    raise InputError(f"{name} has no signature that gives features: it has {known}.")


def _image_input(concretes: list[Any], name: str) -> Any:
    """The input that takes images, as a TensorSpec of shape (n, h, w, 3)."""
    import tensorflow as tf

    found: list[Any] = []
    for concrete in concretes:
        specs = [one for one in tf.nest.flatten(concrete.structured_input_signature) if isinstance(one, tf.TensorSpec)]
        images = [one for one in specs if one.shape.rank == 4 and one.shape[-1] == 3]
        if len(specs) == 1 and images:
            return images[0]
        found += specs
    shapes = ", ".join(str(tuple(one.shape)) for one in found[:3]) or "nothing"
    raise InputError(f"{name} takes inputs of shape {shapes}: expected one of images, (n, height, width, 3).")


def _place_of_features(outputs: Any, name: str) -> int:
    """Which of the tensors that a module gives, in TensorFlow's order, is the feature vector."""
    import tensorflow as tf

    flat = tf.nest.flatten(outputs)
    has_default = isinstance(outputs, dict) and "default" in outputs
    place = sorted(outputs).index("default") if has_default else 0
    if not (has_default or len(flat) == 1) or flat[place].shape.rank not in (2, 4):
        shapes = ", ".join(str(tuple(one.shape)) for one in flat[:4])
        raise InputError(
            f"{name} gives {shapes or 'nothing'}: expected one tensor of features, (n, d) or (n, h, w, c)."
        )
    return place


def _scales_itself(graph: Any) -> bool:
    """Whether the graph, before its first kernel, divides pixels by 255 or the like: then it takes them as they are."""
    import tensorflow as tf

    constants = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"}
    reached = {node.name for node in graph.node if node.op == "Placeholder"}
    for node in graph.node:  # in the order of computing
        sources = [source.partition(":")[0] for source in node.input]
        if node.op not in _BEFORE_KERNELS or reached.isdisjoint(sources):
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
