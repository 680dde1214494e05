"""LabelMe, Label Studio and CVAT, as these tools write their files."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import InputError
from tests.data.box_files import boxes, draw, labels, problems, read, skipped, splits, write, write_json


def _labelme(path: Path, *shapes: tuple[str, str | None, list[list[float]]], image: str = "") -> None:
    """What LabelMe 5 and 6 write."""
    write_json(
        path,
        {
            "version": "5.4.1",
            "flags": {},
            "shapes": [
                {"label": label, "points": points, "group_id": None, "description": "", "flags": {}, "mask": None}
                | ({"shape_type": kind} if kind else {})
                for label, kind, points in shapes
            ],
            "imagePath": image or f"{path.stem}.jpg",
            "imageData": None,
            "imageHeight": 80,
            "imageWidth": 100,
        },
    )


def test_labelme(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    draw(tmp_path / "b.jpg")
    draw(tmp_path / "c.jpg")
    _labelme(
        tmp_path / "a.json",
        ("cat", "rectangle", [[50.5, 60], [10, 20]]),
        ("dog", "polygon", [[1, 2], [30, 2], [15, 40]]),
        ("dog", None, [[1, 2], [31, 2], [15, 40]]),
        ("ball", "circle", [[50, 40], [53, 44]]),
        ("cat", "mask", [[0, 0], [9, 4]]),
        ("bar", "oriented_rectangle", [[10, 0], [20, 10], [10, 20], [0, 10]]),
        ("cat", "point", [[4, 4]]),
    )
    _labelme(tmp_path / "b.json")
    rows = read(tmp_path)
    assert boxes(rows, "a.jpg") == [
        ("cat", 10, 20, 50.5, 60), ("dog", 1, 2, 30, 40), ("dog", 1, 2, 31, 40), ("ball", 45, 35, 55, 45),
        ("cat", 0, 0, 10, 5), ("bar", 0, 0, 20, 20),
    ]  # fmt: skip
    assert boxes(rows, "b.jpg") == []
    assert problems(rows) == [("shape 7 of a.json", "unreadable-boxes", "is a point, which has no box", "left out")]
    assert skipped(rows) == {"c.jpg": "has no annotation file: an image without objects needs one, too"}


def test_labelme_in_split_folders(tmp_path: Path) -> None:
    for split in ("train", "val"):
        draw(tmp_path / split / "photo 1.jpg")
        _labelme(tmp_path / split / "1.json", ("cat", "rectangle", [[1, 1], [9, 9]]), image="..\\x\\photo 1.jpg")
    assert splits(read(tmp_path)) == {"train/photo 1.jpg": "train", "val/photo 1.jpg": "val"}


def _region(kind: str, value: dict[str, Any], size: tuple[int, int] = (100, 80), **fields: Any) -> dict[str, Any]:
    return {
        "id": str(id(value)), "type": kind, "from_name": "label", "to_name": "image", "origin": "manual",
        "original_width": size[0], "original_height": size[1], "image_rotation": 0, "value": value, **fields,
    }  # fmt: skip


def _rectangle(x: float, y: float, width: float, height: float, rotation: float = 0) -> dict[str, Any]:
    return {"x": x, "y": y, "width": width, "height": height, "rotation": rotation, "rectanglelabels": ["cat"]}


def _task(number: int, image: str, *annotations: dict[str, Any] | list[Any]) -> dict[str, Any]:
    """One task of an export in the form JSON; a list is the result of a plain annotation."""
    return {
        "id": number, "data": {"title": "no image", "image": image}, "drafts": [], "predictions": [],
        "annotations": [a if isinstance(a, dict) else {"result": a, "was_cancelled": False} for a in annotations],
    }  # fmt: skip


def test_label_studio(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for name in ("cat.jpg", "deep/dog.jpg", "1a2b3c4d-old.jpg", "empty.jpg", "two.jpg", "new.jpg"):
        draw(tmp_path / name)
    polygon = {"points": [[10, 10], [50, 20], [20, 50]], "polygonlabels": ["dog"], "closed": True}
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0, "ellipselabels": ["ball"]}
    tasks = [
        _task(1, "/data/upload/7/0f0f0f0f-cat.jpg", [
            _region("rectanglelabels", _rectangle(10, 25, 40, 50)),
            _region("polygonlabels", polygon),
            _region("ellipselabels", ellipse),
            _region("keypointlabels", {"x": 1, "y": 1, "width": 0.5, "keypointlabels": ["nose"]}),
            _region("choices", {"choices": ["sharp"]}),
        ]),
        _task(2, "/data/local-files/?d=deep%2Fdog.jpg", [_region("rectanglelabels", _rectangle(50, 25, 20, 10, 90))]),
        _task(3, "/data/upload/7/1a2b3c4d-old.jpg", [_region("rectanglelabels", _rectangle(0, 0, 100, 100))]),
        _task(4, "s3://bucket/empty.jpg", []),
        _task(5, "two.jpg", [_region("rectanglelabels", _rectangle(0, 0, 10, 10))],
              {"ground_truth": True, "result": [_region("rectanglelabels", _rectangle(20, 0, 10, 10))]},
              {"was_cancelled": True, "result": []}),
        _task(6, "new.jpg"),
        _task(7, "gone.jpg", []),
    ]  # fmt: skip
    rows = read(tmp_path, write_json(tmp_path / "project-1.json", tasks))
    assert boxes(rows, "cat.jpg") == [("cat", 10, 20, 50, 60), ("dog", 10, 8, 50, 40), ("ball", 40, 24, 60, 56)]
    assert boxes(rows, "deep/dog.jpg") == [("cat", 42, 20, 50, 40)]
    assert boxes(rows, "1a2b3c4d-old.jpg") == [("cat", 0, 0, 100, 80)]
    assert boxes(rows, "empty.jpg") == []
    assert boxes(rows, "two.jpg") == [("cat", 20, 0, 30, 8)]
    assert problems(rows) == [
        ("region 4 of task 1 of project-1.json", "unreadable-boxes", "has no box", "left out"),
        (
            "region 1 of task 2 of project-1.json", "outlines-as-boxes", "is turned by 90 degrees",
            "the upright box around it is used",
        ),
        (
            "task 5 of project-1.json", "outlines-as-boxes", "has 2 annotations of one image",
            "the one marked as ground truth is used",
        ),
    ]  # fmt: skip
    assert skipped(rows) == {
        "new.jpg": "task 6 of project-1.json is not annotated",
        "gone.jpg": "named in task 7 of project-1.json: there is no image of this name: gone.jpg",
    }


def test_label_studio_in_short(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg", (100, 80), orientation=6)
    regions = [{**_rectangle(10, 25, 40, 50), "original_width": 100, "original_height": 80}]
    task = {"image": "/data/upload/1/1.jpg", "id": 1, "label": regions, "annotator": 1, "annotation_id": 9}
    write_json(tmp_path / "min.json", [task])
    assert boxes(read(tmp_path), "1.jpg") == [("cat", 20, 10, 60, 50)]


def test_an_angle_is_one_of_pixels_and_not_of_percents(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg", (200, 100))
    tasks = [_task(1, "1.jpg", [_region("rectanglelabels", _rectangle(50, 20, 20, 10, 30), (200, 100))])]
    rows = read(tmp_path, write_json(tmp_path / "export.json", tasks))
    assert boxes(rows, "1.jpg") == [("cat", 95, 20, 134.641, 48.66)]  # 40 x 10 pixels, turned by 30 degrees


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><labels><label><name>cat</name></label></labels></job></meta>
  <image id="0" name="deep/a.jpg" subset="Train" task_id="3" width="100" height="80">
    <box label="cat" source="manual" occluded="0" xtl="10.00" ytl="20.50" xbr="50.00" ybr="60.00" z_order="0"></box>
    <box label="cat" source="manual" occluded="0" xtl="40" ytl="35" xbr="60" ybr="45" rotation="90" z_order="0"></box>
    <polygon label="dog" source="manual" occluded="0" points="1.00,2.00;30.00,2.00;15.00,40.00" z_order="0"></polygon>
    <ellipse label="ball" source="manual" occluded="0" cx="50" cy="40" rx="10" ry="5" z_order="0"></ellipse>
    <mask label="dog" source="manual" occluded="0" rle="1, 2" left="3" top="4" width="5" height="6" z_order="0"></mask>
    <points label="nose" source="manual" occluded="0" points="1,1" z_order="0"></points>
    <tag label="night" source="manual"></tag>
  </image>
  <image id="1" name="b.jpg" subset="Validation" width="100" height="80"></image>
  <image id="2" name="gone.jpg" width="100" height="80"></image>
</annotations>
"""


def test_cvat(tmp_path: Path) -> None:
    for name in ("images/deep/a.jpg", "images/b.jpg", "images/c.jpg"):
        draw(tmp_path / name)
    write(tmp_path / "annotations.xml", CVAT)
    rows = read(tmp_path)
    assert boxes(rows, "images/deep/a.jpg") == [
        ("cat", 10, 20.5, 50, 60), ("cat", 45, 30, 55, 50), ("dog", 1, 2, 30, 40), ("ball", 40, 35, 60, 45),
        ("dog", 3, 4, 8, 10),
    ]  # fmt: skip
    assert splits(rows) == {"images/deep/a.jpg": "train", "images/b.jpg": "val"}
    assert [(where, reason) for where, _, reason, _ in problems(rows)] == [
        ("shape 2 of deep/a.jpg in annotations.xml", "is turned by 90 degrees"),
        ("shape 6 of deep/a.jpg in annotations.xml", "is a points, which has no box"),
    ]
    assert skipped(rows) == {
        "gone.jpg": "named in annotations.xml: there is no image of this name: gone.jpg",
        "images/c.jpg": "not among the images of the annotation file",
    }
    assert len(labels(rows)) == 2


def test_cvat_for_video_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg")
    write(tmp_path / "annotations.xml", "<annotations><track id='0' label='cat'></track></annotations>")
    with pytest.raises(InputError, match=r"is not in the form CVAT for images 1\.1"):
        read(tmp_path)


def test_forms_that_are_not_known_are_no_boxes(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    for name, content in {"meta.json": {"images": 3}, "list.json": [1, 2], "deep.json": {"shapes": "none"}}.items():
        write_json(tmp_path / name, content)
    write(tmp_path / "broken.json", '{"images": [')
    write(tmp_path / "notes.xml", "<notes/>")
    with pytest.raises(InputError, match="holds no labels of boxes in a known form"):
        read(tmp_path, tmp_path / "meta.json")
    with pytest.raises(AssertionError):
        read(tmp_path)


def test_two_forms_are_refused_until_one_is_named(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    write(tmp_path / "labels/1.txt", "0 0.5 0.5 0.2 0.5\n")
    write(tmp_path / "annotations.xml", CVAT.replace("deep/a.jpg", "1.jpg"))
    with pytest.raises(InputError, match=r"holds boxes in 2 forms: CVAT \(annotations.xml\) and YOLO \(labels\)"):
        read(tmp_path)
    assert [*labels(read(tmp_path, tmp_path / "labels"))["images/1.jpg"]] == ["0"]
    assert len(labels(read(tmp_path, tmp_path / "annotations.xml"))["images/1.jpg"]) == 5


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg")
    write(tmp_path / "coco.json", json.dumps({}))
    with pytest.raises(InputError, match=r"annotations: no such file or folder: .*Did you mean 'coco.json'"):
        read(tmp_path, tmp_path / "cocoo.json")
