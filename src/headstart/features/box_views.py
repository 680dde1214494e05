"""Views of an image with its boxes: flipped, scaled, shifted and recoloured at random; boxes follow the pixels.

A view shows a window of the upright image, which may extend beyond it; there the view is grey. The view that the
decoder itself gives shows the decoder's own window (:meth:`headstart.data.images.Decoder.visible_box`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from headstart.data.images import upright_size, whole_image
from headstart.data.resizing import Box
from headstart.tasks.detection.boxes import Boxes, areas

_SCALES = (0.6, 1.5)
_ASPECT = 0.1  # relative change of the aspect ratio
_COLOUR = 0.3  # relative change of brightness, contrast and saturation
_KEPT_AREA = 0.35  # of a box that is cut off by the edge of the view, or the box is dropped
_MIN_SIDE_PX = 2.0
_GREY = (124, 116, 104)  # ImageNet's mean

_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclass(frozen=True)
class View:
    """What one view shows.

    Attributes:
        window: (x1, y1, x2, y2) in pixels of the upright image.
        is_flipped: whether left and right are exchanged.
        colours: factors of brightness, contrast and saturation; None leaves them as they are.
    """

    window: Box
    is_flipped: bool = False
    colours: tuple[float, float, float] | None = None


def random_view(window: Box, rng: np.random.Generator, *, flips: bool = True) -> View:
    """A random view.

    Args:
        window: what the view without changes shows.
        rng: source of the randomness.
        flips: whether left and right may be exchanged.
    """
    x1, y1, x2, y2 = window
    scale = np.exp(rng.uniform(*np.log(_SCALES)))
    stretch = np.exp(rng.uniform(-_ASPECT, _ASPECT) / 2)
    w, h = (x2 - x1) / scale * stretch, (y2 - y1) / scale / stretch
    # A smaller window lies within the image, a larger one contains it.
    low_x = x1 + rng.uniform() * (x2 - x1 - w)
    low_y = y1 + rng.uniform() * (y2 - y1 - h)
    colours = tuple(np.exp(rng.uniform(-_COLOUR, _COLOUR, 3)).tolist())
    return View((low_x, low_y, low_x + w, low_y + h), flips and bool(rng.random() < 0.5), colours)


def view_pixels(data: bytes, views: Sequence[View], size: tuple[int, int]) -> np.ndarray:
    """The pixels of some views of one image, which is decoded once.

    Args:
        data: content of the image file.
        views: what to show.
        size: (height, width) of a view, in pixels.

    Returns:
        uint8 (views, h, w, 3).

    Raises:
        BadExample: the image is damaged.
    """
    original_h, _ = upright_size(data)
    pixels = whole_image(data, round(max(size) * _SCALES[1]))
    image, reduction = Image.fromarray(pixels), len(pixels) / original_h
    return np.stack([_show(image, reduction, view, size) for view in views])


def _show(image: Image.Image, reduction: float, view: View, size: tuple[int, int]) -> np.ndarray:
    window = np.array(view.window) * reduction
    inside = np.array([*np.maximum(window[:2], 0), *np.minimum(window[2:], image.size)])
    scale = np.array(size[::-1]) / (window[2:] - window[:2])
    low = np.rint((inside[:2] - window[:2]) * scale).astype(int)
    high = np.maximum(np.rint((inside[2:] - window[:2]) * scale).astype(int), low + 1)
    part = image.resize(tuple((high - low).tolist()), Image.Resampling.BILINEAR, box=tuple(inside.tolist()))
    for enhance, factor in zip(_ENHANCERS, view.colours or (), strict=False):
        part = enhance(part).enhance(factor)
    canvas = Image.new("RGB", size[::-1], _GREY)
    canvas.paste(part, tuple(low.tolist()))
    return np.asarray(canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.is_flipped else canvas)


def view_boxes(boxes: Boxes, view: View, size: tuple[int, int]) -> Boxes:
    """The objects in a view, in its pixels; those of which too little is visible are left out.

    Args:
        boxes: in pixels of the upright image.
        view: what is shown.
        size: (height, width) of the view, in pixels.
    """
    x1, y1, x2, y2 = view.window
    scale = np.array([size[1] / (x2 - x1), size[0] / (y2 - y1)] * 2)
    moved = (boxes.coordinates - np.array([x1, y1, x1, y1])) * scale
    if view.is_flipped:
        moved = np.stack([size[1] - moved[:, 2], moved[:, 1], size[1] - moved[:, 0], moved[:, 3]], axis=1)
    clipped = np.clip(moved, 0, [size[1], size[0]] * 2)
    sides = (clipped[:, 2:] - clipped[:, :2]).min(1)
    visible = (areas(clipped) >= _KEPT_AREA * areas(moved)) & (sides >= _MIN_SIDE_PX)
    return Boxes(clipped[visible], boxes.classes[visible], boxes.ignored[visible], size)
