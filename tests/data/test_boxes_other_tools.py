"""CreateML and VGG Image Annotator, as these tools write their files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import InputError
from tests.data.box_files import boxes, draw, problems, read, skipped, splits, write, write_json

CAT = ("cat", 10, 20, 50, 60)


def _createml(image: str, *objects: tuple[str, float, float, float, float]) -> dict[str, Any]:
    return {
        "image": image,
        "annotations": [
            {"label": label, "coordinates": {"x": x, "y": y, "width": w, "height": h}} for label, x, y, w, h in objects
        ],
    }


def _rectangle(x: float, y: float, w: float, h: float) -> dict[str, Any]:
    return {"name": "rect", "x": x, "y": y, "width": w, "height": h}


def _via(image: str, *regions: tuple[dict[str, Any], Any]) -> dict[str, Any]:
    shapes = [{"shape_attributes": shape, "region_attributes": {"class": name}} for shape, name in regions]
    return {"filename": image, "size": 1234, "regions": shapes, "file_attributes": {}}


def test_createml(tmp_path: Path) -> None:
    for name in "abc":
        draw(tmp_path / f"{name}.jpg")
    content = [_createml("a.jpg", ("cat", 30, 40, 40, 40), ("", 5, 5, 2, 2)), _createml("b.jpg"), _createml("x.jpg")]
    write_json(tmp_path / "_annotations.createml.json", content)
    rows = read(tmp_path)
    assert (boxes(rows, "a.jpg"), boxes(rows, "b.jpg")) == ([CAT], [])
    assert problems(rows) == [
        ("annotation 2 of a.jpg in _annotations.createml.json", "unreadable-boxes", "has no class", "left out")
    ]
    assert skipped(rows) == {
        "x.jpg": "named in _annotations.createml.json: there is no image of this name: x.jpg",
        "c.jpg": "not among the images of the annotation file",
    }


def test_createml_in_split_folders(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        draw(tmp_path / split / "1.jpg", shade=len(split))
        write_json(tmp_path / split / "_annotations.createml.json", [_createml("1.jpg", ("cat", 30, 40, 40, 40))])
    rows = read(tmp_path)
    assert splits(rows) == {"train/1.jpg": "train", "valid/1.jpg": "val", "test/1.jpg": "test"}
    assert boxes(rows, "valid/1.jpg") == [CAT]


VIA = {
    "a.jpg1234": _via(
        "a.jpg",
        (_rectangle(10, 20, 40, 40), "cat"),
        ({"name": "polygon", "all_points_x": [1, 30, 15], "all_points_y": [2, 2, 40]}, "dog"),
        ({"name": "circle", "cx": 50, "cy": 40, "r": 5}, "dog"),
        ({"name": "ellipse", "cx": 50, "cy": 40, "rx": 5, "ry": 10, "theta": 0}, {"cat": True, "dog": False}),
        ({"name": "point", "cx": 5, "cy": 5}, "dog"),
    ),
    "b.jpg1234": _via("b.jpg"),
}
IN_A = [CAT, ("dog", 1, 2, 30, 40), ("dog", 45, 35, 55, 45), ("cat", 45, 30, 55, 50)]


@pytest.mark.parametrize("is_project", [True, False])
def test_via(tmp_path: Path, is_project: bool) -> None:
    draw(tmp_path / "a.jpg")
    draw(tmp_path / "b.jpg")
    project = {"_via_settings": {"ui": {}}, "_via_img_metadata": VIA, "_via_attributes": {"region": {}, "file": {}}}
    write_json(tmp_path / "via_export_json.json", project if is_project else VIA)
    rows = read(tmp_path)
    assert (boxes(rows, "a.jpg"), boxes(rows, "b.jpg")) == (IN_A, [])
    assert problems(rows) == [
        ("region 5 of via_export_json.json", "unreadable-boxes", "is a point, which has no box", "left out")
    ]


def test_via_csv(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    draw(tmp_path / "b.jpg")
    lines = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
    for image in VIA.values():
        regions = image["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]
        for i, region in enumerate(regions):
            cells = [json.dumps(region[key]).replace('"', '""') for key in ("shape_attributes", "region_attributes")]
            count = len(image["regions"])
            lines.append(f'{image["filename"]},1234,"{{}}",{count},{i},"{cells[0]}","{cells[1]}"')
    table = write(tmp_path / "via_export_csv.csv", "\n".join(lines))
    for rows in (read(tmp_path), read(table)):
        assert (boxes(rows, "a.jpg"), boxes(rows, "b.jpg")) == (IN_A, [])


@pytest.mark.parametrize("name", ["createml.json", "via.json"])
def test_damaged_files_are_errors_or_listed_problems(tmp_path: Path, name: str) -> None:
    draw(tmp_path / "a.jpg")
    content = json.dumps([_createml("a.jpg", ("cat", 30, 40, 40, 40))] if name == "createml.json" else VIA)
    rng = np.random.default_rng(0)
    values = ["null", "[]", "{}", '"x"', "-1", "1e400", ""]
    for _ in range(150):
        start = int(rng.integers(len(content)))
        end = start + int(rng.integers(1, 12))
        path = write(tmp_path / name, content[:start] + str(rng.choice(values)) + content[end:])
        try:
            read(tmp_path, path)
        except InputError:
            continue
