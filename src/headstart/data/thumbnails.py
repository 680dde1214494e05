"""Thumbnails inside a page, as ``data:`` addresses."""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from headstart.data.examples import Example
from headstart.data.images import upright_size, whole_image
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


def jpeg(pixels: np.ndarray, quality: int = 80) -> bytes:
    """Pixels, uint8 (h, w, 3), as the content of a JPEG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def address(pixels: np.ndarray) -> str:
    """Pixels, uint8 (h, w, 3), as the ``data:`` address of a JPEG."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(pixels)).decode('ascii')}"
