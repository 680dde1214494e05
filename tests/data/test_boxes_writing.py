"""Detections in files: read back by the readers of labels, and by COCO's own evaluation."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from headstart.data.boxes.writing import FORMS, DetectedImage, to_coco, to_voc, to_yolo, write_detections
from headstart.errors import InputError
from headstart.tasks.detection import Detections
from tests.data.box_files import boxes, draw, problems, read

CLASSES = ["cat", "guide dog"]


def _image(name: str, *objects: tuple[int, float, float, float, float, float]) -> DetectedImage:
    """Objects are (class number, score, x1, y1, x2, y2)."""
    rows = np.array(objects, float).reshape(-1, 6)
    detections = Detections(rows[:, 2:].astype(np.float32), rows[:, 0].astype(np.int64), rows[:, 1].astype(np.float32))
    return DetectedImage(name, (80, 100), detections)


IMAGES = [
    _image("images/a/1.jpg", (0, 0.9, 10, 20, 50, 60), (1, 0.25, 0, 0, 100, 80)),
    _image("images/b/1.jpg", (0, 0.75, 5.25, 6.5, 30.75, 40.5)),
    _image("images/b/nothing.jpg"),
]


@pytest.mark.parametrize(
    ("form", "second"),
    [
        ("coco", ("cat", 5.25, 6.5, 30.75, 40.5)), ("yolo", ("cat", 5.25, 6.5, 30.75, 40.5)),
        ("voc", ("cat", 5, 6, 31, 40)),
    ],
)  # fmt: skip
def test_written_files_are_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, second: tuple[object, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for image in IMAGES:
        draw(tmp_path / image.name)
    files = write_detections(tmp_path, form, IMAGES, CLASSES)
    assert all(file.is_file() for file in files)
    rows = read(tmp_path)
    assert sorted(rows.files) == ["images/a/1.jpg", "images/b/1.jpg", "images/b/nothing.jpg"]
    assert boxes(rows, "images/a/1.jpg") == [("cat", 10, 20, 50, 60), ("guide dog", 0, 0, 100, 80)]
    assert boxes(rows, "images/b/1.jpg") == [second]
    assert boxes(rows, "images/b/nothing.jpg") == []
    assert problems(rows) == []


def test_forms() -> None:
    assert to_yolo(IMAGES[0]) == "0 0.300000 0.500000 0.400000 0.500000\n1 0.500000 0.500000 1.000000 1.000000\n"
    xml = to_voc(IMAGES[0], CLASSES)
    assert "<filename>1.jpg</filename>" in xml
    assert "<xmin>11</xmin>" in xml
    assert "<confidence>0.25</confidence>" in xml
    content = to_coco(IMAGES, CLASSES)
    assert [image["file_name"] for image in content["images"]] == ["a/1.jpg", "b/1.jpg", "b/nothing.jpg"]
    assert content["annotations"][1] == {
        "id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 100, 80], "area": 8000, "iscrowd": 0, "score": 0.25,
    }  # fmt: skip
    with pytest.raises(InputError, match="format: expected coco, yolo, voc, got 'csv'"):
        write_detections(Path(), "csv", IMAGES, CLASSES)
    assert list(FORMS) == ["coco", "yolo", "voc"]


def test_coco_finds_each_detection_in_its_own_file() -> None:
    content = to_coco(IMAGES, CLASSES)
    truth = COCO()
    truth.dataset = json.loads(json.dumps(content))
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(content["annotations"]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
