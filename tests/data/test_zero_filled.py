"""Image files whose end is zeros: damaged ones are named, and those that end in zeros rightly are read."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data.images import Decoder
from headstart.errors import BadExample

pytestmark = pytest.mark.slow

KINDS: dict[str, dict[str, Any]] = {
    "baseline": {"format": "JPEG", "quality": 90},
    "progressive": {"format": "JPEG", "quality": 90, "progressive": True},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "quality": 85},
    "webp without loss": {"format": "WEBP", "lossless": True, "method": 0},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "tiff": {"format": "TIFF"},
    "tiff with lzw": {"format": "TIFF", "compression": "tiff_lzw"},
}
DECODER = Decoder((32, 32))


def _pixels(h: int = 151, w: int = 203) -> np.ndarray:
    """An image with detail everywhere, and no black."""
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(40, 256, (h // 8, w // 8, 3), np.uint8)).resize((w, h))
    noise = draw.integers(-20, 21, (h, w, 3))
    return np.clip(np.asarray(coarse).astype(int) + noise, 1, 255).astype(np.uint8)


def _encode(pixels: np.ndarray, kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, **KINDS[kind])
    return out.getvalue()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_zeros_in_place_of_the_end_are_damage(kind: str, share: float) -> None:
    whole = _encode(_pixels(), kind)
    DECODER.decode(whole)
    cut = int(share * len(whole))
    with pytest.raises(BadExample, match=r"damaged: only zeros from byte [\d,]+ of [\d,]+ on, as after an aborted"):
        DECODER.decode(whole[:cut] + bytes(len(whole) - cut))


@pytest.mark.parametrize("kind", [*KINDS, "16 bits", "bilevel tiff", "bilevel bmp", "palette", "alpha"])
def test_a_file_that_is_cut_is_damage_wherever_it_is_cut(kind: str) -> None:
    image, out = Image.fromarray(_pixels(61, 83)), io.BytesIO()
    others = {
        "16 bits": (Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257), {"format": "TIFF"}),
        "bilevel tiff": (image.convert("1"), {"format": "TIFF", "compression": "group4"}),
        "bilevel bmp": (image.convert("1"), {"format": "BMP"}),
        "palette": (image.convert("P"), {"format": "BMP"}),
        "alpha": (image.convert("RGBA"), {"format": "WEBP"}),
    }
    of_kind, options = others.get(kind) or (image, KINDS[kind])
    of_kind.save(out, **options)
    whole = out.getvalue()
    DECODER.decode(whole)
    for part in range(1, 21):
        with pytest.raises(BadExample):
            DECODER.decode(whole[: part * len(whole) // 21])


@pytest.mark.parametrize("column", [1, 2, 3, 40, 78, 79, 80])
@pytest.mark.parametrize("kind", ["bmp", "tiff"])
def test_zeros_that_begin_near_the_end_of_a_row_are_damage(kind: str, column: int) -> None:
    """Of 82 pixels, 246 bytes, to which BMP adds 2: only zeros that begin with a row could be a black area."""
    whole = _encode(_pixels(60, 82), kind)
    row, begin = (248, 54) if kind == "bmp" else (246, Image.open(io.BytesIO(whole)).tag_v2[273][0])  # type: ignore[attr-defined]
    cut = begin + 50 * row
    DECODER.decode(whole[:cut] + bytes(len(whole) - cut))
    for byte in range(3):
        with pytest.raises(BadExample, match="only zeros"):
            DECODER.decode(whole[: cut + 3 * column + byte] + bytes(len(whole) - cut - 3 * column - byte))


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("area", ["half", "circle", "corner", "slope", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_black_and_white_areas_are_no_damage(kind: str, area: str, fill: int) -> None:
    pixels = _pixels()
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    areas = {
        "half": y >= 80,
        "circle": (y - 75) ** 2 + (x - 100) ** 2 > 60**2,
        "corner": (y > 75) & (x > 70),
        "slope": y > 100 + x / 50,
        "all": y >= 0,
    }
    pixels[areas[area]] = fill
    for image in (pixels, pixels[::-1].copy()):  # BMP has its last row first
        DECODER.decode(_encode(image, kind))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("webp")])
def test_zeros_after_the_end_are_padding(kind: str) -> None:
    DECODER.decode(_encode(_pixels(), kind) + bytes(5000))


def test_a_preview_in_a_jpeg_has_an_end_of_its_own() -> None:
    preview = _encode(_pixels(24, 32), "baseline")
    whole = _encode(_pixels(), "baseline")
    embedded = whole[:2] + b"\xff\xe2" + (len(preview) + 2).to_bytes(2, "big") + preview + whole[2:]
    DECODER.decode(embedded + bytes(100))
    cut = len(embedded) // 2
    with pytest.raises(BadExample, match="only zeros"):
        DECODER.decode(embedded[:cut] + bytes(len(embedded) - cut))


def test_a_file_of_zeros_is_no_image() -> None:
    with pytest.raises(BadExample, match="not an image: zeros only"):
        DECODER.decode(bytes(5000), ".jpg")
