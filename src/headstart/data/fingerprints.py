"""What is noted of every picture when it is decoded: its header, and what it looks like, very small."""

import json
from typing import NamedTuple

import numpy as np
from PIL import Image

from headstart.data.images import Header, read_header

SIDE = 32
"""Of a fingerprint, in pixels."""

_BLANK_RANGE = 2  # grey levels


class ImageInfo(NamedTuple):
    """A picture at a glance.

    Attributes:
        header: what the file says of itself.
        fingerprint: SIDE x SIDE grey levels, row by row, a byte each.
    """

    header: Header
    fingerprint: bytes

    @property
    def is_blank(self) -> bool:
        """Whether it is all of one grey."""
        levels = set(self.fingerprint)
        return max(levels) - min(levels) <= _BLANK_RANGE


def inspect_image(data: bytes, pixels: np.ndarray) -> ImageInfo:
    """Note what there is to note.

    Args:
        data: the file's content.
        pixels: uint8 (h, w, 3), decoded from it for a base.
    """
    small = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return ImageInfo(read_header(data), small.tobytes())


def pack(look: ImageInfo) -> tuple[str, bytes]:
    """For a database."""
    return json.dumps(look.header), look.fingerprint


def unpack(header: str, fingerprint: bytes) -> ImageInfo:
    """What :func:`pack` made."""
    return ImageInfo(Header(*json.loads(header)), fingerprint)
