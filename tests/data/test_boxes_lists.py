"""Tables with all boxes of an image in one row: Hugging Face's columns of objects, and lists of boxes."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data.dataset import load_dataset
from headstart.errors import InputError
from tests.data.box_files import boxes, draw, labels, problems, read, skipped, splits, write

TWO = [("cat", 10, 20, 50, 60), ("dog", 0, 0, 20, 30)]
BOXES, NAMES = [[10, 20, 40, 40], [0, 0, 20, 30]], ["cat", "dog"]
CORNERS = [{"x1": 10, "y1": 20, "x2": 50, "y2": 60}, {"x1": 0, "y1": 0, "x2": 20, "y2": 30}]
CLASSES = {"names": NAMES, "_type": "ClassLabel"}
FEATURES = {
    "struct of lists": {"feature": {"bbox": {}, "category": CLASSES}, "_type": "Sequence"},
    "lists in a struct": {"bbox": {}, "category": {"feature": CLASSES, "_type": "List"}},
    "list of structs": [{"bbox": {}, "category": CLASSES}],
}


def write_lines(path: Path, *rows: dict[str, Any]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, rows: list[dict[str, Any]], features: Any = None) -> Path:
    table = pa.Table.from_pylist(rows)
    if features:
        info = {"info": {"features": {"objects": features}}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    "columns",
    [
        {"objects": {"bbox": BOXES, "categories": NAMES}},
        {"objects": {"id": [7, 8], "area": [1600, 600], "bbox": BOXES, "category": NAMES}},
        {"objects": [{"bbox": box, "label": name} for box, name in zip(BOXES, NAMES, strict=True)]},
        {"annotations": [{"BBox": box, "name": name} for box, name in zip(BOXES, NAMES, strict=True)]},
        {"objects": str({"bbox": BOXES, "category": NAMES})},
        {"bbox": BOXES, "label": NAMES},
        {"bboxes": BOXES, "categories": NAMES},
        {"boxes": json.dumps(BOXES), "labels": json.dumps(NAMES)},
        {"bbox": str(BOXES), "class": str(NAMES)},
        {"bboxes": [[0.1, 0.25, 0.4, 0.5], [0, 0, 0.2, 0.375]], "labels": NAMES},
        {"bbox": CORNERS, "label": NAMES},
        {
            "bbox": [{"XMin": 10, "YMin": 20, "XMax": 50, "YMax": 60}, {"XMin": 0, "YMin": 0, "XMax": 20, "YMax": 30}],
            "labels": NAMES,
        },
        {"boxes": {"x1": [10, 0], "y1": [20, 0], "x2": [50, 20], "y2": [60, 30], "score": [1, 1]}, "labels": NAMES},
        {"objects": [{"box": box, "label": name} for box, name in zip(CORNERS, NAMES, strict=True)]},
        {"objects": [{**box, "label": name} for box, name in zip(CORNERS, NAMES, strict=True)]},
        {"objects": {"x": [10, 0], "y": [20, 0], "width": [40, 20], "height": [40, 30], "category": NAMES}},
        {
            "bbox": [{"cx": 0.3, "cy": 0.5, "w": 0.4, "h": 0.5}, {"cx": 0.1, "cy": 0.1875, "w": 0.2, "h": 0.375}],
            "label": NAMES,
        },
        {"bbox": json.dumps(CORNERS), "label": json.dumps(NAMES)},
    ],
)
def test_forms_of_columns(tmp_path: Path, columns: dict[str, Any]) -> None:
    draw(tmp_path / "images/1.jpg")
    draw(tmp_path / "images/2.jpg")
    emptied = {name: [] if isinstance(value, list) else None for name, value in columns.items()}
    rows = [{"file_name": "images/1.jpg", **columns}, {"file_name": "images/2.jpg", **emptied}]
    table = write_lines(tmp_path / "metadata.jsonl", *rows)
    found = read(table)
    assert (boxes(found, "images/1.jpg"), boxes(found, "images/2.jpg")) == (TWO, [])
    assert (problems(found), skipped(found)) == ([], {})
    assert read(tmp_path).labels == found.labels
    frame = pd.DataFrame([row | {"file_name": str(tmp_path / row["file_name"])} for row in rows])
    assert [len(label) for label in load_dataset(frame).labels] == [2, 0]


@pytest.mark.parametrize(
    "box", [[10, 20, 40, 40], {"xmin": 10, "ymin": 20, "xmax": 50, "ymax": 60}, {"x": 10, "y": 20, "w": 40, "h": 40}]
)
def test_a_row_of_parquet_for_each_object(tmp_path: Path, box: Any) -> None:
    draw(tmp_path / "images/1.jpg")
    draw(tmp_path / "images/2.jpg")
    rows = [{"path": "images/1.jpg", "bbox": box, "label": name} for name in NAMES]
    write_parquet(tmp_path / "boxes.parquet", [*rows, {"path": "images/2.jpg", "bbox": None, "label": None}])
    found = read(tmp_path)
    assert boxes(found, "images/1.jpg") == [("cat", 10, 20, 50, 60), ("dog", 10, 20, 50, 60)]
    assert boxes(found, "images/2.jpg") == []


def test_lists_in_the_text_of_a_csv_file(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg")
    draw(tmp_path / "2.jpg")
    table = (
        f'path,bbox,label\n1.jpg,"{BOXES}","{NAMES}"\n'
        '2.jpg,"[10, 20, 40, 40]",cat\n2.jpg,"(0, 0, 20, 30)",dog\n1.jpg,[],\n'
    )
    rows = read(write(tmp_path / "t.csv", table))
    assert boxes(rows, "1.jpg") == boxes(rows, "2.jpg") == TWO
    rows = read(write(tmp_path / "t.csv", f'path,bbox,label\n1.jpg,"{BOXES}",cat;dog\n'), label_separator=";")
    assert boxes(rows, "1.jpg") == TWO


def test_split_folders_with_metadata(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        draw(tmp_path / split / "1.jpg")
        row = {"file_name": "1.jpg", "objects": {"bbox": BOXES, "category": [0, 1], "iscrowd": [0, 1]}}
        write_lines(tmp_path / split / "metadata.jsonl", row)
    rows = read(tmp_path)
    assert splits(rows) == {"train/1.jpg": "train", "validation/1.jpg": "val"}
    assert [(box.name, box.is_ignored) for box in labels(rows)["train/1.jpg"].boxes] == [("0", False), ("1", True)]


@pytest.mark.parametrize("form", FEATURES)
def test_images_in_parquet_with_names_of_classes(tmp_path: Path, form: str) -> None:
    for i, part in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")):
        content = draw(tmp_path / "drawn.jpg", shade=60 + 30 * i).read_bytes()
        ids = [0, 1]
        objects: Any = {"bbox": BOXES, "category": ids}
        if form == "list of structs":
            objects = [{"bbox": box, "category": number} for box, number in zip(BOXES, ids, strict=True)]
        row = {"image_id": i, "image": {"bytes": content, "path": "1.jpg"}, "width": 100, "height": 80}
        rows = [row | {"objects": objects}, {"image_id": 9, "image": None, "objects": objects}]
        write_parquet(tmp_path / f"data/{part}.parquet", rows, FEATURES[form])
    (tmp_path / "drawn.jpg").unlink()
    rows_found = read(tmp_path)
    names = [f"data/{part}.parquet#row=1" for part in ("test-00000-of-00001", "train-00000-of-00002")]
    assert splits(rows_found)[names[0]] == "test"
    assert splits(rows_found)[names[1]] == "train"
    assert boxes(rows_found, names[0]) == TWO
    assert len(rows_found.files) == 3
    assert skipped(rows_found)["row 2 of data/test-00000-of-00001.parquet"] == "has no path"
    assert load_dataset(tmp_path).classes == NAMES


def test_corners_are_told_from_width_and_height(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw(tmp_path / "1.jpg")
    corners = [[10, 20, 50, 60], [60, 50, 90, 75]]
    rows = read(write_lines(tmp_path / "t.jsonl", {"path": "1.jpg", "bbox": corners, "label": NAMES}))
    assert boxes(rows, "1.jpg") == [("cat", 10, 20, 50, 60), ("dog", 60, 50, 90, 75)]
    assert "boxes in lists are read as [x1, y1, x2, y2]. As [x, y, width, height], 1 of 2 would reach" in caplog.text
    centres = [[0.3, 0.5, 0.4, 0.5], [0.75, 0.125, 0.5, 0.25]]
    rows = read(write_lines(tmp_path / "t.jsonl", {"path": "1.jpg", "bbox": centres, "label": NAMES}))
    assert boxes(rows, "1.jpg") == [("cat", 10, 20, 50, 60), ("dog", 50, 0, 100, 20)]


def test_what_cannot_be_read_is_listed(tmp_path: Path) -> None:
    for name in "abcde":
        draw(tmp_path / f"{name}.jpg")
    table = write_lines(
        tmp_path / "t.jsonl",
        {"path": "a.jpg", "bbox": BOXES, "label": NAMES},
        {"path": "b.jpg", "bbox": BOXES, "label": ["cat"]},
        {"path": "c.jpg", "bbox": 7, "label": ["cat"]},
        {
            "path": "d.jpg",
            "bbox": [[1, 2, 3], [1, 2, 3, "x"], None, [1, 2, 3, 4]],
            "label": ["cat", "cat", "cat", None],
        },
        {"path": "e.jpg", "bbox": [[1, 2, 3, 4]], "label": [{"name": ["cat"]}]},
    )
    rows = read(table)
    assert skipped(rows) == {
        "row 2 of t.jsonl": "has boxes and labels that do not match: 2 and 1",
        "row 3 of t.jsonl": "has boxes that cannot be read: expected a list",
    }
    no_number, no_class = "has a corner that is no number", "has no class"
    assert [(where, reason) for where, _, reason, _ in problems(rows)] == [
        *((f"object {i} in row 4 of t.jsonl", no_number) for i in (1, 2, 3)),
        ("object 4 in row 4 of t.jsonl", no_class),
        ("object 1 in row 5 of t.jsonl", no_class),
    ]


def test_mutated_tables_give_input_errors_or_listed_problems(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    rng = random.Random(0)
    values: list[Any] = [
        None, "", "[", "[" * 500 + "]" * 500, 3, -1e308, float("nan"), True, [], [[]], [[[1, 2, 3, 4]]], {}, [None],
        {"bbox": 1}, {"bbox": {"x": 1}}, [1, 2, 3, 4], ["1", "2", "3", "4"], [10**400] * 4, "cat", [{"bbox": None}],
    ]  # fmt: skip
    for i in range(150):
        good = {"path": "a.jpg", "objects": {"bbox": BOXES, "category": NAMES}, "bbox": BOXES, "label": NAMES}
        rows = [{"path": "a.jpg", "objects": {"bbox": BOXES, "category": NAMES}}, good]
        target = rng.choice((good, good["objects"]))
        target[rng.choice([*target])] = rng.choice(values)  # type: ignore[index, call-overload]
        if i % 2:
            rows = [{name: row[name] for name in row if name != "objects"} for row in rows]
        try:
            load_dataset(write_lines(tmp_path / "t.jsonl", *rows))
        except InputError:
            continue


def test_texts_and_labels_with_such_names_stay_what_they_are(tmp_path: Path) -> None:
    table = write(
        tmp_path / "t.csv", "text,label,box\nthe first long text,a,red box\nthe second long text,b,blue box\n"
    )
    assert load_dataset(table).classes == ["a", "b"]
    frame = pd.DataFrame({"text": ["one text", "another text"], "label": ["a", "b"], "objects": [np.array([1]), None]})
    assert load_dataset(frame).classes == ["a", "b"]
