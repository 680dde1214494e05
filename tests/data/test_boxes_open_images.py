"""Open Images: tables with identifiers of images and classes."""

from pathlib import Path

import pytest

from tests.data.box_files import boxes, draw, read, splits, write

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
NAMES = "/m/01yrx,Cat\n/m/0bt9lr,Dog\n/m/0k4j,Car\n"
GLOBOX = f"""{HEADER}
1.jpg,,cat,,0.1,0.5,0.25,0.75,,,,,
1.jpg,,dog,,0.0,0.2,0.0,0.375,,,,,
"""
"""As globox 2.9 writes it."""


def _rows(image: str) -> str:
    objects = ("/m/01yrx,1,0.1,0.5,0.25,0.75,0,1,0,0,0", "/m/0bt9lr,1,0,0.2,0,0.375,0,0,1,0,0")
    return "\n".join([HEADER, *(f"{image},xclick,{values}" for values in objects), ""])


def test_a_table_of_globox(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg")
    write(tmp_path / "boxes.csv", GLOBOX)
    assert boxes(read(tmp_path), "1.jpg") == [("cat", 10, 20, 50, 60), ("dog", 0, 0, 20, 30)]


@pytest.mark.parametrize("list_of_names", ["class-descriptions-boxable.csv", "metadata/classes.csv"])
@pytest.mark.parametrize("labels", ["", "labels/"])
def test_identifiers_become_names(tmp_path: Path, list_of_names: str, labels: str) -> None:
    """A group of objects is neither trained on nor evaluated."""
    for split, image in (("train", "0a1"), ("validation", "0b2")):
        draw(tmp_path / split / f"{image}.jpg", shade=len(split) * 10)
        write(tmp_path / f"{labels}{split}-annotations-bbox.csv", _rows(image))
    write(tmp_path / list_of_names, NAMES)
    rows = read(tmp_path)
    assert boxes(rows, "train/0a1.jpg")[0] == ("Cat", 10, 20, 50, 60)
    label = rows.labels[rows.files.index("train/0a1.jpg")]
    assert [(box.name, box.is_ignored) for box in label.boxes] == [("Cat", False), ("Dog", True)]
    assert splits(rows) == {"train/0a1.jpg": "train", "validation/0b2.jpg": "val"}


def test_without_names_the_identifiers_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw(tmp_path / "0a1.jpg")
    write(tmp_path / "boxes.csv", _rows("0a1"))
    assert next(name for name, *_ in boxes(read(tmp_path), "0a1.jpg")) == "/m/01yrx"
    assert "class-descriptions-boxable.csv" in caplog.text
