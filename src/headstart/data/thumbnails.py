"""Thumbnails inside a page, as ``data:`` addresses."""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from headstart.data.examples import Example
from headstart.data.images import Box, upright_size, whole_image
from headstart.errors import BadExample


class Thumbnail(NamedTuple):
    """A small upright image.

    Attributes:
        pixels: uint8 (h, w, 3).
        size: (height, width) of the original image.
    """

    pixels: np.ndarray
    size: tuple[int, int]


def thumbnail(example: Example, longest_px: int) -> Thumbnail | None:
    """An image with no side longer than this; None if its file is gone or cannot be read."""
    try:
        data = example.read()
        return Thumbnail(whole_image(data, longest_px), upright_size(data))
    except BadExample:
        return None


class Closeup(NamedTuple):
    """A square part of an upright image.

    Attributes:
        pixels: uint8 (h, w, 3).
        box: the part, in pixels of the original image.
    """

    pixels: np.ndarray
    box: Box


def closeup(example: Example, box: Box, least_share: float, longest_px: int) -> Closeup | None:
    """The square part of an image around a box; None if its file is gone or cannot be read.

    Args:
        example: the image.
        box: in pixels of the upright image; what is outside of it is left out.
        least_share: least side of the part, as a share of the longer side of the image.
        longest_px: greatest side of the result.
    """
    try:
        data = example.read()
        height, width = upright_size(data)
        x1, y1, x2, y2 = box
        side = max(x2 - x1, y2 - y1, least_share * max(height, width), 1.0)
        left, upper = _within((x1 + x2) / 2, side, width), _within((y1 + y2) / 2, side, height)
        right, lower = min(left + side, width), min(upper + side, height)
        pixels = whole_image(data, max(1, round(max(height, width) * min(1.0, longest_px / side))))
    except BadExample:
        return None
    scale = pixels.shape[1] / width
    rows, columns = (
        slice(int(a * scale), max(int(a * scale) + 1, round(b * scale))) for a, b in ((upper, lower), (left, right))
    )
    return Closeup(pixels[rows, columns], (left, upper, right, lower))


def _within(centre: float, side: float, length: float) -> float:
    """Where a part of a length begins, moved into it; 0 where the part is longer."""
    return max(0.0, min(centre - side / 2, length - side))


def jpeg(pixels: np.ndarray, quality: int = 80) -> bytes:
    """Pixels, uint8 (h, w, 3), as the content of a JPEG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def address(pixels: np.ndarray) -> str:
    """Pixels, uint8 (h, w, 3), as the ``data:`` address of a JPEG."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(pixels)).decode('ascii')}"
