"""TIFF and BMP files that mean something else than Pillow reads, and files of other formats under these names."""

import runpy
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.data.images import Decoder
from headstart.errors import BadExample
from headstart.exporting.companions import write_companions
from headstart.exporting.formats import FORMATS
from tests.conftest import SIZE

GREY = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
COLOURS = np.stack([GREY, GREY[:, ::-1], np.full_like(GREY, 90)], axis=-1)
GREYS = np.stack([GREY] * 3, axis=-1)


def _tiff(values: np.ndarray, tags: dict[int, tuple[int, ...]]) -> bytes:
    """A TIFF without compression; each tag has numbers of 16 bits."""
    content = values.tobytes()
    h, w = values.shape[:2]
    samples = 1 if values.ndim == 2 else values.shape[2]
    bits = (8 * values.dtype.itemsize,) * samples
    tags = {256: (w,), 257: (h,), 258: bits, 259: (1,), 277: (samples,), 278: (h,), **tags}
    numbers = {273: 8, 279: len(content)}  # of 32 bits
    extra, entries = b"", b""
    for tag in sorted([*tags, *numbers]):
        if tag in numbers:
            entries += struct.pack("<HHII", tag, 4, 1, numbers[tag])
            continue
        packed = struct.pack(f"<{len(tags[tag])}H", *tags[tag])
        if len(packed) > 4:
            packed, extra = struct.pack("<I", 8 + len(content) + len(extra)), extra + packed
        entries += struct.pack("<HHI", tag, 3, len(tags[tag])) + packed.ljust(4, b"\0")
    directory = struct.pack("<H", len(tags) + len(numbers)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(content) + len(extra)) + content + extra + directory


def _palette_tiff() -> bytes:
    """Its colour map has values of 8 bits, as old programs write them."""
    colour_map = np.arange(256), np.arange(255, -1, -1), np.full(256, 90)
    return _tiff(GREY, {262: (3,), 320: tuple(int(value) for part in colour_map for value in part)})


def _bmp(alpha: int) -> bytes:
    """A BMP of version 4 that declares opacity, the same in each pixel."""
    pixels = np.dstack([COLOURS[::-1, :, ::-1], np.full_like(GREY, alpha)]).tobytes()
    h, w = GREY.shape
    header = struct.pack("<IiiHHIIiiII", 108, w, h, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + header + masks + pixels


def _with_infrared(dtype: type, scale: int) -> np.ndarray:
    return (np.dstack([COLOURS, GREY // 3]).astype(np.uint32) * scale).astype(dtype)


FILES: dict[str, tuple[str, Callable[[], bytes], np.ndarray]] = {
    "near infrared": ("tif", lambda: _tiff(_with_infrared(np.uint8, 1), {262: (2,)}), COLOURS),
    "near infrared, declared": ("tif", lambda: _tiff(_with_infrared(np.uint8, 1), {262: (2,), 338: (0,)}), COLOURS),
    "near infrared of 16 bits": ("tif", lambda: _tiff(_with_infrared(np.uint16, 257), {262: (2,)}), COLOURS),
    "opacity": ("tif", lambda: _tiff(np.dstack([COLOURS, np.full_like(GREY, 255)]), {262: (2,), 338: (2,)}), COLOURS),
    "32 bits without sign": (
        "tif", lambda: _tiff(GREY.astype(np.uint32) * 16_843_009, {262: (1,), 339: (1,)}), GREYS),
    "16 bits with sign": (
        "tif", lambda: _tiff((GREY * 128.5).astype(np.int16), {262: (1,), 339: (2,)}), GREYS),
    "palette of 8 bits": ("tif", _palette_tiff, np.stack([GREY, 255 - GREY, np.full_like(GREY, 90)], axis=-1)),
    "BMP with opacity 0": ("bmp", lambda: _bmp(0), COLOURS),
    "BMP with opacity": ("bmp", lambda: _bmp(255), COLOURS),
}  # fmt: skip


@pytest.fixture(scope="module")
def read_of_export(run: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], np.ndarray]:
    """The function of an export's script that reads an image."""
    folder = tmp_path_factory.mktemp("export") / "export"
    shutil.copytree(run.folder / "engine", folder)
    write_companions(folder, run.folder, run.facts, FORMATS["openvino"], {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["predict.py"])
        patch.syspath_prepend(folder)
        read: Callable[[Path], np.ndarray] = runpy.run_path(str(folder / "predict.py"))["read"]
    return read


@pytest.mark.parametrize("name", FILES)
def test_unusual_pixels(name: str, tmp_path: Path, read_of_export: Callable[[Path], np.ndarray]) -> None:
    suffix, write, expected = FILES[name]
    file = tmp_path / f"image.{suffix}"
    file.write_bytes(write())
    np.testing.assert_allclose(Decoder(GREY.shape).read(file), expected, atol=1)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_of_export(file)[0], Decoder((SIZE, SIZE)).read(file))


def test_transparent_parts_of_a_tiff_are_white(tmp_path: Path) -> None:
    pixels = np.dstack([COLOURS, np.full_like(GREY, 255)])
    pixels[:24, :, 3] = 0
    for suffix in ("tif", "png"):
        Image.fromarray(pixels).save(tmp_path / f"image.{suffix}")
        read = Decoder(GREY.shape).read(tmp_path / f"image.{suffix}")  # type: ignore[arg-type]
        assert (read[:24] == 255).all()
        np.testing.assert_array_equal(read[24:], COLOURS[24:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_tiff((GREY.astype(int) - 128).astype(np.int8), {262: (1,), 339: (2,)}), "signed values of 8 bits"),
        (_tiff(GREY.astype(np.float64), {262: (1,), 339: (3,)}), "a TIFF with a form of pixels that cannot be read"),
        (b"\0\0\0\x18ftypheic" + bytes(range(1, 99)), "but HEIC: save it as JPEG or PNG"),
        (b"\0\0\0\x1cftypavif" + bytes(range(1, 99)), "but AVIF"),
        (b"\0\0\0\x18ftypmp42" + bytes(range(1, 99)), "but a video"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(range(1, 99)), "but JPEG 2000"),
        (b"%PDF-1.7\n" + bytes(range(1, 99)), "but a PDF"),
        (bytes(range(128)) + b"DICM" + bytes(range(1, 99)), "but DICOM"),
        (b"P6 2 2 255\n" + bytes(range(1, 13)), "but Netpbm"),
        (b'{"error": "rate limit"}', "JSON, such as the error message of a server"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_named(content: bytes, message: str) -> None:
    with pytest.raises(BadExample, match=message):
        Decoder((8, 8)).decode(content, ".jpg" if b"II" not in content[:2] else ".tif")
