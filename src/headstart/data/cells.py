"""Values in the cells of tables, as pandas and pyarrow give them: missing ones, numbers, bytes, images."""

import base64
import os
import re
from typing import Any

import numpy as np

_STARTS = {
    b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif",
}  # fmt: skip
_SHORTEST = 60  # characters of an image as text
_MAGIC = 12  # bytes that tell the format of an image
_LONGEST_PATH = 4096  # characters, as on Linux
# Base64 of the first bytes of JPEG, PNG, GIF, WebP and TIFF, or its form for URLs. The length tells it from a path.
_BASE64 = re.compile(
    r"(?:data:image/[^,]{1,80},|(?=[/_]9j[/_]|iVBORw0KGgo|R0lGOD|UklGR|SUkqA|TU0AK))([A-Za-z0-9+/_\-\s]{60,}=*\s*)"
)
_URL_DIGITS = str.maketrans("-_", "+/")
# The same in hexadecimal digits, as PostgreSQL writes bytes.
_HEX = re.compile(r"(?:\\x|0x)?((?:ffd8ff|89504e47|47494638|52494646|49492a00|4d4d002a)(?:[0-9a-f]{2}){40,})", re.I)


def cell_text(value: Any) -> str:
    """A cell as text: missing values of every kind are empty, and 3.0 from a column with gaps is 3.

    Bytes are read as UTF-8; those that are not UTF-8 become lone surrogates. Of Hugging Face's files it is the path.
    The words of a list are joined by spaces.
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict) and "path" in value:
        value = value["path"]
    if isinstance(value, list | tuple | np.ndarray) and all(isinstance(word, str) for word in value):
        return " ".join(value).strip()
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
    """The bytes of a file in a cell; None if it holds none.

    They may be bare, a list of numbers, in base64, in hexadecimal digits, in Hugging Face's struct of bytes and path,
    or in a list with one such value.
    """
    if isinstance(value, str):
        return _decoded(value) if len(value) >= _SHORTEST else None
    if isinstance(value, list | tuple | np.ndarray):
        if len(value) != 1 and not _are_bytes(value):
            return None
        value = value[0] if len(value) == 1 else bytes(value)
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, str):
        return _decoded(value)
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None


def _decoded(text: str) -> bytes | None:
    """The bytes of an image that are written as text; None if they are not."""
    if encoded := _BASE64.fullmatch(text):
        digits = "".join(encoded[1].split()).rstrip("=").translate(_URL_DIGITS)
        return base64.b64decode(digits[: len(digits) - (len(digits) % 4 == 1)] + "==")
    return bytes.fromhex(encoded[1]) if (encoded := _HEX.fullmatch(text)) else None


def _are_bytes(values: Any) -> bool:
    """Whether a list has the bytes of an image; an array of pixels has more dimensions."""
    start = list(values[:_MAGIC])
    is_number = all(isinstance(value, int | np.integer) and 0 <= value < 256 for value in start)
    return bool(start) and is_number and bool(image_extension(bytes(start)))


def text_problem(value: Any) -> str:
    """Why a cell cannot be a text; empty if it can, or is missing."""
    is_list = isinstance(value, list | tuple | np.ndarray)
    if isinstance(value, dict) or (is_list and not all(isinstance(word, str) for word in value)):
        kind = "a list of other values than words" if is_list else "an object"
        return f"holds {kind}, not a text"
    return ""


def path_problem(value: Any) -> str:
    """Why a cell cannot be the path of a file; empty if it can, or is missing."""
    if isinstance(value, dict):
        value = value.get("path", value)
    if isinstance(value, str):
        return "" if _is_path(value) else "holds a text that is no path"
    if isinstance(value, bytes | bytearray | memoryview):
        return (
            ""
            if _is_path(bytes(value).decode("utf-8", "replace"))
            else "holds bytes that are no image in a known format"
        )
    if is_missing(value) or isinstance(value, os.PathLike | int | float | np.number):
        return ""
    return f"holds a value of type {type(value).__name__}, not a path or the content of an image file"


def _is_path(text: str) -> bool:
    return len(text) <= _LONGEST_PATH and "\ufffd" not in text and min(text, default=" ") >= " "


def image_extension(content: bytes) -> str:
    """The extension of an image by its first bytes; empty if they are not those of an image."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    return next((extension for start, extension in _STARTS.items() if content.startswith(start)), "")
