"""How an image of another shape becomes the input size of a base: headstart's own way, or the exact way of a model.

A model that comes with its own image processor is given pixels that equal those of that processor: which part it keeps,
how it interpolates, and where it rounds.

This module imports nothing of headstart: exports contain a copy of it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

Resize = Literal["stretch", "crop", "pad"]
"""How an image of another shape becomes the input size of a base."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
"""Pillow's filters, by which pixels are interpolated."""

REDUCING_GAP = 3.0
"""Very large images are first reduced by a whole number, to this many times the size or more."""

_LONGEST = 64
"""An image whose resized form would be longer than this many times the result is not resized as a whole."""

_CROP_FRACTION = 0.875  # the centre that ImageNet evaluation keeps: 224 of 256 pixels


@dataclass(frozen=True)
class ResizeRule:
    """The details of a resize; the default is headstart's own way.

    Args:
        kept_fraction: part of the image that is kept, from above 0 to 1: of the short side for ``crop``, of both sides
            for ``stretch``. None means 87.5 % for ``crop``, as ImageNet evaluation does, and the whole image for
            ``stretch``.
        edges: where a crop has whole pixels: in the ``source``, in the ``resized`` image, or nowhere (``none``).
        interpolation: filter.
        antialias: whether the filter is widened when the image becomes smaller.
        bars: value of the pixels that ``pad`` adds, 0 to 255.
        fast: whether large images may be reduced in a faster way before; pixels then differ a little.
    """

    kept_fraction: float | None = None
    edges: Literal["source", "resized", "none"] = "source"
    interpolation: Interpolation = "bicubic"
    antialias: bool = True
    bars: int = 127
    fast: bool = True

    def to_json(self) -> dict[str, Any]:
        """The arguments as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> "ResizeRule":
        """The inverse of :meth:`to_json`; None means headstart's own way."""
        return cls(**value) if value else cls()

    def kept_part(self, resize: Resize) -> float:
        """Part of the image that is kept, with the default of ``resize``."""
        if self.kept_fraction is not None:
            return self.kept_fraction
        return _CROP_FRACTION if resize == "crop" else 1.0


OWN_RULE = ResizeRule()
"""headstart's own way."""


def resize_image(
    image: Image.Image, content: Box, target: tuple[int, int], resize: Resize, rule: ResizeRule, reduced: int = 1
) -> Image.Image:
    """Resize the content of an image; in fractions of pixels, so that a reduced image becomes the same.

    Args:
        image: RGB.
        content: the image within its decoded pixels, from 0, 0.
        target: (width, height) in pixels.
        resize: mode.
        rule: details of the mode.
        reduced: factor by which the decoded pixels were reduced.
    """
    if resize != "pad":
        return _interpolate(image, kept_box(content, target, resize, rule, reduced), target, rule)
    colour = (rule.bars,) * 3
    if not rule.fast:
        left, top, right, bottom = padded_box(*image.size, target, rule)
        canvas = Image.new("RGB", (int(right - left), int(bottom - top)), colour)
        canvas.paste(image, (int(-left), int(-top)))
        return _interpolate(canvas, (0, 0, *canvas.size), target, rule)
    inner, place = _between_bars(content[2], content[3], target)
    canvas = Image.new("RGB", target, colour)
    canvas.paste(_interpolate(image, content, inner, rule), place)
    return canvas


def visible_box(size: tuple[int, int], target: tuple[int, int], resize: Resize, rule: ResizeRule) -> Box:
    """The part of an upright image that its resized form shows, to within a pixel.

    Args:
        size: (height, width) of the image, in pixels.
        target: (height, width) of the resized form, in pixels.
        resize: mode.
        rule: details of the mode.

    Returns:
        In the image's pixels; outside the image where bars were added.
    """
    (h, w), across_and_down = size, target[::-1]
    if resize == "pad":
        return padded_box(w, h, across_and_down, rule)
    return kept_box((0, 0, w, h), across_and_down, resize, rule)


def padded_box(w: int, h: int, target: tuple[int, int], rule: ResizeRule) -> Box:
    """The box that an image with its bars fills, in the image's pixels.

    headstart adds the bars to the resized image; a model's own rule adds them before, as Keras does.
    """
    if rule.fast:
        inner, (left, top) = _between_bars(w, h, target)
        across, down = w / inner[0], h / inner[1]
        return -left * across, -top * down, (target[0] - left) * across, (target[1] - top) * down
    full_w, full_h = max(w, int(h * target[0] / target[1])), max(h, int(w * target[1] / target[0]))
    left, top = (full_w - w) // 2, (full_h - h) // 2
    return -left, -top, w + left, h + top  # two equal bars: Keras leaves out the last row if they do not fill the image


def _between_bars(w: float, h: float, target: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of the image inside the bars, and its upper left corner."""
    scale = min(target[0] / w, target[1] / h)
    inner = (max(1, round(w * scale)), max(1, round(h * scale)))
    return inner, ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)


def kept_box(content: Box, target: tuple[int, int], resize: Resize, rule: ResizeRule, reduced: int = 1) -> Box:
    """The part of an image that ``stretch`` or ``crop`` keeps; arguments as for :func:`resize_image`."""
    kept_fraction = rule.kept_part(resize)
    if resize == "stretch" and kept_fraction == 1.0:
        return content
    w, h = content[2] * reduced, content[3] * reduced
    aspect = target[0] / target[1]
    wide, high = (w, h) if resize == "stretch" else (min(w, h * aspect), min(h, w / aspect))
    if rule.edges == "resized":
        box = _box_in_resized(w, h, target, (wide, high), kept_fraction)
    elif rule.edges == "none":
        left, top = (w - wide * kept_fraction) / 2, (h - high * kept_fraction) / 2
        box = left, top, left + wide * kept_fraction, top + high * kept_fraction
    else:
        side_w, side_h = max(1, int(wide * kept_fraction)), max(1, int(high * kept_fraction))
        left, top = (w - side_w) // 2, (h - side_h) // 2
        box = left, top, left + side_w, top + side_h
    return box[0] / reduced, box[1] / reduced, box[2] / reduced, box[3] / reduced


def _box_in_resized(
    w: float, h: float, target: tuple[int, int], square: tuple[float, float], kept_fraction: float
) -> Box:
    """The box in an image whose resized form is cropped: its sides, and the edges of the crop, are whole pixels there.

    The shorter side is rounded to the nearest pixel, the longer one is rounded down.
    """
    full_w, full_h = (
        int(round(side / kept_fraction) * long / short + 1e-6) if long > short else round(side / kept_fraction)
        for side, long, short in zip(target, (w, h), square, strict=True)
    )
    left, top = (full_w - target[0]) // 2, (full_h - target[1]) // 2
    across, down = w / full_w, h / full_h
    return left * across, top * down, (left + target[0]) * across, (top + target[1]) * down


def _interpolate(image: Image.Image, box: Box, size: tuple[int, int], rule: ResizeRule) -> Image.Image:
    name = rule.interpolation
    if not rule.antialias and name in ("bilinear", "bicubic"):
        return Image.fromarray(_interpolate_without_antialias(np.asarray(image), box, size, name))
    resample = Image.Resampling[name.upper()]
    if rule.fast:
        return image.resize(size, resample, box, reducing_gap=REDUCING_GAP)
    if rule.edges == "resized":
        return _crop_of_resized(image, box, size, resample)
    if rule.edges == "source":  # nothing outside the crop has an influence
        image, box = image.crop(tuple(map(round, box))), (0, 0, box[2] - box[0], box[3] - box[1])  # type: ignore[arg-type]
    return image.resize(size, resample, box)


def _crop_of_resized(image: Image.Image, box: Box, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Resize the whole image, then crop it: resizing the box alone would differ by 1, in tall images by far more.

    Pillow 13 resizes some tall images along the vertical axis first, and may do so for the box but not for the image.
    """
    whole = [round(n * side / (box[i + 2] - box[i])) for i, (n, side) in enumerate(zip(image.size, size, strict=True))]
    if max(whole) > _LONGEST * max(size):
        return image.resize(size, resample, box)
    left, top = (round(box[i] * whole[i] / image.size[i]) for i in range(2))
    return image.resize((whole[0], whole[1]), resample).crop((left, top, left + size[0], top + size[1]))


def _interpolate_without_antialias(pixels: np.ndarray, box: Box, size: tuple[int, int], name: str) -> np.ndarray:
    """Interpolate between the two or four nearest pixels on each axis, however small the image becomes.

    Args:
        pixels: uint8 (h, w, 3).
        box: part of the image that is used.
        size: (width, height) of the result.
        name: ``bilinear``, or ``bicubic`` with Keys's parameter -0.5 as in TensorFlow.
    """
    for axis, (start, stop, n) in enumerate(((box[1], box[3], size[1]), (box[0], box[2], size[0]))):
        place = start + (np.arange(n) + 0.5) * ((stop - start) / n) - 0.5
        taps = np.floor(place)[:, None].astype(int) + (np.arange(2) if name == "bilinear" else np.arange(-1, 3))
        x = np.abs(place[:, None] - taps)
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        weights = 1 - x if name == "bilinear" else np.where(x <= 1, near, far)
        inside = np.clip(taps, int(start), int(np.ceil(stop)) - 1)
        weights = weights if name == "bilinear" else weights * (inside == taps)
        weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
        columns = weights.reshape(*weights.shape, *(1,) * (2 - axis))
        pixels = sum(np.take(pixels, inside[:, i], axis) * columns[:, i] for i in range(inside.shape[1]))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
