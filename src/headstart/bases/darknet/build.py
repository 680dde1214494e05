"""Layers of a Darknet cfg as a Keras model, equal to Darknet's arithmetic in float32.

Three of its definitions differ from Keras's: strided convolutions pad both sides alike, max-pooling pads the right and
bottom first, and batch normalization adds its epsilon to the standard deviation, not to the variance.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from headstart.bases.darknet.network import IMAGE, Layer, Network, activation_of, padding_of, stride_of
from headstart.bases.darknet.weights import Weights
from headstart.bases.random_weights import set_random_weights

_EPSILON = 1e-6
_LEAKY_SLOPE = 0.1

Tensor = Any


def build_network(network: Network, weights: Mapping[int, Weights] | None, outputs: Sequence[Layer]) -> Any:
    """Build a Keras model from images (n, h, w, 3), RGB from 0 to 1, to the outputs of some layers.

    Layers that these do not depend on are left out.

    Args:
        network: of the cfg.
        weights: of each layer, by its index; None means random weights.
        outputs: one or several layers.

    Returns:
        A functional model, whose output is one map (n, h', w', c) or a list of maps.
    """
    import keras

    channels_first = keras.config.image_data_format() == "channels_first"
    image = keras.Input((3, *network.size) if channels_first else (*network.size, 3), name="image")
    tensors: dict[int, Tensor] = {IMAGE: image}
    for index in sorted(network.needed_for(layer.index for layer in outputs)):
        layer = network.layers[index]
        tensors[index] = _BUILDERS[layer.kind](layer, [tensors[source] for source in layer.inputs])
    results = [tensors[layer.index] for layer in outputs]
    model = keras.Model(image, results if len(results) > 1 else results[0], name="darknet")
    if weights is None:
        set_random_weights(model)
    else:
        _set_weights(model, network, weights)
    return model


def _set_weights(model: Any, network: Network, weights: Mapping[int, Weights]) -> None:
    by_name = {layer.name: layer for layer in model.layers}
    for layer in network.layers:
        if layer.name not in by_name or layer.index not in weights:
            continue
        arrays = weights[layer.index]
        is_normalized = "scales" in arrays
        kernel = _keras_kernel(layer, arrays["kernel"])
        by_name[layer.name].set_weights([kernel] if is_normalized else [kernel, arrays["biases"]])
        if is_normalized:
            # (sqrt(v) + e)^2 = (v + 2 e sqrt(v)) + e^2, and Keras divides by sqrt(variance + e^2)
            variances = arrays["variances"].astype(np.float64)
            variances = (variances + 2 * _EPSILON * np.sqrt(variances)).astype(np.float32)
            by_name[f"{layer.name}_norm"].set_weights([arrays["scales"], arrays["biases"], arrays["means"], variances])


def _keras_kernel(layer: Layer, kernel: np.ndarray) -> np.ndarray:
    if layer.kind == "connected":  # (out, in) -> (in, out)
        return kernel.T
    if _is_depthwise(layer):  # (c * m, 1, h, w) -> (h, w, c, m)
        return kernel.reshape(layer.input_shape[2], -1, *kernel.shape[2:]).transpose(2, 3, 0, 1)
    return kernel.transpose(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)


def _is_depthwise(layer: Layer) -> bool:
    return 1 < layer.section.integer("groups", 1) == layer.input_shape[2]


def _channel_axis() -> int:
    import keras

    return 1 if keras.config.image_data_format() == "channels_first" else -1


def _activate(layer: Layer, x: Tensor, default: str) -> Tensor:
    from keras import layers

    activation = activation_of(layer.section, default)
    name = f"{layer.name}_{activation}"
    if activation == "linear":
        return x
    if activation == "leaky":
        return layers.LeakyReLU(negative_slope=_LEAKY_SLOPE, name=name)(x)
    if activation in ("relu", "relu6"):
        return layers.ReLU(max_value=6.0 if activation == "relu6" else None, name=name)(x)
    return layers.Activation({"logistic": "sigmoid", "swish": "silu"}.get(activation, activation), name=name)(x)


def _norm_and_activate(layer: Layer, x: Tensor) -> Tensor:
    from keras import layers

    if "scales" in layer.weights:
        norm = layers.BatchNormalization(axis=_channel_axis(), epsilon=_EPSILON**2, name=f"{layer.name}_norm")
        x = norm(x)
    return _activate(layer, x, "logistic")


def _convolutional(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from keras import layers

    x, section = inputs[0], layer.section
    size, padding, stride = section.integer("size", 1), padding_of(section), stride_of(section)
    is_same = stride == 1 and 2 * padding == size - 1
    if padding and not is_same:
        x = layers.ZeroPadding2D(padding, name=f"{layer.name}_pad")(x)
    arguments = {
        "kernel_size": size, "strides": stride, "padding": "same" if is_same else "valid",
        "use_bias": "scales" not in layer.weights, "name": layer.name,
    }  # fmt: skip
    filters = layer.shape[2]
    if _is_depthwise(layer):
        x = layers.DepthwiseConv2D(depth_multiplier=filters // layer.input_shape[2], **arguments)(x)
    else:
        x = layers.Conv2D(filters, groups=section.integer("groups", 1), **arguments)(x)
    return _norm_and_activate(layer, x)


def _connected(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from keras import layers

    n = layer.shape[2]
    x = layers.Flatten(data_format="channels_last", name=f"{layer.name}_flat")(_with_channels_first(layer, inputs[0]))
    x = layers.Dense(n, use_bias="scales" not in layer.weights, name=layer.name)(x)
    x = layers.Reshape((n, 1, 1) if _channel_axis() == 1 else (1, 1, n), name=f"{layer.name}_map")(x)
    return _norm_and_activate(layer, x)


def _with_channels_first(layer: Layer, x: Tensor) -> Tensor:
    from keras import layers

    return x if _channel_axis() == 1 else layers.Permute((3, 1, 2), name=f"{layer.name}_chw")(x)


def _maxpool(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Darknet's window at i begins at i * stride - (size - 1) // 2, as Keras's does for a stride of 1."""
    from keras import layers

    stride = layer.section.integer("stride", 1)
    size = layer.section.integer("size", stride)
    if layer.section.integer("padding", size - 1) == 0:
        return layers.MaxPooling2D(size, stride, padding="valid", name=layer.name)(inputs[0])
    before = {_pixels_before(n, size, stride) for n in layer.input_shape[:2]}
    if before == {(size - 1) // 2}:
        return layers.MaxPooling2D(size, stride, padding="same", name=layer.name)(inputs[0])
    x = layers.MaxPooling2D(size, 1, padding="same", name=layer.name)(inputs[0])
    return layers.MaxPooling2D(1, stride, name=f"{layer.name}_stride")(x)


def _pixels_before(n: int, size: int, stride: int) -> int:
    """How many pixels Keras adds before the first one of n, for ``padding="same"``."""
    return max(0, (-(-n // stride) - 1) * stride + size - n) // 2


def _avgpool(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from keras import layers

    return layers.GlobalAveragePooling2D(keepdims=True, name=layer.name)(inputs[0])


def _upsample(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from keras import layers

    return layers.UpSampling2D(layer.section.integer("stride", 2), interpolation="nearest", name=layer.name)(inputs[0])


def _route(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from keras import layers

    groups, group = layer.section.integer("groups", 1), layer.section.integer("group_id", 0)
    if groups > 1:
        inputs = [_group(x, groups, group) for x in inputs]
    return layers.Concatenate(axis=_channel_axis(), name=layer.name)(inputs) if len(inputs) > 1 else inputs[0]


def _group(x: Tensor, groups: int, group: int) -> Tensor:
    """One of several equal parts of the channels."""
    n = x.shape[_channel_axis()] // groups
    return _channels(x, slice(group * n, (group + 1) * n))


def _channels(x: Tensor, part: slice) -> Tensor:
    return x[:, part] if _channel_axis() == 1 else x[..., part]


def _shortcut(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """The sum of its inputs, with the channels of the first one; of the others, further channels are left out."""
    from keras import layers

    first, *other_values = inputs
    fitted = [_with_channels(x, layer.shape[2]) for x in other_values]
    return _activate(layer, layers.Add(name=layer.name)([first, *fitted]), "linear")


def _with_channels(x: Tensor, n: int) -> Tensor:
    """The first n channels, or all channels and zeros after them."""
    import keras

    missing = n - x.shape[_channel_axis()]
    if missing <= 0:
        return _channels(x, slice(n)) if missing else x
    widths = [(0, 0)] * 4
    widths[_channel_axis()] = (0, missing)
    return keras.ops.pad(x, widths)


def _reorg(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Darknet's own reorg, which is not a space-to-depth.

    The values of the map (c, h, w) are read as if they had the shape (c / s², h s, w s). A space-to-depth of that has
    the shape (c, h, w), and its values are read as (c s², h / s, w / s).
    """
    from keras import layers

    (h, w, c), s, name = layer.input_shape, layer.section.integer("stride", 1), layer.name
    x = layers.Reshape((c // s**2, h, s, w, s), name=f"{name}_apart")(_with_channels_first(layer, inputs[0]))
    x = layers.Permute((3, 5, 1, 2, 4), name=name)(x)
    x = layers.Reshape((c * s**2, h // s, w // s), name=f"{name}_map")(x)
    return x if _channel_axis() == 1 else layers.Permute((2, 3, 1), name=f"{name}_hwc")(x)


def _softmax(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from keras import layers

    return layers.Softmax(axis=_channel_axis(), name=layer.name)(inputs[0])


def _unchanged(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """A layer that does nothing after training, or whose output :mod:`headstart.bases.darknet.boxes` computes."""
    return inputs[0]


_BUILDERS: dict[str, Callable[[Layer, list[Tensor]], Tensor]] = {
    "convolutional": _convolutional,
    "connected": _connected,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "upsample": _upsample,
    "route": _route,
    "shortcut": _shortcut,
    "reorg": _reorg,
    "dropout": _unchanged,
    "softmax": _softmax,
    "cost": _unchanged,
    "yolo": _unchanged,
    "region": _unchanged,
}
