import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.images import FORMATS, Decoder, read_header, upright_size
from headstart.data.resizing import ResizeRule
from headstart.errors import BadExample

DECODER = Decoder((64, 64))


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A real photograph, reduced to 320 x 214."""
    from sklearn.datasets import load_sample_images

    return Image.fromarray(load_sample_images().images[1]).reduce(2)


def _bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("kind", [name for name in FORMATS if name != "MPO"])
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_every_format_gives_the_same_picture(photo: Image.Image, kind: str, resize: str) -> None:
    decoder = Decoder((48, 80), resize)
    exact = decoder.decode(_bytes(photo), ".png")
    source = photo.quantize(256) if kind == "GIF" else photo
    found = decoder.decode(_bytes(source, kind), FORMATS[kind][0])
    assert found.shape == (48, 80, 3)
    assert found.dtype == np.uint8
    assert _difference(found, exact) < {"GIF": 10, "JPEG": 4, "WEBP": 4}.get(kind, 0.1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_colour_mode_becomes_rgb(photo: Image.Image, mode: str) -> None:
    grey = np.asarray(photo.convert("L"))
    wide = {"I;16": np.uint16, "I": np.int32}
    if mode in wide:
        image, kind = Image.fromarray(grey.astype(wide[mode]) * 257), "TIFF"
    elif mode == "F":
        image, kind = Image.fromarray(grey.astype(np.float32) / 255), "TIFF"
    else:
        image = photo.convert(mode)
        kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    found = DECODER.decode(_bytes(image, kind))
    expected = DECODER.decode(_bytes(photo if mode in ("P", "RGBA", "CMYK", "YCbCr") else photo.convert("L")))
    assert _difference(found, expected) < {"P": 12, "1": 25, "CMYK": 3}.get(mode, 2)


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (10, 10), (200, 0, 0, 0))
    assert (DECODER.decode(_bytes(image)) == 255).all()
    palette = Image.new("P", (10, 10), 3)
    palette.putpalette([0, 0, 0] * 8)
    assert (DECODER.decode(_bytes(palette, transparency=3)) == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(photo: Image.Image, kind: str, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = photo.transpose(undo[orientation]) if orientation in undo else photo
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = DECODER.decode(_bytes(stored, kind, exif=exif))
    assert _difference(found, DECODER.decode(_bytes(photo))) < 5


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    data = _bytes(frames[0], kind, save_all=True, append_images=frames[1:])
    red, _, blue = DECODER.decode(data).mean((0, 1))
    assert red > 200 > 50 > blue


@pytest.mark.slow
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_large_jpegs_decoded_small_show_the_same(photo: Image.Image, resize: str) -> None:
    large = photo.resize((2560, 1708), Image.Resampling.LANCZOS)
    decoder = Decoder((96, 96), resize)
    assert _difference(decoder.decode(_bytes(large, "JPEG", quality=95)), decoder.decode(_bytes(large))) < 2.5


@pytest.mark.parametrize("edges", ["source", "resized", "none"])
def test_large_jpegs_are_cropped_at_the_same_place_by_every_rule(photo: Image.Image, edges: str) -> None:
    """libjpeg decodes them smaller; the place of the crop follows."""
    large = photo.resize((1280, 856), Image.Resampling.LANCZOS)
    rule = ResizeRule(kept_fraction=0.875, edges=edges, interpolation="bilinear", antialias=edges == "none")
    decoder = Decoder((96, 96), "crop", rule)
    assert _difference(decoder.decode(_bytes(large, "JPEG", quality=95)), decoder.decode(_bytes(large))) < 6


def test_pad_keeps_the_shape_and_adds_grey_bars() -> None:
    found = Decoder((40, 40), "pad").decode(_bytes(Image.new("RGB", (40, 20), "red")))
    assert (found[:9] == 127).all()
    assert (found[-9:] == 127).all()
    assert (found[11:29, :, 0] > 250).all()


def test_crop_keeps_the_centre() -> None:
    image = Image.new("RGB", (200, 100), "red")
    image.paste("blue", (57, 7, 143, 93))  # the centre 86 x 86
    found = Decoder((40, 40), "crop").decode(_bytes(image))
    assert found[1:-1, 1:-1, 2].min() > 240


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2)])
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_tiny_and_thin_pictures(size: tuple[int, int], resize: str) -> None:
    assert Decoder((32, 48), resize).decode(_bytes(Image.new("RGB", size, "white"))).shape == (32, 48, 3)


def _claims_to_be_huge() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def test_what_cannot_be_used_says_why(photo: Image.Image, tmp_path: Path) -> None:
    jpeg, png = _bytes(photo, "JPEG"), _bytes(photo)
    for name, content, reason in [
        ("empty.jpg", b"", "empty: 0 bytes"),
        ("cut.jpg", jpeg[: len(jpeg) // 2], "damaged: .*truncated"),
        ("cut.png", png[: len(png) // 2], "damaged"),
        ("text.jpg", b"hello", "not an image in a known format"),
        ("page.jpg", b"\n<!DOCTYPE html><html></html>", "not an image: a web page"),
        ("drawing.png", b"<?xml version='1.0'?><svg/>", "not an image: XML or SVG"),
        ("really-jpeg.PNG", jpeg, r"mislabelled: JPEG content under the extension \.PNG; rename it to \.jpg"),
        ("huge.png", _claims_to_be_huge(), "too large"),
        ("large.png", _bytes(Image.new("1", (10_000, 9_000))), "too large: 10,000 x 9,000 pixels"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadExample, match=reason):
            DECODER.read(tmp_path / name)
    with pytest.raises(BadExample, match="cannot be read: No such file"):
        DECODER.read(tmp_path / "missing.jpg")
    with pytest.raises(BadExample, match="cannot be read: Is a directory"):
        DECODER.read(tmp_path)


def test_other_extensions_of_the_same_format_are_no_lie(photo: Image.Image) -> None:
    jpeg = _bytes(photo, "JPEG")
    for suffix in (".jpg", ".JPEG", ".jfif", "", None, ".bin"):
        assert DECODER.decode(jpeg, suffix).any()


def test_many_threads_give_the_same_pixels(photo: Image.Image) -> None:
    contents = [_bytes(photo, kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")] * 8
    alone = [DECODER.decode(data) for data in contents]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(DECODER.decode, contents))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def _png(orientation: int | None, *, is_behind: bool = False) -> bytes:
    """A PNG of 40 x 30 pixels; its EXIF data may lie behind the pixels."""
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.effect_noise((40, 30), 80).save(stream, "PNG", **({"exif": exif} if orientation else {}))
    content = stream.getvalue()
    if is_behind:
        start = content.index(b"eXIf") - 4
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        last = content.index(b"IEND") - 4
        content = content[:start] + content[end:last] + content[start:end] + content[last:]
    return content


def test_the_header_of_a_png_is_read_without_its_pixels() -> None:
    assert upright_size(_png(None)[:200]) == (30, 40)
    assert read_header(_png(None)[:200])[2:5] == (40, 30, 1)


@pytest.mark.parametrize("is_behind", [False, True])
def test_the_orientation_of_a_png_may_lie_behind_its_pixels(is_behind: bool) -> None:
    content = _png(6, is_behind=is_behind)
    assert upright_size(content) == (40, 30)
    assert read_header(content).orientation == 6
