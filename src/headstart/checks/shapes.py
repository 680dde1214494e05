"""The output shape of a layer for one example, as far as it is known without running the layer."""

import math
from typing import Any

from headstart.checks.network import UNKNOWN, Base, Layer, Network

Shape = tuple[int | None, ...] | None

_STRIDE = 32  # of every model of Keras Applications: the last feature map of an image of 224 pixels is 7 x 7
_SHAPE_PRESERVING = {
    *("Activation", "Softmax", "ReLU", "LeakyReLU", "Dropout", "SpatialDropout2D", "GaussianNoise", "Rescaling"),
    *("BatchNormalization", "LayerNormalization", "Normalization", "preprocess_input", "cast", "Identity"),
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast", "RandomBrightness", "RandomTranslation"),
}
_GLOBAL_POOLING = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")


def parse_size(value: Any) -> tuple[int, int] | None:
    """Height and width from ``(224, 224)``, ``[224, 224, 3]`` or ``224``; None if they are not known."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, (tuple, list)) and len(value) == 3 and value[0] in (1, 3):  # channels first
        return None
    if isinstance(value, (tuple, list)) and len(value) >= 2 and all(type(side) is int for side in value[:2]):
        return value[0], value[1]
    return None


def parse_shape(value: Any) -> Shape:
    """A literal shape such as ``(224, 224, 3)`` or ``(None, None, 3)``; None for anything else and channels first."""
    if (
        isinstance(value, (tuple, list))
        and value
        and value[0] not in (1, 3)
        and all(side is None or type(side) is int for side in value)
    ):
        return tuple(value)
    return None


def output_shape(layer: Layer, input_shapes: list[Shape]) -> Shape:
    """The output shape of a layer, or None if it is not known.

    Args:
        layer: the layer.
        input_shapes: shape of each input.
    """
    config, shape = layer.config, input_shapes[0] if len(input_shapes) == 1 else None
    if isinstance(layer, Base):
        return _base_output_shape(layer, shape)
    if isinstance(layer, Network):
        return layer.outputs[0].shape if len(layer.outputs) == 1 else None
    if layer.kind == "Dense":
        units = config.get("units")
        return (*(shape[:-1] if shape else ()), units) if type(units) is int else None
    if layer.kind in ("Resizing", "CenterCrop", "RandomCrop"):
        sides = (config.get("height"), config.get("width"))
        return (*sides, shape[2]) if shape and len(shape) == 3 and all(type(side) is int for side in sides) else None
    if shape is None:
        return None
    if layer.kind in _GLOBAL_POOLING:
        return shape[-1:]
    if layer.kind == "Flatten":
        return None if None in shape else (math.prod(shape),)  # type: ignore[arg-type]
    return shape if layer.kind in _SHAPE_PRESERVING else None


def _base_output_shape(base: Base, input_shape: Shape) -> Shape:
    if base.has_top is not False:
        return (1000,) if base.has_top is True and base.config.get("classes", 1000) == 1000 else None
    channels = None if set(base.config) & {"alpha", "depth_multiplier"} else base.model_info.feature_dim
    pooling = base.config.get("pooling")
    if pooling is UNKNOWN:
        return None
    if pooling:
        return (channels,)
    size = base.input_size or parse_size(input_shape)
    return (*(side // _STRIDE for side in size), channels) if size else (None, None, channels)
