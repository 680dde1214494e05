"""KITTI: label files after the readme of its development kit."""

from pathlib import Path

import pytest

from headstart.data.dataset import load_dataset
from headstart.errors import InputError
from tests.data.box_files import boxes, draw, problems, read, skipped, splits, write

CAR = "Car 0.00 0 1.85 10.00 20.00 50.50 60.00 1.67 1.87 3.69 -16.53 2.39 58.49 1.57\n"
PERSON = "Pedestrian 0.00 2 0.21 0.00 0.00 20.00 30.00 1.89 0.48 1.20 1.84 1.47 8.41 0.01\n"
UNLABELLED = "DontCare -1 -1 -10 70.00 5.00 90.00 25.00 -1 -1 -1 -1000 -1000 -1000 -10\n"


def test_the_folders_of_the_benchmark(tmp_path: Path) -> None:
    """The testing images have no labels and the same names; the empty file is an image without objects."""
    for name in ("000000", "000001"):
        draw(tmp_path / f"training/image_2/{name}.png")
    draw(tmp_path / "testing/image_2/000000.png")
    write(tmp_path / "training/label_2/000000.txt", CAR + PERSON + UNLABELLED)
    write(tmp_path / "training/label_2/000001.txt", "")
    rows = read(tmp_path)
    name = "training/image_2/000000.png"
    assert boxes(rows, name)[:2] == [("Car", 10, 20, 50.5, 60), ("Pedestrian", 0, 0, 20, 30)]
    label = rows.labels[rows.files.index(name)]
    assert [(box.name, box.x1, box.is_ignored) for box in label.boxes[2:]] == [
        ("Car", 70, True), ("Pedestrian", 70, True),
    ]  # fmt: skip
    assert boxes(rows, "training/image_2/000001.png") == []
    assert "has no label file" in skipped(rows)["testing/image_2/000000.png"]


def test_images_and_labels_in_split_folders(tmp_path: Path) -> None:
    for split in ("train", "val"):
        draw(tmp_path / split / "images/a.jpg", shade=len(split) * 20)
        write(tmp_path / split / "labels/a.txt", CAR)
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ["Car"]
    assert splits(read(tmp_path)) == {"train/images/a.jpg": "train", "val/images/a.jpg": "val"}


def test_rows_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    draw(tmp_path / "images/a.jpg")
    draw(tmp_path / "images/b.jpg")
    write(tmp_path / "labels/a.txt", CAR + "Car 0.00 0\n")
    write(tmp_path / "labels/b.txt", CAR)
    write(tmp_path / "labels/c.txt", CAR)
    rows = read(tmp_path)
    assert len(boxes(rows, "images/a.jpg")) == 1
    ((where, *texts),) = problems(rows)
    assert where == "row 2 of labels/a.txt"
    assert "has 3 values, not 15" in " ".join(texts)
    assert "no image" in skipped(rows)["labels/c.txt"]


def test_predictions_are_refused(tmp_path: Path) -> None:
    draw(tmp_path / "images/a.jpg")
    write(tmp_path / "labels/a.txt", CAR.replace("\n", " 0.93\n"))
    with pytest.raises(InputError, match=r"row 1 of labels/a\.txt has a score"):
        load_dataset(tmp_path)
