"""Which values a base sees, computed from the steps between the raw pixels and its first layer.

Every usual preprocessing is an affine map of each channel, so all that happens on the way is one, too.
"""

from dataclasses import dataclass
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
"""The modules of ``keras.applications`` that have a ``preprocess_input``, and one of the models that it is for."""

_RANGES_KEPT = AUGMENTATION | {
    *("InputLayer", "Resizing", "CenterCrop", "Dropout", "GaussianNoise", "Identity", "cast", "cache", "ZeroPadding2D"),
}
_TOLERANCE = 0.05  # of the width of the range: 1/128 for 1/127.5, or 1/256 for 1/255, are as good


@dataclass(frozen=True)
class Values:
    """What became of pixels: ``x * scale + offset`` for each channel, in the order of the base's own channels."""

    scale: np.ndarray
    offset: np.ndarray
    bgr: bool = False

    def after(self, step: Preprocessing) -> "Values":
        """These values after one more step."""
        scale, offset = (self.scale[::-1], self.offset[::-1]) if step.bgr else (self.scale, self.offset)
        factor = np.asarray(step.scale, float)
        return Values(scale * factor, offset * factor + np.asarray(step.offset, float), self.bgr != step.bgr)

    def ends(self, brightest: float = 255.0) -> np.ndarray:
        """The values of black and of white, float (2, 3)."""
        return np.stack([self.offset, self.scale * brightest + self.offset])

    def range(self) -> str:
        """In words: ``[-1, 1]``."""
        ends = self.ends()
        return f"[{ends.min():.3g}, {ends.max():.3g}]"

    def are(self, wanted: "Values", brightest: float = 255.0) -> bool:
        """Whether a base that wants ``wanted`` of pixels up to 255 gets them from pixels up to ``brightest``."""
        should = wanted.ends()
        width = np.abs(should[1] - should[0]).max()
        return self.bgr == wanted.bgr and bool(np.abs(self.ends(brightest) - should).max() <= _TOLERANCE * width)


RAW = Values(np.ones(3), np.zeros(3))


def preprocess_input(family: str) -> Preprocessing:
    """What ``keras.applications.FAMILY.preprocess_input`` does; nothing where it is part of the models."""
    return APPLICATIONS[FAMILIES[family]].preprocessing


def wanted_by(base: Base) -> Preprocessing | None:
    """What has to be done to raw pixels in front of a base, or None where that is not known."""
    inside = base.config.get("include_preprocessing", True)
    if inside is True:
        return base.facts.preprocessing
    if inside is UNKNOWN:
        return None
    as_torch = base.kind.startswith(("ConvNeXt", "EfficientNetV2B"))
    return APPLICATIONS["DenseNet121" if as_torch else "Xception"].preprocessing


class Way(NamedTuple):
    """The way of pixels to a base.

    Attributes:
        values: what they are when they reach it.
        steps: the nodes on the way that change them, and how.
        from_raw: whether they are certainly raw pixels of 0 to 255 at its beginning.
    """

    values: Values
    steps: list[tuple[Node, Preprocessing]]
    from_raw: bool


def way_to(site: Site) -> Way | None:
    """What happens to pixels before a base, as far back as it is known; None where something on the way is not."""
    *between, source = list(site.upstream())[1:]
    values, steps = RAW, []
    for node in reversed(between):
        step = step_of(node)
        if step is None:
            return None
        if does_something(step):
            values = values.after(step)
            steps.append((node, step))
    return Way(values, steps, source.layer.kind == "pixels")


def step_of(node: Node) -> Preprocessing | None:
    """What a node does to its values, or None where that is not known."""
    layer = node.layer
    if layer.kind == "preprocess_input":
        return preprocess_input(layer.config["family"])
    if layer.kind == "Rescaling":
        scale, offset = (_numbers(layer.config.get(name, default)) for name, default in (("scale", 1), ("offset", 0)))
        return None if scale is None or offset is None else Preprocessing("rescaling", scale, offset)
    if layer.kind == "Normalization":
        return _normalization(layer.config)
    return Preprocessing("none") if layer.kind in _RANGES_KEPT else None


def does_something(step: Preprocessing) -> bool:
    """Whether a step changes values at all."""
    return step.bgr or not (np.allclose(step.scale, 1) and np.allclose(step.offset, 0))


def _normalization(config: dict[str, Any]) -> Preprocessing | None:
    mean, variance = (_numbers(config.get(name)) for name in ("mean", "variance"))
    if mean is None or variance is None:
        return None
    std = np.maximum(np.sqrt(np.broadcast_to(np.asarray(variance, float), 3)), 1e-7)
    scale, offset = 1 / std, -np.broadcast_to(np.asarray(mean, float), 3) / std
    return Preprocessing("normalization", tuple(scale), tuple(offset))


def _numbers(value: Any) -> Any:
    """One number, or three; None for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    while isinstance(value, (list, tuple)) and len(value) == 1:  # as Keras lays out channels: (1, 1, 1, 3)
        value = value[0]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, (list, tuple)) and len(value) == 3:
        ones = [_numbers(one) for one in value]
        return None if None in ones or any(isinstance(one, tuple) for one in ones) else tuple(ones)
    return None
