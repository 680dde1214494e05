"""The pixel values that reach a base, computed from the steps between the raw pixels and its first layer.

Every common preprocessing is an affine map of each channel, therefore all steps together are an affine map, too.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from headstart.bases.base import Preprocessing
from headstart.checks.network import APPLICATIONS, AUGMENTATION, UNKNOWN, Base, Node, Site

FAMILIES = {
    "xception": "Xception",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "densenet": "DenseNet121",
    "resnet50": "ResNet50",
    "resnet": "ResNet50",
    "resnet_v2": "ResNet50V2",
    "inception_resnet_v2": "InceptionResNetV2",
    "nasnet": "NASNetMobile",
    "mobilenet_v3": "MobileNetV3Small",
    "efficientnet": "EfficientNetB0",
    "efficientnet_v2": "EfficientNetV2B0",
    "convnext": "ConvNeXtTiny",
}
"""The modules of ``keras.applications`` with a ``preprocess_input`` -> one of the models it is made for."""

_VALUE_PRESERVING = AUGMENTATION | {
    *(
        "InputLayer",
        "swapped channels",
        "Resizing",
        "CenterCrop",
        "Dropout",
        "GaussianNoise",
        "Identity",
        "cast",
        "cache",
        "ZeroPadding2D",
    ),
}
_TOLERANCE = 0.05  # of the width of the range: 1/128 instead of 1/127.5, or 1/256 instead of 1/255, is good enough


@dataclass(frozen=True)
class PixelValues:
    """Pixels after some steps: ``x * scale + offset`` for each channel.

    Attributes:
        scale: float array (3,), in the channel order of the base.
        offset: float array (3,), in the channel order of the base.
        bgr: whether the channels are BGR instead of RGB.
    """

    scale: np.ndarray
    offset: np.ndarray
    bgr: bool = False

    def apply(self, step: Preprocessing) -> "PixelValues":
        """The values after one more step."""
        scale, offset = (self.scale[::-1], self.offset[::-1]) if step.bgr else (self.scale, self.offset)
        factor = np.asarray(step.scale, float)
        return PixelValues(scale * factor, offset * factor + np.asarray(step.offset, float), self.bgr != step.bgr)

    def limits(self, white: float = 255.0) -> np.ndarray:
        """The values of black and of white pixels, float array (2, 3)."""
        return np.stack([self.offset, self.scale * white + self.offset])

    def format_range(self) -> str:
        """The range over all channels, such as ``[-1, 1]``."""
        limits = self.limits()
        return f"[{limits.min():.3g}, {limits.max():.3g}]"

    def match(self, expected: "PixelValues", white: float = 255.0) -> bool:
        """Whether these values equal the expected ones, apart from a small tolerance.

        Args:
            expected: what the base expects, computed from pixels up to 255.
            white: the largest value of the raw pixels.
        """
        limits = expected.limits()
        width = np.abs(limits[1] - limits[0]).max()
        return self.bgr == expected.bgr and bool(np.abs(self.limits(white) - limits).max() <= _TOLERANCE * width)


RAW_PIXELS = PixelValues(np.ones(3), np.zeros(3))


def expected_preprocessing(base: Base) -> Preprocessing | None:
    """The preprocessing that raw pixels need in front of a base, or None if it is not known."""
    is_included = base.config.get("include_preprocessing", True)
    if is_included is True:
        return base.model_info.preprocessing
    if is_included is UNKNOWN:
        return None
    uses_imagenet_mean = base.kind.startswith(("ConvNeXt", "EfficientNetV2B"))
    return APPLICATIONS["DenseNet121" if uses_imagenet_mean else "Xception"].preprocessing


class PixelPath(NamedTuple):
    """The steps between the source of the pixels and a base.

    Attributes:
        values: the pixel values that reach the base.
        steps: the nodes that change the values, and how.
        source: the node that the pixels come from.
    """

    values: PixelValues
    steps: list[tuple[Node, Preprocessing]]
    source: Node

    @property
    def starts_raw(self) -> bool:
        """Whether the source certainly gives raw pixels from 0 to 255."""
        return self.source.layer.kind == "pixels"


def trace_pixels(site: Site) -> PixelPath | None:
    """Follow the pixels to a base, as far back as possible; None if a step on the path is not known."""
    *nodes, source = list(site.upstream())[1:]
    values, steps = replace(RAW_PIXELS, bgr=source.layer.config.get("bgr", False)), []
    for node in reversed(nodes):
        step = node_preprocessing(node)
        if step is None:
            return None
        if changes_values(step):
            values = values.apply(step)
            if node.layer.kind != "swapped channels":
                steps.append((node, step))
    return PixelPath(values, steps, source)


def node_preprocessing(node: Node) -> Preprocessing | None:
    """How a node changes pixel values, or None if it is not known."""
    layer = node.layer
    if layer.kind == "preprocess_input":
        return APPLICATIONS[FAMILIES[layer.config["family"]]].preprocessing
    if layer.kind == "Rescaling":
        scale, offset = _numbers(layer.config.get("scale", 1)), _numbers(layer.config.get("offset", 0))
        return None if scale is None or offset is None else Preprocessing("rescaling", scale, offset)
    if layer.kind == "Normalization":
        return _normalization(layer.config)
    if layer.kind == "swapped channels":
        return Preprocessing("swapped channels", bgr=True)
    return Preprocessing("none") if layer.kind in _VALUE_PRESERVING else None


def has_integers(node: Node) -> bool | None:
    """Whether an output consists of integers, as images do when they are read; None if it is not known."""
    while True:
        layer = node.layer
        if "dtype" in layer.config:
            dtype = layer.config["dtype"]
            return dtype == "int" if dtype in ("int", "float") else None
        if layer.kind in ("Rescaling", "preprocess_input", "Normalization"):
            return False
        if layer.kind not in _VALUE_PRESERVING or len(node.inputs) != 1:
            return None
        node = node.inputs[0]


def changes_values(step: Preprocessing) -> bool:
    """Whether a step changes pixel values."""
    return step.bgr or not (np.allclose(step.scale, 1) and np.allclose(step.offset, 0))


def _normalization(config: dict[str, Any]) -> Preprocessing | None:
    mean, variance = (_numbers(config.get(name)) for name in ("mean", "variance"))
    if mean is None or variance is None:
        return None
    std = np.maximum(np.sqrt(np.broadcast_to(np.asarray(variance, float), 3)), 1e-7)
    scale, offset = 1 / std, -np.broadcast_to(np.asarray(mean, float), 3) / std
    return Preprocessing("normalization", tuple(scale), tuple(offset))


def _numbers(value: Any) -> Any:
    """One number, or a tuple of three numbers; None for anything else."""
    while isinstance(value, (list, tuple)) and len(value) == 1:  # Keras stores one value per channel as (1, 1, 1, 3)
        value = value[0]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, (list, tuple)) and len(value) == 3:
        numbers = [_numbers(number) for number in value]
        return None if any(number is None or isinstance(number, tuple) for number in numbers) else tuple(numbers)
    return None
