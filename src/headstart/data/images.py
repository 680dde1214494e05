"""The one decoding path: bytes -> uint8 RGB -> the base's input size. Training, evaluation, prediction all come here.

Nothing here depends on defaults of a library: EXIF rotation is applied, transparency is laid on white, CMYK, palette,
grey and bilevel images become RGB, the range of values beyond 8 bits is known (:mod:`headstart.data.bit_depth`), an
animation gives its first frame.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import (  # the plugins by name: Pillow's own lazy loading of them is not safe across threads
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from headstart.data.bit_depth import (
    SampleRange,
    exceeds_8_bits,
    has_separate_wide_planes,
    has_signed_bytes,
    measure_range,
    to_8_bits,
)
from headstart.data.cells import image_extension
from headstart.data.colours import to_rgb
from headstart.data.examples import Example, FileExample
from headstart.data.readers import decode_example
from headstart.data.resizing import OWN_RULE, Box, Resize, ResizeRule, resize_image, visible_box
from headstart.data.zero_filled import first_zero, is_zero_filled
from headstart.errors import BadExample

DECODER_VERSION = 4
"""Part of every cache key: raise it when the same bytes would give other pixels."""

MAX_PIXELS = 89_000_000
"""Larger images are not decoded: a PNG of a few kilobytes can take gigabytes of memory ("decompression bomb")."""

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),  # what some phones write: a JPEG with a second image after it
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
_MANY_BITS = (".png", ".tif", ".tiff")
_MEASURED = 200  # images that tell the range of a data set
_PLUGINS = (
    BmpImagePlugin, GifImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
)  # fmt: skip
EXTENSIONS = frozenset(extension for extensions in FORMATS.values() for extension in extensions)

_OPENED = [name for name in FORMATS if name != "MPO"]  # Pillow opens an MPO through its JPEG plugin

_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
_OTHER_FORMATS = {
    "HEIC": re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL),
    "AVIF": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "a video": re.compile(rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01\xba", re.DOTALL),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"),
    "DICOM": re.compile(rb".{128}DICM", re.DOTALL),
    "a PDF": re.compile(rb"\s*%PDF-"),
    "a Photoshop file": re.compile(rb"8BPS"),
    "Netpbm (PPM, PGM, PBM)": re.compile(rb"P[1-7]\s"),
    "an icon": re.compile(rb"\0\0[\x01\x02]\0[^\0]"),
    "OpenEXR": re.compile(rb"v/1\x01"),
    "FITS": re.compile(rb"SIMPLE  ="),
    "a NumPy array": re.compile(rb"\x93NUMPY"),
    "an archive": re.compile(rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!"),
}
"""What is no image that can be opened -> how it begins; the first that matches."""

_ORIENTATION = 0x0112  # the EXIF tag; its values 5 to 8 lie on their side
_PNG_TEXTS, _EXIF_TEXTS = (b"tEXt", b"zTXt", b"iTXt"), (b"Raw profile type exif", b"XML:com.adobe.xmp")
_SIDEWAYS = (5, 6, 7, 8)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Header(NamedTuple):
    """Header of an image file.

    Attributes:
        format: Pillow's name, such as ``JPEG``.
        mode: Pillow's name for the form of its pixels, such as ``RGB`` or ``CMYK``.
        width: in pixels, before any rotation.
        height: of the image, in pixels.
        orientation: EXIF's number; 1 is upright.
        transparent: whether it has transparency.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int = 1
    transparent: bool = False


def read_header(data: bytes) -> Header:
    """The header of an image that has been decoded; no pixel is decoded.

    Raises:
        BadExample: it is not an image.
    """
    with _opened(data, None) as image:
        orientation = _orientation(image, data)
        return Header(
            str(image.format), image.mode, *image.size, orientation if orientation in _TURNS else 1,
            image.has_transparency_data,
        )  # fmt: skip


@dataclass(frozen=True)
class Decoder:
    """Turns image files into arrays of one size.

    Args:
        size: (height, width) in pixels.
        resize: how another shape becomes that size: ``stretch`` changes the aspect ratio, ``crop`` keeps the centre
            (87.5 % of the short side, as ImageNet evaluation does), ``pad`` adds grey bars.
        rule: the details, for a model that comes with its own image processor.
        sample_range: values that are black and white in images with more than 8 bits; None means that each decides.
    """

    size: tuple[int, int]
    resize: Resize = "stretch"
    rule: ResizeRule = OWN_RULE
    sample_range: SampleRange | None = None

    @property
    def key(self) -> str:
        """Identifies the pixels this decoder gives, for cache keys."""
        own = f"v{DECODER_VERSION}-{self.resize}-{self.size[0]}x{self.size[1]}"
        details = [] if self.rule == OWN_RULE else [*self.rule.to_json().values()]
        return "-".join([own, *map(str, [*details, *(self.sample_range or ())])])

    def read(self, path: Path) -> np.ndarray:
        """Read and decode one file; see :meth:`decode`."""
        return decode_example(self, FileExample(str(path)))

    def decode(self, data: bytes, suffix: str | None = None) -> np.ndarray:
        """Decode the bytes of one image file.

        Args:
            data: the file's content.
            suffix: the extension it came under, such as ``.jpg``; None if it came without a name.

        Returns:
            uint8 array (h, w, 3), RGB.

        Raises:
            BadExample: empty, damaged, truncated, too large, not an image, or another format than its extension says.
        """
        with _opened(data, suffix) as image:
            if is_zero_filled(data, image):
                raise BadExample(_zeros(data))
            return self._pixels(image)

    def batch(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Several images as one array, uint8 (n, h, w, 3)."""
        return np.stack(arrays)

    def check(self, data: bytes, suffix: str | None = None) -> None:
        """Look at the header only; raises BadExample as :meth:`decode` would."""
        with _opened(data, suffix):
            pass

    def visible_box(self, size: tuple[int, int]) -> Box:
        """The part of an upright image that :meth:`decode` shows: resizing undone, to within a pixel.

        Args:
            size: (height, width) of the image, in pixels.

        Returns:
            In the image's pixels; outside the image where grey bars were added.
        """
        return visible_box(size, self.size, self.resize, self.rule)

    def _pixels(self, image: Image.Image) -> np.ndarray:
        h, w = self.size
        if exceeds_8_bits(image):  # asked first: looking for EXIF data loads a PNG
            image = to_8_bits(image, self.sample_range)
        sideways = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
        reduced, content = self._draft(image, (h, w) if sideways else (w, h))
        rgb = to_rgb(image)
        orientation = image.getexif().get(_ORIENTATION, 1)  # again: Pillow turns TIFF by itself as it loads
        if not self.rule.fast and orientation in _TURNS:  # a model's own processor gets upright images
            rgb, orientation = rgb.transpose(_TURNS[orientation]), 1
        target = (h, w) if orientation in _SIDEWAYS else (w, h)
        fitted = resize_image(rgb, content or (0, 0, *rgb.size), target, self.resize, self.rule, reduced)
        turn = _TURNS.get(orientation)
        return np.asarray(fitted.transpose(turn) if turn is not None else fitted, np.uint8)

    def _draft(self, image: Image.Image, target: tuple[int, int]) -> tuple[int, Box | None]:
        """Let libjpeg decode at 1/2, 1/4 or 1/8 where that still has all the pixels we need: large images cost less.

        Returns:
            The factor of the reduction, and the box of the image in the decoded pixels: an eighth of 427 pixels is
            53.375, and 54 are decoded.
        """
        if not self.rule.fast or image.format not in ("JPEG", "MPO") or image.mode not in ("RGB", "L"):
            return 1, None
        scales = [t / s for t, s in zip(target, image.size, strict=True)]
        scale = min(scales) if self.resize == "pad" else max(scales)
        scale /= self.rule.kept_part(self.resize)
        full = image.width
        drafted = image.draft(image.mode, (int(image.width * scale + 1), int(image.height * scale + 1)))
        return (round(full / drafted[1][2]), drafted[1]) if drafted else (1, None)


def upright_size(data: bytes) -> tuple[int, int]:
    """(height, width) of an image in pixels, rotated as its EXIF data say.

    Raises:
        BadExample: it is not an image, or damaged at its start.
    """
    with _opened(data, None) as image:
        return image.size if _orientation(image, data) in _SIDEWAYS else image.size[::-1]


def _orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation of an opened image.

    To look for EXIF data behind the pixels of a PNG, Pillow decodes these: only if there are such data.
    """
    if image.format == "PNG" and not _may_have_exif(data):
        return 1
    orientation: int = image.getexif().get(_ORIENTATION, 1)
    return orientation


def _may_have_exif(png: bytes) -> bool:
    """Whether a PNG has a chunk of EXIF data, or a text from which Pillow takes the orientation."""
    position = 8
    while position + 8 <= len(png):
        length, kind = int.from_bytes(png[position : position + 4], "big"), png[position + 4 : position + 8]
        if kind == b"eXIf" or (kind in _PNG_TEXTS and png.startswith(_EXIF_TEXTS, position + 8)):
            return True
        position += length + 12
    return False


def whole_image(data: bytes, longest_px: int) -> np.ndarray:
    """The whole image, upright, uint8 (h, w, 3); reduced to this size of its longer side.

    Raises:
        BadExample: it is not an image, or damaged.
    """
    h, w = upright_size(data)
    scale = min(1.0, longest_px / max(h, w))
    return Decoder((max(1, round(h * scale)), max(1, round(w * scale)))).decode(data)


def measure_sample_range(examples: Sequence[Example]) -> SampleRange | None:
    """The range of the values beyond 8 bits in a data set, from up to :data:`_MEASURED` such images.

    Args:
        examples: images; only those that may have more than 8 bits by their extension, or have none, are opened.

    Returns:
        None if no image has more than 8 bits, or all of them say their own range.
    """
    possible = [example for example in examples if not example.suffix or example.suffix.lower() in _MANY_BITS]
    sample = possible[:: max(1, len(possible) // _MEASURED)]
    return measure_range(_opened_images(sample))


def _opened_images(examples: Iterable[Example]) -> Iterator[Image.Image]:
    """Images with more than 8 bits that are not damaged."""
    for example in examples:
        with suppress(BadExample):
            data = example.read()
            with _opened(data, None) as image:
                is_deep = exceeds_8_bits(image)
                if is_deep:
                    image.load()
            if is_deep:
                with _opened(data, None) as image:
                    yield image


@contextmanager
def _opened(data: bytes, suffix: str | None) -> Iterator[Image.Image]:
    """Open an image; every error inside becomes a BadExample, as a damaged file can raise any exception."""
    try:
        with Image.open(io.BytesIO(data), formats=_OPENED) as image:
            _check(image, suffix)
            yield image
    except BadExample:
        raise
    except Image.DecompressionBombError as exc:
        raise BadExample(f"too large: at most {MAX_PIXELS // 10**6} million pixels are read") from exc
    except UnidentifiedImageError as exc:
        raise BadExample(_unidentified(data)) from exc
    except Exception as exc:
        raise BadExample(f"damaged: {exc or type(exc).__name__}") from exc


def _check(image: Image.Image, suffix: str | None) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise BadExample(
            f"too large: {image.width:,} x {image.height:,} pixels, and at most {MAX_PIXELS // 10**6} million are read"
        )
    if has_separate_wide_planes(image):
        raise BadExample(
            "a TIFF of 16 bits with its channels apart cannot be read: save it with those of a pixel together"
        )
    if has_signed_bytes(image):
        raise BadExample("a TIFF of signed values of 8 bits cannot be read: save it with unsigned ones")
    extensions = FORMATS[str(image.format)]
    if suffix and suffix.lower() in EXTENSIONS and suffix.lower() not in extensions:
        raise BadExample(
            f"mislabelled: {image.format} content under the extension {suffix}; rename it to {extensions[0]}"
        )


def _zeros(data: bytes) -> str:
    return f"damaged: only zeros from byte {first_zero(data) + 1:,} of {len(data):,} on, as after an aborted download"


def _unidentified(data: bytes) -> str:
    if not data:
        return "empty: 0 bytes"
    if not data.strip(b"\0"):
        return "not an image: zeros only, as after an aborted download"
    if first_zero(data) < len(data) and image_extension(data):
        return _zeros(data)
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "not an image: a web page"
    if start.startswith((b"<svg", b"<?xml")):
        return "not an image: XML or SVG"
    if start.startswith((b"{", b"[")):
        return "not an image: JSON, such as the error message of a server"
    for kind, pattern in _OTHER_FORMATS.items():
        if pattern.match(data):
            return f"not an image in a known format, but {kind}: save it as JPEG or PNG"
    if _TIFF.match(data):
        return (
            "a TIFF with a form of pixels that cannot be read, or damaged at its start: save it with 8 or 16 bits, or "
            "as grey with 32"
        )
    return f"not an image in a known format ({', '.join(_OPENED)}), or damaged at its start"
