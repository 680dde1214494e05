"""Images with more than 8 bits mean the same as their originals of 8 bits, wherever headstart reads them."""

import csv
import runpy
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

import headstart as hs
from headstart.data.examples import FileExample
from headstart.data.images import Decoder, measure_sample_range
from headstart.errors import BadExample
from headstart.exporting.companions import write_companions
from headstart.exporting.formats import FORMATS
from tests.conftest import SIZE

Writer = Callable[[np.ndarray, Path], Path]


def _write(values: np.ndarray, path: Path, **tags: int) -> Path:
    names = {"photometric": 262, "lowest": 340, "highest": 341}
    ifd = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        ifd[names[name]] = value
    Image.fromarray(values).save(path, **({"tiffinfo": ifd} if tags else {}))
    return path


def _spread(grey: np.ndarray, high: float) -> np.ndarray:
    """Values of 8 bits in another range."""
    return np.rint(grey * (high / 255))


def _colours(grey: np.ndarray, bits: int, *, opaque: bool = False) -> np.ndarray:
    """Grey, mirrored and inverted as red, green and blue."""
    channels = [grey, grey[:, ::-1], 255 - grey]
    values = [_spread(channel, 2**bits - 1).astype(np.uint16) for channel in channels]
    return np.stack(values + [np.full(grey.shape, 65535, np.uint16)] * opaque, axis=-1)


def _png(values: np.ndarray, key: int | None = None) -> bytes:
    """A PNG with 16 bits a channel, uint16 (h, w, channels), which Pillow cannot write; ``key`` is transparent."""
    h, w, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    above = np.zeros(w * channels * 2, np.uint8)
    rows = b""
    for row in values.astype(">u2").view(np.uint8).reshape(h, -1):
        rows += b"\2" + (row - above).tobytes()  # as the difference to the row above
        above = row
    key_chunk = [(b"tRNS", struct.pack(f">{channels}H", *[key] * channels))] if key is not None else []
    header = struct.pack(">IIBBBBB", w, h, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *key_chunk, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _tiff(values: np.ndarray, order: str = "<", *, packed: bool = False, planes: int = 1) -> bytes:
    """A TIFF with 16 bits a channel, uint16 (h, w, 3 or 4); if packed as differences of neighbours, with zlib."""
    h, w, channels = values.shape
    differences = np.concatenate([values[:, :1], values[:, 1:] - values[:, :-1]], axis=1)
    content = zlib.compress(differences.astype(f"{order}u2").tobytes()) if packed else b""
    content = content or (values if planes == 1 else values.transpose(2, 0, 1)).astype(f"{order}u2").tobytes()
    offset = 8
    tags = {256: w, 257: h, 258: offset + len(content), 259: 8 if packed else 1, 262: 2, 273: offset, 277: channels,
            278: h, 279: len(content), 284: planes, 317: 2 if packed else 1}  # fmt: skip
    if planes == 2:
        n = len(content) // channels
        tags |= {273: tags[258] + 2 * channels, 279: tags[258] + 6 * channels}
    counts = {258: channels, **dict.fromkeys((273, 279) if planes == 2 else (), channels)}
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    if planes == 2:
        offsets, sizes = [offset + n * i for i in range(channels)], [n] * channels
        bits += struct.pack(f"{order}{2 * channels}I", *offsets, *sizes)
    directory = struct.pack(f"{order}H", len(tags)) + b"".join(
        struct.pack(f"{order}HHII", tag, 3 if tag == 258 else 4, counts.get(tag, 1), value)
        for tag, value in tags.items()
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(content) + len(bits))
    return start + content + bits + directory + bytes(4)


def _write_bytes(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


WRITERS: dict[str, Writer] = {
    "16 bits in colour PNG": lambda grey, path: _write_bytes(_png(_colours(grey, 16)), path.with_suffix(".png")),
    "12 bits in colour PNG": lambda grey, path: _write_bytes(_png(_colours(grey, 12)), path.with_suffix(".png")),
    "12 bits in opaque PNG": lambda grey, path: _write_bytes(
        _png(_colours(grey, 12, opaque=True)), path.with_suffix(".png")
    ),
    "12 bits in opaque grey": lambda grey, path: _write_bytes(
        _png(_colours(grey, 12, opaque=True)[..., ::3]), path.with_suffix(".png")
    ),
    "12 bits in colour TIFF": lambda grey, path: _write_bytes(_tiff(_colours(grey, 12)), path.with_suffix(".tif")),
    "12 bits in big-endian TIFF": lambda grey, path: _write_bytes(
        _tiff(_colours(grey, 12), ">"), path.with_suffix(".tif")
    ),
    "12 bits in packed TIFF": lambda grey, path: _write_bytes(
        _tiff(_colours(grey, 12), ">", packed=True), path.with_suffix(".tif")
    ),
    "16 bits in PNG": lambda grey, path: _write(_spread(grey, 65535).astype(np.uint16), path.with_suffix(".png")),
    "10 bits in PNG": lambda grey, path: _write(_spread(grey, 1023).astype(np.uint16), path.with_suffix(".png")),
    "12 bits in TIFF": lambda grey, path: _write(_spread(grey, 4095).astype(np.uint16), path.with_suffix(".tif")),
    "14 bits in TIFF": lambda grey, path: _write(_spread(grey, 16383).astype(np.uint16), path.with_suffix(".tif")),
    "8 bits in int32": lambda grey, path: _write(grey.astype(np.int32), path.with_suffix(".tif")),
    "float up to 4095": lambda grey, path: _write(_spread(grey, 4095).astype(np.float32), path.with_suffix(".tif")),
    "float up to 1": lambda grey, path: _write((grey / 255).astype(np.float32), path.with_suffix(".tiff")),
    "float around 0": lambda grey, path: _write((grey / 127.5 - 1).astype(np.float32), path.with_suffix(".tif")),
    "16 bits, white is zero": lambda grey, path: _write(
        65535 - _spread(grey, 65535).astype(np.uint16), path.with_suffix(".tif"), photometric=0
    ),
    "8 bits, white is zero": lambda grey, path: _write(grey, path.with_suffix(".tif"), photometric=0),
    "its own range": lambda grey, path: _write(
        (1000 + _spread(grey, 2000)).astype(np.uint16), path.with_suffix(".tif"), lowest=1000, highest=3000
    ),
}


@pytest.fixture(scope="module")
def greys(photos: Path) -> list[np.ndarray]:
    """A few images of 8 bits; together they have black and white."""
    images = [np.asarray(Image.open(path).convert("L")) for path in sorted(photos.rglob("*.jpg"))[::11]]
    images[0] = images[0].copy()
    images[0][0, :2] = 0, 255
    return images


@pytest.mark.parametrize("name", WRITERS)
def test_every_depth_gives_the_pixels_of_8_bits(
    greys: list[np.ndarray], tmp_path: Path, run: hs.Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [WRITERS[name](grey, tmp_path / str(number)) for number, grey in enumerate(greys)]
    sample_range = measure_sample_range([FileExample(str(file)) for file in files])
    size = greys[0].shape
    pixels = [Decoder(size, sample_range=sample_range).read(file)[..., 0] for file in files]  # type: ignore[arg-type]
    np.testing.assert_allclose(np.stack(pixels), np.stack(greys), atol=1)
    assert (sample_range is None) == (name in ("8 bits, white is zero", "its own range"))
    # The script of an export reads the same pixels.
    spec = run.facts.base.spec.replace(sample_range=sample_range)
    facts = run.facts.replace(base=run.facts.base.replace(spec=spec))
    shutil.copytree(run.folder / "engine", tmp_path / "export")
    write_companions(tmp_path / "export", run.folder, facts, FORMATS["openvino"], {})
    monkeypatch.setattr(sys, "argv", ["predict.py"])
    monkeypatch.syspath_prepend(tmp_path / "export")
    read = runpy.run_path(str(tmp_path / "export" / "predict.py"))["read"]
    own = Decoder((SIZE, SIZE), sample_range=sample_range)
    for file in files[:2]:
        np.testing.assert_array_equal(read(file)[0], own.read(file))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_transparent_pixels_of_16_bits_are_white(channels: int) -> None:
    values = np.random.default_rng(0).integers(100, 4096, (8, 8, channels)).astype(np.uint16)
    if channels % 2:
        values[:4] = 7
        content = _png(values, key=7)
    else:
        values[:4, :, -1], values[4:, :, -1] = 0, 65535
        content = _png(values)
    pixels = Decoder((8, 8), sample_range=(0, 4095)).decode(content)
    assert (pixels[:4] == 255).all()
    colours = values[4:, :, : channels - 1 + channels % 2] * (255 / 4095)
    np.testing.assert_allclose(pixels[4:], np.broadcast_to(colours, (4, 8, 3)), atol=0.51)


def test_all_channels_of_a_colour_have_one_range(greys: list[np.ndarray]) -> None:
    colours = _colours(greys[0], 12)
    for content in (_png(colours), _tiff(colours), _tiff(colours, ">", packed=True)):
        pixels = Decoder(greys[0].shape, sample_range=(0, 4095)).decode(content)  # type: ignore[arg-type]
        np.testing.assert_allclose(pixels, _colours(greys[0], 8), atol=1)


def test_a_damaged_image_of_16_bits_is_named_and_not_measured(greys: list[np.ndarray], tmp_path: Path) -> None:
    whole = _png(_colours(greys[0], 12))
    with pytest.raises(BadExample, match="truncated"):
        Decoder((8, 8)).decode(whole[: len(whole) // 2])
    files = [_write_bytes(whole[:-2000], tmp_path / "cut.png"), _write_bytes(whole, tmp_path / "whole.png")]
    assert measure_sample_range([FileExample(str(file)) for file in files]) == (0, 4095)


def test_channels_of_16_bits_that_lie_apart_are_refused(greys: list[np.ndarray]) -> None:
    """Pillow would decode them as 8 bits, and give another image."""
    with pytest.raises(BadExample, match="16 bits with its channels apart"):
        Decoder((8, 8)).decode(_tiff(_colours(greys[0], 12), planes=2))


def test_one_hot_pixel_does_not_darken_a_data_set(greys: list[np.ndarray], tmp_path: Path) -> None:
    files = [WRITERS["12 bits in TIFF"](greys[0], tmp_path / f"{number:03}") for number in range(120)]
    hot = _spread(greys[0], 4095).astype(np.uint16)
    hot[5, 5] = 65535
    _write(hot, files[7])
    assert measure_sample_range([FileExample(str(file)) for file in files]) == (0, 4095)


def test_a_hot_pixel_in_each_image_does_not_darken_them(tmp_path: Path) -> None:
    values = _spread(np.tile(np.arange(256), (100, 1)), 4095).astype(np.uint16)
    values[5, 5] = 65535
    assert measure_sample_range([FileExample(str(_write(values, tmp_path / "hot.png")))]) == (0, 4095)


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(29_000, 31_500, np.uint16), (31_768, 35_843, np.int32), (280, 310, np.float32)]
)
def test_values_far_above_0_have_their_own_range(tmp_path: Path, low: int, high: int, kind: type) -> None:
    """Temperatures of thermal cameras, and CT with an offset of 32,768."""
    values = np.linspace(low, high, 64 * 64).reshape(64, 64).astype(kind)
    files = [FileExample(str(_write(values, tmp_path / "thermal.tif")))]
    assert measure_sample_range(files) == (low, high)
    grey = Decoder((64, 64), sample_range=measure_sample_range(files)).read(files[0].address)
    assert (grey.min(), grey.max()) == (0, 255)


def test_a_run_reads_all_images_in_the_range_of_its_training_images(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in sorted(photos.rglob("*.jpg")):
        folder = tmp_path / "data" / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        WRITERS["12 bits in TIFF"](np.asarray(Image.open(file).convert("L")), folder / file.stem)
    with caplog.at_level("INFO"):
        run = hs.train(tmp_path / "data", input_size=SIZE, fine_tune="none", runs=tmp_path / "runs")
    assert "images with more than 8 bits: 0 is black, 4095 is white, as measured on the data" in caplog.text
    assert run.facts.base.spec.sample_range == (0, 4095)
    assert run.metrics["accuracy"] > 0.9
    with open(run.folder / "predictions.csv", newline="") as file_of_rows:
        rows = list(csv.DictReader(file_of_rows))[:6]
    dark = tmp_path / "dark.tif"  # alone it would be taken for an image of 8 bits
    _write((np.asarray(Image.open(tmp_path / "data" / rows[0]["file"])) // 16).astype(np.uint16), dark)
    answers = run.predict([*(tmp_path / "data" / row["file"] for row in rows), dark])
    for row, answer in zip(rows, answers, strict=False):
        assert answer.probabilities[row["label"]] == pytest.approx(float(row["label_probability"]), abs=0.02)
    assert answers[-1].probabilities != pytest.approx(answers[0].probabilities, abs=1e-3)
