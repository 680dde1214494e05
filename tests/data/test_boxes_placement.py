"""Boxes in pixels of the upright image: EXIF rotation, and sizes that annotations name."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from headstart.commands.detector_input import with_detector_input
from headstart.config import InputConfig
from headstart.data.dataset import load_dataset
from tests.data.box_files import boxes, draw, labels, problems, read, write, write_voc

STORED = (100, 80)  # width and height


def _marked(path: Path, orientation: int, corners: tuple[int, int, int, int]) -> np.ndarray:
    """An image that is black but for a box in stored pixels; and its upright pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", STORED)
    image.paste(255, corners)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    with Image.open(path) as stored:
        return np.asarray(ImageOps.exif_transpose(stored))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_in_stored_pixels_are_turned_with_them(tmp_path: Path, orientation: int) -> None:
    upright = _marked(tmp_path / "JPEGImages/1.png", orientation, (10, 20, 40, 30))
    write_voc(tmp_path / "Annotations/1.xml", [("cat", 11, 21, 40, 30)], STORED)
    rows = read(tmp_path)
    ((_, *corners),) = boxes(rows, "JPEGImages/1.png")
    x1, y1, x2, y2 = map(int, corners)
    assert labels(rows)["JPEGImages/1.png"].size == upright.shape == (100, 80)
    assert upright[y1:y2, x1:x2].min() == 255
    assert upright.sum() == upright[y1:y2, x1:x2].sum()


def test_the_named_size_decides_which_pixels_are_meant(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for name, size in {"stored": STORED, "upright": STORED[::-1], "unknown": None}.items():
        draw(tmp_path / f"JPEGImages/{name}.jpg", STORED, orientation=6)
        write_voc(tmp_path / f"Annotations/{name}.xml", [("cat", 11, 21, 40, 30)], size)
    rows = read(tmp_path)
    found = {file.split("/")[1]: boxes(rows, file)[0] for file in rows.files}
    assert found == {
        "stored.jpg": ("cat", 50, 10, 60, 40),
        "upright.jpg": ("cat", 10, 20, 40, 30),
        "unknown.jpg": ("cat", 10, 20, 40, 30),
    }
    said = {where: (reason.split("names ")[1], action) for where, _, reason, action in problems(rows)}
    assert said == {
        "Annotations/stored.xml": ("the size 100 x 80 pixels", "moved from the stored image to the upright one"),
        "Annotations/unknown.xml": ("no size", "taken as boxes of the upright image"),
        "Annotations/upright.xml": ("the size 80 x 100 pixels", "taken as boxes of the upright image"),
    }
    assert "the annotations of 1 name the size of the stored image, and their boxes are moved" in caplog.text


def test_square_images_and_turns_by_180_degrees_are_taken_upright(tmp_path: Path) -> None:
    draw(tmp_path / "JPEGImages/square.jpg", (90, 90), orientation=6)
    draw(tmp_path / "JPEGImages/down.jpg", STORED, orientation=3)
    write_voc(tmp_path / "Annotations/square.xml", [("cat", 11, 21, 40, 30)], (90, 90))
    write_voc(tmp_path / "Annotations/down.xml", [("cat", 11, 21, 40, 30)], STORED)
    rows = read(tmp_path)
    assert {boxes(rows, file)[0] for file in rows.files} == {("cat", 10, 20, 40, 30)}


def test_shares_are_of_the_upright_image(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg", STORED, orientation=8)
    write(tmp_path / "labels/1.txt", "0 0.5 0.5 0.5 0.5\n")
    assert boxes(read(tmp_path), "images/1.jpg") == [("0", 20, 25, 60, 75)]


def test_images_that_were_resized_after_they_were_annotated(tmp_path: Path) -> None:
    for i in range(3):
        draw(tmp_path / f"JPEGImages/{i}.jpg", (50, 40), shade=60 * i)
        write_voc(tmp_path / f"Annotations/{i}.xml", [("cat", 11, 21, 30 + 30 * i, 40)], (100, 80))
    rows = read(tmp_path)
    assert [boxes(rows, file)[0][1:] for file in rows.files] == [(5, 10, 15, 20), (5, 10, 30, 20), (5, 10, 45, 20)]
    assert problems(rows)[0][1:] == (
        "annotation-sizes", "the annotation names the size 100 x 80 pixels, and the image has 50 x 40 pixels",
        "boxes scaled to the image",
    )  # fmt: skip


def test_images_that_were_enlarged_after_they_were_annotated(tmp_path: Path) -> None:
    draw(tmp_path / "JPEGImages/1.jpg", (200, 160))
    write_voc(tmp_path / "Annotations/1.xml", [("cat", 1 + i, 1, 11 + i, 20) for i in range(10)], (100, 80))
    assert boxes(read(tmp_path), "JPEGImages/1.jpg")[9] == ("cat", 18, 0, 40, 40)


@pytest.mark.parametrize("size", [(640, 480), (200, 160), (80, 100), (1, 1)])
def test_a_wrong_size_alone_changes_no_box(tmp_path: Path, size: tuple[int, int]) -> None:
    draw(tmp_path / "JPEGImages/1.jpg")
    write_voc(tmp_path / "Annotations/1.xml", [("cat", 11, 21, 60, 70)], size)
    rows = read(tmp_path)
    assert boxes(rows, "JPEGImages/1.jpg") == [("cat", 10, 20, 60, 70)]
    assert [(check, action) for _, check, _, action in problems(rows)] == [
        ("annotation-sizes", "boxes taken in pixels of the image")
    ]


def test_an_image_that_cannot_be_read_keeps_its_place(tmp_path: Path) -> None:
    draw(tmp_path / "JPEGImages/1.jpg")
    (tmp_path / "JPEGImages/2.jpg").write_bytes(b"no image")
    for name in "12":
        write_voc(tmp_path / f"Annotations/{name}.xml", [("cat", 11, 21, 60, 70)])
    found = labels(read(tmp_path))
    assert (len(found["JPEGImages/2.jpg"]), found["JPEGImages/2.jpg"].size) == (0, (0, 0))


def test_the_input_of_a_detector_does_not_depend_on_images_that_cannot_be_read(tmp_path: Path) -> None:
    for i in range(3):
        draw(tmp_path / f"JPEGImages/{i}.jpg")
        write_voc(tmp_path / f"Annotations/{i}.xml", [("cat", 11, 21, 60, 70)])
    config = with_detector_input(InputConfig(), load_dataset(tmp_path))
    assert (config.input_size, config.resize) == ((288, 384), "stretch")
    for i in range(2):
        (tmp_path / f"JPEGImages/{i}.jpg").write_bytes(b"no image")
    assert with_detector_input(InputConfig(), load_dataset(tmp_path)) == config


@pytest.mark.parametrize(
    ("side", "resize", "size"),
    [(4, "stretch", "576x768"), (6, "stretch", "384x512"), (4, "pad", "576x768"), (16, "stretch", None)],
)
def test_objects_that_are_too_small_for_the_input_are_named_with_a_size_that_suits_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, side: int, resize: str, size: str | None
) -> None:
    shape = (384, 288) if resize == "stretch" else (384, 144)  # padded to 288x384: factor 1
    draw(tmp_path / "JPEGImages/1.jpg", shape)
    dots = [("dot", x + 1, 21, x + side, 20 + side) for x in (20, 40, 60)]
    write_voc(tmp_path / "Annotations/1.xml", dots, shape)
    with caplog.at_level(logging.WARNING):
        with_detector_input(InputConfig(input_size=(288, 384), resize=resize), load_dataset(tmp_path))
    warnings = [record.message for record in caplog.records if "smaller than 8 pixels" in record.message]
    if size is None:
        assert not warnings
    else:
        (warning,) = warnings
        assert warning.startswith("3 of 3 objects are smaller than 8 pixels when the image becomes 288x384")
        assert f"In an input of {size}," in warning
