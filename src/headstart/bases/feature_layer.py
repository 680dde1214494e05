"""Truncate a Keras model at the tensor that contains its features.

The graph is followed backwards from the output, also into nested models.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from headstart.errors import InputError, did_you_mean, field_name
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


def remove_top(model: Any, source: str) -> Any:
    """The model up to its features, which are the input of the first of its last Dense layers.

    The top is the last chain of Dense layers, with the activations, dropout, normalisation and flattening between and
    after them. A 1x1 convolution of a 1x1 map counts as Dense. If there is no such chain, the whole model is used.

    Args:
        model: a built functional or sequential model with one input and one output.
        source: its file, for messages.

    Returns:
        A model from the same input to features (n, d), or to feature maps (n, h, w, c) that are not pooled.

    Raises:
        InputError: there is no layer before the top.
    """
    _check_graph(model, source)
    if len(model.outputs) != 1:
        names = ", ".join(_producer_of(tensor).layer.name for tensor in model.outputs)
        raise InputError(
            f"{source} has {len(model.outputs)} outputs ({names}), so its top cannot be found. Set "
            f"{field_name('feature_layer')} to the layer whose output is used as the features."
        )
    features = _tensor_below_top(model)
    if features is None:
        raise InputError(
            f"{source} is one chain of Dense layers without a layer before its top. Set {field_name('feature_layer')} "
            "to the layer whose output is used as the features."
        )
    return _truncated_model(model, features, source)


def truncate_at(model: Any, name: str, source: str) -> Any:
    """The model up to the output of the layer ``name``, which may be in a nested model.

    Raises:
        InputError: there is no such layer, or its output has an unsuitable shape.
    """
    _check_graph(model, source)
    features = _output_of(model, name)
    if features is None:
        names = _layer_names(model)
        name_list = ", ".join([*names[:3], "…", *names[-8:]] if len(names) > 12 else names)
        raise InputError(
            f"{source} has no layer {name!r}.{did_you_mean(name, names)} It has: {name_list}.", field="feature_layer"
        )
    return _truncated_model(model, features, source)


def inline_nested_models(model: Any) -> Any:
    """The same graph with nested models replaced by their layers, so that its blocks can be found.

    The model is returned unchanged if two of its nested layers have the same name, which Keras does not allow.
    """
    import keras

    def unpack(layer: Any) -> Any:
        return partial(_run, layer, unpack) if _is_model(layer) else layer

    if not any(_is_model(layer) for layer in model.layers):
        return model
    inputs = model.inputs[0]
    try:
        return keras.Model(inputs, _run(model, unpack, inputs), name=model.name)
    except ValueError:
        return model


def _run(model: Any, operation_fn: Callable[[Any], Any], inputs: Any, **_: Any) -> Any:
    """Apply the operations of a model to a tensor, one by one."""
    outputs = keras_compat.run_graph(model, inputs, operation_fn)
    return outputs[0] if isinstance(outputs, list) else outputs


def _check_graph(model: Any, source: str) -> None:
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs or len(inputs) != 1:
        raise InputError(f"{source} is not a graph of layers from one input to its output: its top cannot be removed.")


def _truncated_model(model: Any, features: Any, source: str) -> Any:
    import keras

    if len(features.shape) == 3:  # (n, tokens, d)
        features = keras.layers.GlobalAveragePooling1D(name="tokens_pooled")(features)
    if len(features.shape) not in (2, 4):
        raise InputError(
            f"the features of {source} would have the shape {tuple(features.shape)}: expected (n, d) or (n, h, w, c). "
            f"Set {field_name('feature_layer')} to another layer."
        )
    return keras.Model(model.inputs[0], features, name="base_network")


def _producer_of(tensor: Any) -> _Step:
    """The layer that produced a symbolic tensor, and its input tensors."""
    node = keras_compat.node_of(tensor)
    return _Step(node.operation, list(node.input_tensors))


def _is_model(layer: Any) -> bool:
    return bool(getattr(layer, "layers", None)) and bool(getattr(layer, "outputs", None))


def _tensor_below_top(model: Any) -> Any | None:
    """The tensor of the model's own graph that contains its features; None if all layers belong to the top."""
    tensor, features = model.outputs[0], None
    while True:
        layer, inputs = _producer_of(tensor)
        if len(inputs) != 1:
            break
        if _is_model(layer):
            inner = _tensor_below_top(layer)
            if inner is None:  # a head that is a nested model
                tensor = features = inputs[0]
                continue
            if inner is not layer.outputs[0]:
                features = _reapply(layer, inner, inputs[0])
            break
        if _is_dense(layer, inputs[0]):
            tensor = features = inputs[0]
        elif type(layer).__name__ in _BETWEEN_DENSE:
            tensor = inputs[0]
        else:
            break
    if features is None:
        return model.outputs[0]
    features = _skip_neutral_layers(features)
    return None if not _producer_of(features).inputs else features


def _is_dense(layer: Any, input_tensor: Any) -> bool:
    kind, shape = type(layer).__name__, input_tensor.shape
    is_one_pixel = len(shape) == 4 and tuple(shape[1:3]) == (1, 1)
    return (kind in _DENSE and len(shape) == 2) or (kind == "Conv2D" and is_one_pixel)


def _skip_neutral_layers(tensor: Any) -> Any:
    """Skip dropout and flattening directly below the top: Base.model pools the feature map instead of flattening it."""
    while True:
        layer, inputs = _producer_of(tensor)
        if len(inputs) != 1 or type(layer).__name__ not in _NEUTRAL:
            return tensor
        tensor = inputs[0]


def _output_of(model: Any, name: str) -> Any | None:
    """The output of the named layer in the model's own graph; for a layer used twice, the later output."""
    queue, visited = list(model.outputs), set()
    while queue:
        tensor = queue.pop(0)
        if id(tensor) in visited:
            continue
        visited.add(id(tensor))
        layer, inputs = _producer_of(tensor)
        if layer.name == name:
            return tensor
        if _is_model(layer) and len(inputs) == 1:
            inner = _output_of(layer, name)
            if inner is not None:
                return _reapply(layer, inner, inputs[0])
        queue += inputs
    return None


def _reapply(nested: Any, inner: Any, outer_input: Any) -> Any:
    """Apply a nested model, up to its own tensor ``inner``, to a tensor of the outer graph."""
    import keras

    return keras.Model(nested.inputs[0], inner, name=f"{nested.name}_truncated")(outer_input)


def _layer_names(model: Any) -> list[str]:
    names: list[str] = []
    for layer in model.layers:
        names.append(layer.name)
        if _is_model(layer):
            names += _layer_names(layer)
    return names
