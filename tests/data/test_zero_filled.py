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
