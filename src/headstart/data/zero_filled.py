"""Image files whose end is zeros, as downloads and copies leave them that reserve the size first and are then aborted.

The decoders of many formats take the zeros for pixels and say nothing. A file may also end in zeros rightly:

- JPEG, PNG and GIF have a marker at their end. Zeros after it are padding, zeros instead of it are damage.
- WebP has none, and flat areas at the bottom of an image are many zeros: 99.9 % of a file can be zeros. But then the
  decoded area is flat. The zeros of a damaged file are far more than such an area takes.
- BMP and TIFF without compression: black areas are zeros. Damage begins within a row of pixels, where both the pixels
  before it and those above the zeros are not black; black areas that begin like this are rare. Zeros that begin with a
  row count as a black area.
"""

import io
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from PIL import Image

_FEWEST = 16  # zeros at the end
_BLOCK = 16  # pixels a side of a block of WebP
_FLAT = 4  # largest difference of the values in a flat block
_BYTES_OF_FLAT = {"VP8 ": 16, "VP8L": 600}  # most zeros for each flat block; 7 and 270 were measured
_MORE_BLOCKS = 4
_NOT_BLACK = 0.7  # of the pixels around the place where zeros begin
_FEWEST_PIXELS = 4
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES, _COMPRESSION, _BITS, _SAMPLES, _PLANES, _TILE_WIDTH = (
    273, 279, 324, 325, 259, 258, 277, 284, 322
)  # fmt: skip
_SEPARATE = 2  # planes: one after another


def first_zero(data: bytes) -> int:
    """Position of the first of the zeros at the end; the length of the data if there are but a few."""
    if data[-_FEWEST:].strip(b"\0"):
        return len(data)
    return len(data.rstrip(b"\0"))


def is_zero_filled(data: bytes, image: Image.Image) -> bool:
    """Whether the end of an image file is lost, and zeros are in its place.

    Args:
        data: the content of the file.
        image: the same, opened.
    """
    start = first_zero(data)
    check = _CHECKS.get(str(image.format))
    return start < len(data) and check is not None and check(data, start, image)


def _jpeg(data: bytes, start: int, image: Image.Image) -> bool:
    """Whether there is no marker of the end after the scans; there are others in embedded previews."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xD9:
            return False
        if marker == 0xFF:  # fill bytes
            position += 1
            continue
        position += 2 + (
            0 if marker == 1 or 0xD0 <= marker <= 0xD7 else struct.unpack_from(">H", data, position + 2)[0]
        )
        if marker == 0xDA:
            position = _end_of_scan(data, position)
    return data[position : position + 2] != b"\xff\xd9"


def _end_of_scan(data: bytes, position: int) -> int:
    """Position of the next marker that is neither a stuffed byte nor a restart; else the length."""
    while (position := data.find(b"\xff", position)) >= 0:
        following = data[position + 1 : position + 2]
        if following and following[0] and not 0xD0 <= following[0] <= 0xD7:
            return position
        position += 1
    return len(data)


def _png(data: bytes, start: int, image: Image.Image) -> bool:
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IEND":
            return False
        position += 12 + length
    return True


def _gif(data: bytes, start: int, image: Image.Image) -> bool:
    position = 13 + _colours(data[10])
    while position < len(data) and data[position] in (0x21, 0x2C):
        if data[position] == 0x21:
            position += 2
        else:
            position += 11 + (_colours(data[position + 9]) if position + 9 < len(data) else 0)
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1
    return data[position : position + 1] != b";"


def _colours(flags: int) -> int:
    """Bytes of the colour table that flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes, start: int, image: Image.Image) -> bool:
    chunk, end = next(((kind, end) for kind, end in _chunks(data) if start < end), ("", len(data)))
    if end < len(data):  # zeros beyond it: a chunk without a name, or padding after the file
        size = 8 + struct.unpack_from("<I", data, 4)[0]
        return bool(chunk) and end < size
    if chunk == "":
        return False
    if chunk not in _BYTES_OF_FLAT:
        return chunk in ("ALPH", "ANMF", "\0\0\0\0")
    with Image.open(io.BytesIO(data)) as whole:
        flat = _flat_blocks_at_end(np.asarray(whole.convert("RGB")))
    return len(data) - start > _BYTES_OF_FLAT[chunk] * (flat + _MORE_BLOCKS)


def _chunks(data: bytes) -> Iterator[tuple[str, int]]:
    """The chunks of a RIFF file: name and end."""
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        position += 8 + size + size % 2
        yield kind.decode("latin-1"), position


def _flat_blocks_at_end(pixels: np.ndarray) -> int:
    """How many blocks, counted from the lower right corner, have one colour: of pixels, uint8 (h, w, 3)."""
    h, w = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -h % _BLOCK), (0, -w % _BLOCK), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // _BLOCK, _BLOCK, -1, _BLOCK, 3)
    is_detailed = (blocks.max((1, 3)).astype(int) - blocks.min((1, 3))).max(-1).ravel() > _FLAT
    detailed = np.flatnonzero(is_detailed)
    return int(is_detailed.size - (detailed[-1] + 1 if detailed.size else 0))


def _bmp(data: bytes, start: int, image: Image.Image) -> bool:
    offset, header = struct.unpack_from("<I", data, 10)[0], struct.unpack_from("<I", data, 14)[0]
    bits = struct.unpack_from("<H", data, 24 if header == 12 else 28)[0]
    if header > 12 and struct.unpack_from("<I", data, 30)[0] in (1, 2):  # run lengths, which have a marker at the end
        return data[start - 2 : start] != b"\0\1"
    row, width = (bits * image.width + 31) // 32 * 4, (bits * image.width + 7) // 8
    return _is_cut(data[: offset + row * image.height], offset, start, row, width, max(1, bits // 8))


def _tiff(data: bytes, start: int, image: Image.Image) -> bool:
    tags = image.tag_v2  # type: ignore[attr-defined]
    tiled = _TILE_OFFSETS in tags
    offsets, sizes = (
        tags.get(tag, ()) for tag in ((_TILE_OFFSETS, _TILE_SIZES) if tiled else (_STRIP_OFFSETS, _STRIP_SIZES))
    )
    pieces = sorted((offset, offset + size) for offset, size in zip(offsets, sizes, strict=False))
    if not pieces or pieces[-1][1] <= start:
        return False
    if tags.get(_COMPRESSION, 1) != 1:  # no kind of compression ends a strip in many zeros
        return any(min(end, len(data)) - max(start, begin) >= min(_FEWEST, end - begin) for begin, end in pieces)
    if any(end != begin for (_, end), (begin, _) in pairwise(pieces)):
        return False
    samples, bits = tags.get(_SAMPLES, 1), tags.get(_BITS, (1,))
    is_planar = tags.get(_PLANES, 1) == _SEPARATE
    bits_of_pixel = bits[0] if is_planar else sum(bits) if len(bits) == samples else bits[0] * samples
    row = ((tags[_TILE_WIDTH] if tiled else image.width) * bits_of_pixel + 7) // 8
    return _is_cut(data[: pieces[-1][1]], pieces[0][0], start, row, row, max(1, bits_of_pixel // 8))


def _is_cut(data: bytes, offset: int, start: int, row: int, width: int, pixel: int) -> bool:
    """Whether zeros begin within a row of pixels, as no black area does.

    Args:
        data: the file up to the end of its pixels.
        offset: of the first pixel.
        start: of the zeros.
        row: bytes of a row.
        width: bytes of the pixels in it, which padding may follow.
        pixel: bytes of a pixel.
    """
    position = (start - offset) % row
    if len(data) - start < 2 * row or start - offset < row or not 0 < position <= width - pixel:
        return False
    column = position // pixel * pixel
    begin = start - position
    before = data[begin : begin + max(column, pixel)]
    above = data[begin - row + column + pixel : begin - row + width]
    n_pixels = (len(before) + len(above)) // pixel
    return n_pixels >= _FEWEST_PIXELS and all(_share_not_black(part, pixel) >= _NOT_BLACK for part in (before, above))


def _share_not_black(data: bytes, pixel: int) -> float:
    """The share of pixels that are not zero; 1 of none."""
    n = len(data) // pixel
    return float(np.frombuffer(data[: n * pixel], np.uint8).reshape(n, pixel).any(1).mean()) if n else 1.0


_CHECKS: dict[str, Callable[[bytes, int, Image.Image], bool]] = {
    "JPEG": _jpeg, "MPO": _jpeg, "PNG": _png, "GIF": _gif, "WEBP": _webp, "BMP": _bmp, "TIFF": _tiff
}  # fmt: skip
