"""The shape that a layer gives for one example, as far as it can be told without running it."""

import math
from typing import Any

from headstart.checks.network import UNKNOWN, Base, Layer, Network

Shape = tuple[int | None, ...] | None

_STRIDE = 32  # of every model of Keras Applications: the last map of a 224 pixel image is 7 x 7
_SAME = {
    *("Activation", "Softmax", "ReLU", "LeakyReLU", "Dropout", "SpatialDropout2D", "GaussianNoise", "Rescaling"),
    *("BatchNormalization", "LayerNormalization", "Normalization", "preprocess_input", "cast", "Identity"),
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast", "RandomBrightness", "RandomTranslation"),
}
_TO_ONE_PIXEL = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")


def size_of(value: Any) -> tuple[int, int] | None:
    """Height and width, of ``(224, 224)``, ``[224, 224, 3]`` or ``224``; None where they are not known."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, (tuple, list)) and len(value) == 3 and value[0] in (1, 3):  # channels first
        return None
    if isinstance(value, (tuple, list)) and len(value) >= 2 and all(type(side) is int for side in value[:2]):
        return value[0], value[1]
    return None


def shape_of(value: Any) -> Shape:
    """A literal shape such as ``(224, 224, 3)`` or ``(None, None, 3)``; None where it is not one, or channels first."""
    if (
        isinstance(value, (tuple, list))
        and value
        and value[0] not in (1, 3)
        and all(side is None or type(side) is int for side in value)
    ):
        return tuple(value)
    return None


def output_shape(layer: Layer, given: list[Shape]) -> Shape:
    """The shape of a layer's output.

    Args:
        layer: the layer.
        given: shapes of its inputs.
    """
    config, shape = layer.config, given[0] if len(given) == 1 else None
    if isinstance(layer, Base):
        return _of_base(layer, shape)
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
    if layer.kind in _TO_ONE_PIXEL:
        return shape[-1:]
    if layer.kind == "Flatten":
        return None if None in shape else (math.prod(shape),)  # type: ignore[arg-type]
    return shape if layer.kind in _SAME else None


def _of_base(base: Base, given: Shape) -> Shape:
    if base.top is not False:
        return (1000,) if base.top is True and base.config.get("classes", 1000) == 1000 else None
    channels = None if set(base.config) & {"alpha", "depth_multiplier"} else base.facts.feature_dim
    pooling = base.config.get("pooling")
    if pooling is UNKNOWN:
        return None
    if pooling:
        return (channels,)
    sides = base.size or size_of(given)
    return (*(side // _STRIDE for side in sides), channels) if sides else (None, None, channels)
