"""Read a SavedModel in a TensorFlow process: its frozen graph up to the features, its weights, and facts about both.

Where a weight belongs is decided by identity: the variable whose handle a function has captured feeds the placeholder
of that capture. The orders of variables in TensorFlow's and Keras's lists differ.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.bases import saved_model_top
from headstart.errors import InputError, one_line

_SCALES = (255.0, 127.5, 128.0)  # that a range of pixels is divided by
_LARGEST_UNIT_OFFSET = 3.0  # what is added to pixels from 0 to 1, scaled by at most 2, is smaller
_ADDITIONS, _MULTIPLICATIONS = ("Sub", "AddV2", "Add", "BiasAdd"), ("Mul", "RealDiv", "Div")
_OPERATIONS_BEFORE_KERNELS = {
    "Mul", "RealDiv", "Sub", "AddV2", "Add", "Div", "BiasAdd", "Identity", "Cast", "Pad", "PadV2", "Reshape",
    "Transpose",
}  # fmt: skip
_MIN_CONSTANT_VALUES = 16  # of a constant that is no variable; smaller ones stay in the graph
_FEATURES = (
    "default", "feature_vector", "features", "image_features", "embedding", "embeddings", "image_embedding",
    "image_embeddings", "pooled_output", "pooler_output", "pre_logits", "avg_pool", "global_pool", "representation",
)  # fmt: skip
"""Names of the output that holds features; the first is TF Hub's convention."""

_SIGNATURES = ("image_feature_vector", *_FEATURES[1:], "embed", "default", "serving_default", "serve")

_STATISTICS = ("moving_mean", "moving_variance")
_OF_BATCH_NORM = (*_STATISTICS, "gamma", "beta", "scale", "offset")  # variables without a scope stand beside others


class _Opened(NamedTuple):
    """A module: the function that computes, its input, and the variables that can be trained."""

    function: Any
    spec: Any
    trainable: list[Any] | None  # None: as the variables say themselves
    module: Any  # keeps the variables alive


def read_module(folder: str, out: str, name: str) -> None:
    """Write a module as the source ``tfhub:`` builds it: ``graph.txt``, ``weights.npz`` and ``facts.json``.

    Args:
        folder: of the SavedModel.
        out: folder to write to.
        name: of the module, for messages.

    Raises:
        InputError: its input is not an image, it has operations that are not allowed in a base, or it is a classifier
            whose top cannot be removed.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from headstart.bases.graph_layer import read_graph, write_graph

    opened = _open(folder, name)
    concrete = _concrete(opened, name)
    index, output_name = _feature_output(concrete.structured_outputs, name)
    try:
        frozen = convert_variables_to_constants_v2(concrete)
    except ValueError as exc:  # it updates variables in the branch of a condition, also if that is never taken
        raise InputError(f"TensorFlow cannot freeze the variables of {name} ({one_line(str(exc))}).") from exc
    features = saved_model_top.features(frozen, index, output_name, Path(folder), name)
    graph = frozen.graph.as_graph_def()
    _prune(graph, features.op.name)
    takes = frozen.inputs[0]
    if not any(node.name == takes.op.name for node in graph.node):
        raise InputError(f"{name}: its output does not depend on the image.")
    scales_itself = _scales_itself(graph) or opened.spec.dtype.is_integer
    constants, weights = _take_weights(graph, _variables(concrete, opened.trainable))
    text = write_graph(graph)
    read_graph(text)  # checks its operations
    facts = {
        "takes": takes.name,
        "gives": features.name,
        "constants": constants,
        "input_size": [opened.spec.shape[1], opened.spec.shape[2]],
        "feature_dim": features.shape[-1],
        "scales_itself": scales_itself,
        "frozen": "" if any(is_trainable for *_, is_trainable in constants) else "the module has no trainable weights",
    }
    arrays: dict[str, Any] = {f"w{i}": value for i, value in enumerate(weights)}
    np.savez(Path(out, "weights.npz"), **arrays)
    Path(out, "graph.txt").write_text(text)
    Path(out, "facts.json").write_text(json.dumps(facts))


def _prune(graph: Any, output: str) -> None:
    """Remove what an operation of a frozen graph does not depend on.

    Its control inputs are removed as well: they order reads of variables, of which none are left.
    """
    sources: dict[str, list[str]] = {}
    for node in graph.node:
        inputs = [source for source in node.input if not source.startswith("^")]
        del node.input[:]
        node.input.extend(inputs)
        sources[node.name] = [source.partition(":")[0] for source in inputs]
    needed_nodes, pending = set(), [output]
    while pending:
        name = pending.pop()
        if name not in needed_nodes:
            needed_nodes.add(name)
            pending += sources[name]
    nodes = [node for node in graph.node if node.name in needed_nodes]
    del graph.node[:]
    graph.node.extend(nodes)


def _variables(concrete: Any, trainable: Sequence[Any] | None) -> dict[str, bool]:
    """Placeholder in a function's graph -> whether the variable that feeds it is trained.

    BatchNormalization stays frozen, as in every base: also its scale and offset, which stand beside its statistics.
    """
    variables = {id(variable.handle): variable for variable in concrete.graph.variables}
    trained = {
        id(variable.handle) for variable in (concrete.graph.trainable_variables if trainable is None else trainable)
    }
    with_statistics = {
        scope for scope, _, kind in (_parts(variable) for variable in variables.values()) if kind in _STATISTICS
    }
    frozen = {
        key
        for key, (scope, _, kind) in ((key, _parts(variable)) for key, variable in variables.items())
        if scope in with_statistics and kind in _OF_BATCH_NORM
    }
    return {
        placeholder.op.name: id(handle) in trained - frozen
        for handle, placeholder in concrete.graph.captures
        if id(handle) in variables
    }


def _parts(variable: Any) -> tuple[str, str, str]:
    return variable.name.partition(":")[0].rpartition("/")


def _take_weights(graph: Any, variables: dict[str, bool]) -> tuple[list[tuple[str, list[int], bool]], list[np.ndarray]]:
    """Turn the weights among a graph's constants into placeholders; what they are, and their values."""
    import tensorflow as tf

    constants, weights = [], []
    for node in graph.node:
        if node.op != "Const":
            continue
        value = tf.make_ndarray(node.attr["value"].tensor)
        if value.dtype != np.float32 or (value.size < _MIN_CONSTANT_VALUES and node.name not in variables):
            continue
        constants.append((node.name, list(value.shape), variables.get(node.name, False)))
        weights.append(value)
        node.op = "Placeholder"
        del node.attr["value"]
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    return constants, weights


def _load(folder: str) -> tuple[Any, bool]:
    """The module, and whether it is in TF1's format: then without tags, or with those for serving, not for training."""
    import tensorflow as tf
    from tensorflow.python.saved_model import loader_impl

    graphs = loader_impl.parse_saved_model(folder).meta_graphs
    if len(graphs) == 1 and graphs[0].HasField("object_graph_def"):
        return tf.saved_model.load(folder), False
    choices = [list(graph.meta_info_def.tags) for graph in graphs]
    tags = next((tags for tags in ([], ["serve"]) if tags in choices), choices[0])
    return tf.saved_model.load(folder, tags=tags), True


def _open(folder: str, name: str) -> _Opened:
    import tensorflow as tf

    try:
        module, is_tf1 = _load(folder)
    except (OSError, ValueError, RuntimeError, IndexError, tf.errors.OpError) as exc:
        raise InputError(f"TensorFlow cannot open {name} ({one_line(str(exc))}).") from exc
    trainable = [] if is_tf1 else getattr(module, "trainable_variables", None)
    refusals: list[str] = []
    if callable(module):
        concretes = module.__call__.concrete_functions
        spec = _image_input(concretes, refusals)
        if spec is not None:
            return _Opened(_in_inference_mode(module, concretes), spec, trainable, module)
    preferred = [signature for signature in _SIGNATURES if signature in module.signatures]
    other_signatures = [signature for signature in module.signatures if signature not in _SIGNATURES]
    for signature in preferred or other_signatures[: len(other_signatures) == 1]:
        function = module.signatures[signature]
        spec = _image_input([function], refusals)
        if spec is not None:
            return _Opened(function, spec, trainable, module)
    if refusals:
        raise InputError(
            f"{name} has inputs of shape {', '.join(list(dict.fromkeys(refusals))[:3])}: expected one input of images, "
            "(n, height, width, 3)."
        )
    signatures = ", ".join(module.signatures) or "none"
    raise InputError(f"{name} has the signatures {signatures}: expected one of {', '.join(_SIGNATURES)}.")


def _in_inference_mode(module: Any, concretes: Sequence[Any]) -> Callable[[Any], Any]:
    """The module as a function of images; the argument for training is a Python value, or a tensor of its own name."""
    import tensorflow as tf

    arguments = [concrete.structured_input_signature for concrete in concretes]
    specs = [spec for spec in tf.nest.flatten(arguments) if isinstance(spec, tf.TensorSpec)]
    flags = [spec.name for spec in specs if spec.dtype == tf.bool and spec.name in ("training", "is_training")]
    if any("training" in keywords or any(isinstance(v, bool) for v in placed) for placed, keywords in arguments):
        flags.append("training")
    return partial(module, **{flags[0]: False}) if flags else module


def _image_input(concretes: Sequence[Any], refusals: list[str]) -> Any:
    """The input that takes images, as a TensorSpec of shape (n, h, w, 3); None, and the shapes noted, if none does.

    Scalars beside it, such as a momentum, have defaults.
    """
    import tensorflow as tf

    for concrete in concretes:
        flat = tf.nest.flatten(concrete.structured_input_signature)
        specs = [spec for spec in flat if isinstance(spec, tf.TensorSpec) and spec.shape.rank != 0]
        image_specs = [spec for spec in specs if spec.shape.rank == 4 and spec.shape[-1] == 3]
        if len(specs) == 1 and image_specs:
            return image_specs[0]
        refusals += [str(tuple(spec.shape) if spec.shape.rank is not None else "?") for spec in specs]
    return None


def _concrete(opened: _Opened, name: str) -> Any:
    """The function for float32 images in batches of any size."""
    import tensorflow as tf

    function, spec = opened.function, opened.spec
    if spec.shape[0] is not None:
        raise InputError(f"{name} takes {spec.shape[0]} images at once: expected a module for any number of images.")
    is_signature = hasattr(function, "structured_outputs")
    if is_signature and spec.dtype == tf.float32:
        return function  # frozen directly: a wrapper would only call it

    def compute(pixels: Any) -> Any:
        images = tf.cast(pixels, spec.dtype)
        return function(**{spec.name: images}) if is_signature else function(images)

    try:
        return tf.function(compute).get_concrete_function(
            tf.TensorSpec([None, *spec.shape[1:]], tf.float32, name="pixels")
        )
    except (ValueError, TypeError) as exc:
        raise InputError(f"{name} cannot be called with images alone ({one_line(str(exc))}).") from exc


def _feature_output(outputs: Any, name: str) -> tuple[int, str]:
    """The index of the features among a module's output tensors, in TensorFlow's order, and the name of that output."""
    import tensorflow as tf

    flat = tf.nest.flatten(outputs)
    names = sorted(outputs) if isinstance(outputs, dict) else [""] * len(flat)
    if len(names) == len(flat):
        plain = [saved_model_top.plain_name(key) for key in names]
        output_names = [*_FEATURES, *saved_model_top.CLASSIFIER_NAMES]
        number = 0 if len(flat) == 1 else next((plain.index(key) for key in output_names if key in plain), None)
        if number is not None and flat[number].shape.rank in (2, 4):
            return number, names[number]
    shapes = ", ".join(f"{key} {tuple(tensor.shape)}".strip() for key, tensor in zip(names, flat, strict=False))
    raise InputError(
        f"{name} has outputs of shape {shapes or 'none'}: expected one tensor of features, (n, d) or (n, h, w, c)."
    )


def _scales_itself(graph: Any) -> bool:
    """Whether the graph takes raw pixels, by what it does with them before its first kernel.

    The first step that tells decides: one that divides by 255 or the like, or subtracts more than there is in pixels
    from 0 to 1, is for raw pixels; one that multiplies by 255 is for pixels from 0 to 1.
    """
    import tensorflow as tf

    constants = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"}
    reached = {node.name for node in graph.node if node.op == "Placeholder"}
    for node in graph.node:  # in execution order
        sources = [source.partition(":")[0] for source in node.input]
        if node.op == "Identity" and sources[0] in constants:
            constants[node.name] = constants[sources[0]]
        if node.op not in _OPERATIONS_BEFORE_KERNELS or reached.isdisjoint(sources):
            continue
        reached.add(node.name)
        for value in (constants[source] for source in sources if source in constants):
            if (
                value.size
                and value.dtype.kind == "f"
                and (tells := _takes_raw_pixels(node.op, np.abs(value))) is not None
            ):
                return tells
    return False


def _takes_raw_pixels(operation: str, constant: np.ndarray) -> bool | None:
    """What an operation on pixels and a constant, without its sign, says of the pixels; None if it says nothing."""
    if operation in _ADDITIONS:
        return True if constant.max() > _LARGEST_UNIT_OFFSET else None
    if operation in _MULTIPLICATIONS:
        factor = constant if operation == "Mul" else 1 / np.maximum(constant, 1e-30)
        for scale in _SCALES:
            if np.allclose(factor, [1 / scale], 1e-3):
                return True
            if np.allclose(factor, [scale], 1e-3):
                return False
    return None
