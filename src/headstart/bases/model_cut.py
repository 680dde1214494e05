"""Cut a finished Keras model at the tensor that holds its features.

Works on the graph backwards from the output, into nested models where the output comes out of one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from headstart.errors import InputError, did_you_mean
from headstart.system import keras_compat

_DENSE = {"Dense", "EinsumDense"}
_NEUTRAL = {"Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "SpatialDropout2D", "Flatten", "Reshape"}
_BETWEEN_DENSE = {
    *_NEUTRAL,
    *("Activation", "Softmax", "ReLU", "LeakyReLU", "PReLU", "ELU", "HardSwish", "Identity"),
    *("BatchNormalization", "LayerNormalization", "UnitNormalization"),
}


class _Step(NamedTuple):
    layer: Any
    inputs: list[Any]


def without_top(model: Any, source: str) -> Any:
    """The model up to its features: what goes into the first of the trailing Dense layers.

    A chain of Dense layers and of whatever stands between and after them (activations, dropout, normalisation,
    flattening) is the top; a 1x1 convolution of a 1x1 map counts as Dense. Without such a chain the model is taken
    whole.

    Args:
        model: a built functional or sequential model of one input and one output.
        source: its file, for messages.

    Returns:
        A model from the same input to features (n, d), or to maps (n, h, w, c) that are yet to be pooled.

    Raises:
        InputError: nothing is left before the top.
    """
    _check_graph(model, source)
    features = _below_top(model)
    if features is None:
        raise InputError(
            f"{source} is one chain of Dense layers: nothing is left before its top. Name the layer whose output are "
            "the features with --cut."
        )
    return _model(model, features, source)


def cut_at(model: Any, name: str, source: str) -> Any:
    """The model up to the output of the layer ``name``, which may lie in a nested model.

    Raises:
        InputError: there is no such layer, or its output has no features of an image.
    """
    _check_graph(model, source)
    features = _output_of(model, name)
    if features is None:
        known = _layer_names(model)
        shown = ", ".join([*known[:3], "…", *known[-8:]] if len(known) > 12 else known)
        raise InputError(f"{source} has no layer {name!r} to cut at.{did_you_mean(name, known)} It has: {shown}.")
    return _model(model, features, source)


def inlined(model: Any) -> Any:
    """The same graph with nested models replaced by the layers that they are made of, so that it can be cut in them.

    As it is where layers of two models have the same name, which Keras does not allow in one.
    """
    import keras

    def unpacked(layer: Any) -> Any:
        return partial(_run, layer, unpacked) if _is_model(layer) else layer

    if not any(_is_model(layer) for layer in model.layers):
        return model
    start = model.inputs[0]
    try:
        return keras.Model(start, _run(model, unpacked, start), name=model.name)
    except ValueError:
        return model


def _run(model: Any, operation_fn: Callable[[Any], Any], inputs: Any, **_: Any) -> Any:
    """Apply the operations of a model to a tensor, one by one."""
    outputs = keras_compat.run_graph(model, inputs, operation_fn)
    return outputs[0] if isinstance(outputs, list) else outputs


def _check_graph(model: Any, source: str) -> None:
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs or len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"{source} is not a graph of layers from one input to one output: its top cannot be removed.")


def _model(model: Any, features: Any, source: str) -> Any:
    import keras

    if len(features.shape) == 3:  # (n, tokens, d)
        features = keras.layers.GlobalAveragePooling1D(name="tokens_pooled")(features)
    if len(features.shape) not in (2, 4):
        raise InputError(
            f"the features of {source} would have the shape {tuple(features.shape)}: expected (n, d) or (n, h, w, c). "
            "Name another layer with --cut."
        )
    return keras.Model(model.inputs[0], features, name="base_network")


def _made_by(tensor: Any) -> _Step:
    """The layer that made a symbolic tensor, and the tensors it made it from."""
    node = keras_compat.node_of(tensor)
    return _Step(node.operation, list(node.input_tensors))


def _is_model(layer: Any) -> bool:
    return bool(getattr(layer, "layers", None)) and bool(getattr(layer, "outputs", None))


def _below_top(model: Any) -> Any | None:
    """The tensor of the model's own graph that holds its features; None where it is all top."""
    tensor, below = model.outputs[0], None
    while True:
        layer, inputs = _made_by(tensor)
        if len(inputs) != 1:
            break
        if _is_model(layer):
            inner = _below_top(layer)
            if inner is None:  # a head that is a model of its own
                tensor = below = inputs[0]
                continue
            if inner is not layer.outputs[0]:
                below = _reapply(layer, inner, inputs[0])
            break
        if _is_dense(layer, inputs[0]):
            tensor = below = inputs[0]
        elif type(layer).__name__ in _BETWEEN_DENSE:
            tensor = inputs[0]
        else:
            break
    if below is None:
        return model.outputs[0]
    below = _without_neutral(below)
    return None if not _made_by(below).inputs else below


def _is_dense(layer: Any, into: Any) -> bool:
    kind = type(layer).__name__
    on_one_pixel = len(into.shape) == 4 and tuple(into.shape[1:3]) == (1, 1)
    return (kind in _DENSE and len(into.shape) == 2) or (kind == "Conv2D" and on_one_pixel)


def _without_neutral(tensor: Any) -> Any:
    """Undo dropout and flattening directly below the top: a flattened map is better pooled (Base.model does)."""
    while True:
        layer, inputs = _made_by(tensor)
        if len(inputs) != 1 or type(layer).__name__ not in _NEUTRAL:
            return tensor
        tensor = inputs[0]


def _output_of(model: Any, name: str) -> Any | None:
    """The tensor, in the model's own graph, that the named layer makes; for a layer used twice, the later one."""
    waiting, seen = [model.outputs[0]], set()
    while waiting:
        tensor = waiting.pop(0)
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        layer, inputs = _made_by(tensor)
        if layer.name == name:
            return tensor
        if _is_model(layer) and len(inputs) == 1:
            inner = _output_of(layer, name)
            if inner is not None:
                return _reapply(layer, inner, inputs[0])
        waiting += inputs
    return None


def _reapply(nested: Any, inner: Any, into: Any) -> Any:
    """Apply a nested model, up to its own tensor ``inner``, to a tensor of the outer graph."""
    import keras

    return keras.Model(nested.inputs[0], inner, name=f"{nested.name}_cut")(into)


def _layer_names(model: Any) -> list[str]:
    names: list[str] = []
    for layer in model.layers:
        names.append(layer.name)
        if _is_model(layer):
            names += _layer_names(layer)
    return names
