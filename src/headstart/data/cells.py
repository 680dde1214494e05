"""Values in the cells of tables, as pandas and pyarrow give them: missing ones, numbers, bytes, images."""

from typing import Any

import numpy as np

_STARTS = {
    b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif",
}  # fmt: skip


def cell_text(value: Any) -> str:
    """A cell as text: missing values of every kind are empty, and 3.0 from a column with gaps is 3.

    Bytes are read as UTF-8; those that are not UTF-8 become lone surrogates. Of Hugging Face's files it is the path.
    """
    if isinstance(value, dict) and "path" in value:
        value = value["path"]
    if is_missing(value):
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "surrogateescape").strip()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def is_missing(value: Any) -> bool:
    """Whether a cell has no value: None, NaN, NaT or pandas.NA."""
    if value is None:
        return True
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except TypeError:  # pandas.NA is neither true nor false
        return True
    except ValueError:  # an array
        return False


def file_content(value: Any) -> bytes | None:
    """The bytes of a file in a cell, bare or in Hugging Face's struct of bytes and path; None if it has none."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None


def image_extension(content: bytes) -> str:
    """The extension of an image by its first bytes; empty if they are not those of an image."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    return next((extension for start, extension in _STARTS.items() if content.startswith(start)), "")
