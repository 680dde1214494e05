"""Header and fingerprint of every image, taken when it is decoded. A fingerprint is the image at 32 x 32 pixels."""

import json
from typing import NamedTuple

import numpy as np
from PIL import Image

from headstart.data.images import Header, read_header

SIDE = 32
"""Side of a fingerprint, in pixels."""

_BLANK_RANGE = 2  # grey levels


class ImageInfo(NamedTuple):
    """Header and fingerprint of an image.

    Attributes:
        header: of the file.
        fingerprint: SIDE x SIDE grey levels, row by row, one byte each.
    """

    header: Header
    fingerprint: bytes

    @property
    def is_blank(self) -> bool:
        """Whether all pixels have the same grey level, nearly."""
        levels = set(self.fingerprint)
        return max(levels) - min(levels) <= _BLANK_RANGE


def inspect_image(data: bytes, pixels: np.ndarray) -> ImageInfo:
    """Header and fingerprint of an image.

    Args:
        data: the file's content.
        pixels: uint8 (h, w, 3), decoded from it.
    """
    small = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return ImageInfo(read_header(data), small.tobytes())


def pack(info: ImageInfo) -> tuple[str, bytes]:
    """As values for a database."""
    return json.dumps(info.header), info.fingerprint


def unpack(header: str, fingerprint: bytes) -> ImageInfo:
    """What :func:`pack` made."""
    return ImageInfo(Header(*json.loads(header)), fingerprint)
