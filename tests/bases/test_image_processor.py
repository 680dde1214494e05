"""Image processors of Hugging Face: headstart's pixels against those of transformers."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import InputError

MODEL = Path(__file__).parents[1] / "files/transformers/vit"
SQUARE = {"height": 56, "width": 56}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


def _set(folder: Path, **changes: Any) -> None:
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


_EDGE_64 = {"shortest_edge": 64}
_SIZES = ((150, 97), (97, 151), (112, 112), (33, 300), (41, 30), (701, 469))  # with odd, tall and small ones


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ViT", {"size": SQUARE}),
        ("ViT", {"size": SQUARE, "do_center_crop": True, "crop_size": SQUARE, "resample": 3}),
        ("ViT", {"size": SQUARE, "do_normalize": False, "resample": 0}),
        ("ViT", {"size": _EDGE_64, "do_center_crop": True, "crop_size": SQUARE}),  # bilinear
        ("ViT", {"size": _EDGE_64, "do_center_crop": True, "crop_size": SQUARE, "resample": 3}),
        ("ViT", {"size": _EDGE_64, "do_center_crop": True, "crop_size": SQUARE, "resample": 1}),
        ("DeiT", {"size": {"height": 64, "width": 64}, "crop_size": SQUARE}),  # stretched, then cropped
        ("CLIP", {"size": {"shortest_edge": 56}, "crop_size": SQUARE}),  # the whole square
        ("Bit", {"size": {"shortest_edge": 57}, "crop_size": SQUARE}),  # a crop with an odd rest
        ("MobileNetV2", {"size": _EDGE_64, "crop_size": SQUARE}),
        ("MobileViT", {"size": {"shortest_edge": 60}, "crop_size": SQUARE}),  # BGR, not normalized
        ("Levit", {"size": {"shortest_edge": 56}, "crop_size": SQUARE}),  # enlarges by 256 / 224
        ("PoolFormer", {"size": {"shortest_edge": 56}, "crop_size": SQUARE}),  # enlarges by 1 / 0.9
        ("ConvNext", {"size": {"shortest_edge": 56}}),  # enlarges by 256 / 224 and crops
        ("ConvNext", {"size": {"shortest_edge": 56}, "crop_pct": 0.9, "resample": 1}),
        ("ConvNext", {"size": {"shortest_edge": 384}}),  # stretches
        ("EfficientNet", {"size": SQUARE, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ],
)
def test_pixels_equal_those_of_transformers(folder: Path, name: str, settings: dict[str, Any]) -> None:
    """Those of its processors on Pillow, to the last bit; those on torchvision differ from these by 1 of 255."""
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, f"{name}ImageProcessorPil")(**settings)
    processor.save_pretrained(folder)
    base = hs.load_base(f"hf:{folder}")
    noise = np.random.default_rng(0)
    for w, h in _SIZES:
        image = Image.fromarray(noise.integers(0, 256, (h, w, 3), np.uint8))
        image.save(folder / "image.png")
        image.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=_lying())
        read = base.reader().read(folder / "image.png")
        expected = np.asarray(processor(image, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0)
        np.testing.assert_allclose(base.preprocessing.array(read), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(base.reader().read(folder / "turned.png"), read)


def _lying() -> Image.Exif:
    """As of an image that a camera stored turned to the left."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_a_very_long_image_is_not_resized_as_a_whole(folder: Path) -> None:
    """Its shorter side of 1 pixel at 56 would make nearly 4 gigabytes of it."""
    _set(folder, size={"shortest_edge": 64}, do_center_crop=True, crop_size=SQUARE)
    ramp = np.linspace(0, 255, 300_000).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp[None, :, None], (1, 300_000, 3)).copy()).save(folder / "long.png")
    read = hs.load_base(f"hf:{folder}").reader().read(folder / "long.png")
    np.testing.assert_array_equal(read, np.full((56, 56, 3), 127))


def test_a_border_is_seen_if_the_processor_crops_nothing(folder: Path) -> None:
    size = {"height": 32, "width": 32}
    _set(folder, size=size, do_center_crop=True, crop_size=size)
    pixels = np.full((448, 448, 3), 255, np.uint8)
    pixels[20:-20, 20:-20] = 0
    Image.fromarray(pixels).save(folder / "border.png")
    read = hs.load_base(f"hf:{folder}").reader().read(folder / "border.png")
    assert read[0].min() > 200
    assert read[2:-2, 2:-2].max() == 0


def test_the_file_of_transformers_5_is_read(folder: Path) -> None:
    expected = hs.load_base(f"hf:{folder}").input_facts()
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings, "processor_class": "X"}))
    base = hs.load_base(f"hf:{folder}")
    assert base.input_facts() == expected
    assert "processor_config.json" in base.files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_processor_type": "GLPNImageProcessor"}, "for the image processor 'GLPN', which headstart does not"),
        ({"do_pad": True}, "has do_pad = True, which headstart cannot follow"),
        ({"do_resize": False}, "has do_resize = False"),
        ({"size": {"shortest_edge": 32}}, r"resizes the shorter side only \(to 32 pixels\), and crops nothing"),
        ({"size": {"longest_edge": 32}}, r"has size = {'longest_edge': 32}: expected height and width, or"),
        ({"do_center_crop": True, "crop_size": 40}, "cuts 40x40 pixels out of 32x32: expected a part"),
        ({"resample": 9}, "has resample = 9: expected a number from 0 to 5"),
        ({"image_std": None}, "has image_std = None: expected a number for each of three channels"),
    ],
)
def test_what_headstart_cannot_follow_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    _set(folder, **changes)
    with pytest.raises(InputError, match=message):
        hs.load_base(f"hf:{folder}")


def test_a_file_without_a_class_is_read_as_the_model_s_own(folder: Path) -> None:
    """As google/vit-base-patch16-224 and other models of 2021 have it."""
    _set(folder, image_processor_type=None, size=32)
    base = hs.load_base(f"hf:{folder}")
    assert (base.input_size, base.resize, base.resize_rule.interpolation) == ((32, 32), "stretch", "bilinear")
