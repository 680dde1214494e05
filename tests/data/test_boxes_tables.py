"""Tables with boxes."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart.data.boxes import find_boxes
from headstart.data.dataset import load_dataset
from headstart.data.table_columns import Columns
from headstart.errors import InputError
from tests.data.box_files import boxes, draw, labels, problems, read, skipped, splits, write

CAT = ("cat", 10, 20, 50, 60)


@pytest.mark.parametrize(
    "table",
    [
        "path,x1,y1,x2,y2,label\nimages/1.jpg,10,20,50,60,cat\n",
        "image_path;XMin;YMin;XMax;YMax;class\nimages/1.jpg;10.0;20;50;60;cat\n",
        "filename,width,height,class,xmin,ymin,xmax,ymax\nimages/1.jpg,100,80,cat,10,20,50,60\n",
        "image,left,top,width,height,label\nimages/1.jpg,10,20,40,40,cat\n",
        "file,bbox_x,bbox_y,bbox_width,bbox_height,label\nimages/1.jpg,10,20,40,40,cat\n",
        "path,x_center,y_center,width,height,label\nimages/1.jpg,30,40,40,40,cat\n",
        "path\tx\ty\tw\th\tcategory\nimages/1.jpg\t10\t20\t40\t40\tcat\n",
        "images/1.jpg,10,20,50,60,cat\n",
        "path,x1,y1,x2,y2,label\n1.jpg,10,20,50,60,cat\n",
        "path,x1,y1,x2,y2,label\nC:\\data\\images\\1.jpg,10,20,50,60,cat\n",
    ],
)
def test_usual_columns(tmp_path: Path, table: str) -> None:
    draw(tmp_path / "images/1.jpg")
    rows = read(write(tmp_path / "boxes.csv", table))
    assert boxes(rows, "images/1.jpg") == [CAT]
    assert (problems(rows), rows.splits) == ([], None)
    assert read(tmp_path).labels == rows.labels


def test_shares_of_the_image_are_recognised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    draw(tmp_path / "1.jpg")
    rows = read(write(tmp_path / "t.csv", "path,x1,y1,x2,y2,label\n1.jpg,0.1,0.25,0.5,0.75,cat\n1.jpg,0,0,1,1,cat\n"))
    assert boxes(rows, "1.jpg") == [CAT, ("cat", 0, 0, 100, 80)]
    assert "no coordinate in the table is above 1, so they are read as shares of width and height" in caplog.text


def test_rows_are_grouped_by_image_and_may_have_no_box(tmp_path: Path) -> None:
    for name in "abc":
        draw(tmp_path / f"{name}.jpg")
    table = (
        "path,x1,y1,x2,y2,label,split,patient,difficult\n"
        "a.jpg,10,20,50,60,cat,train,p1,0\n"
        "b.jpg,,,,,,validation,p2,\n"
        "a.jpg,0,0,5,5,dog,train,p1,1\n"
        "c.jpg,NaN,NaN,NaN,NaN,,,p3,\n"
        ",1,2,3,4,cat,train,p1,\n"
    )
    rows = read(write(tmp_path / "t.csv", table), group="patient")
    assert rows.files == ["a.jpg", "b.jpg", "c.jpg"]
    assert [len(label) for label in rows.labels] == [2, 0, 0]
    assert [box.is_ignored for box in labels(rows)["a.jpg"].boxes] == [False, True]
    assert splits(rows) == {"a.jpg": "train", "b.jpg": "val", "c.jpg": ""}
    assert rows.groups == ["p1", "p2", "p3"]
    assert skipped(rows) == {"row 6 of t.csv": "has no path"}


def test_half_a_box_is_named(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    table = "path,x1,y1,x2,y2,label\na.jpg,10,20,50,,cat\na.jpg,10,20,50,60,\na.jpg,1,2,3,4,dog\na.jpg,x,2,3,4,dog\n"
    assert [(where, reason) for where, _, reason, _ in problems(read(write(tmp_path / "t.csv", table)))] == [
        ("row 2 of t.csv", "has a corner that is no number"), ("row 3 of t.csv", "has no class"),
        ("row 5 of t.csv", "has a corner that is no number"),
    ]  # fmt: skip


def test_one_table_in_each_split_folder(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        draw(tmp_path / split / "1.jpg")
        table = "filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,100,80,cat,10,20,50,60\n"
        write(tmp_path / split / "_annotations.csv", table)
    assert splits(read(tmp_path)) == {"train/1.jpg": "train", "valid/1.jpg": "val"}


def test_a_data_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "a.jpg")
    draw(tmp_path / "b.jpg")
    frame = pd.DataFrame(
        {"path": ["a.jpg", "b.jpg"], "x1": [10, np.nan], "y1": [20, np.nan], "x2": [50, np.nan], "y2": [60, np.nan]}
    ).assign(label=["cat", None])
    dataset = load_dataset(frame)
    assert dataset.classes == ["cat"]
    assert [boxes.coordinates.tolist() for boxes in dataset.labels] == [[[10, 20, 50, 60]], []]


def test_an_image_that_is_missing_is_named_when_it_is_read(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    table = "path,x1,y1,x2,y2,label\na.jpg,10,20,50,60,cat\ngone.jpg,10,20,50,60,cat\n"
    assert [label.size for label in labels(read(write(tmp_path / "t.csv", table))).values()] == [(80, 100), (0, 0)]


def test_columns_that_are_missing(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"cannot tell which column of .* is the label"):
        read(write(tmp_path / "t.csv", "path,x1,y1,x2,y2\na.jpg,10,20,50,60\n"))
    with pytest.raises(InputError, match=r"row 2 of t\.csv has the split 'fold 1': expected train, val or test"):
        read(write(tmp_path / "t.csv", "path,x1,y1,x2,y2,label,split\na.jpg,10,20,50,60,cat,fold 1\n"))


def test_a_table_of_names_is_no_table_of_boxes(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "path,label,width,height\na.jpg,cat,100,80\nb.jpg,dog,100,80\n")
    assert find_boxes(table, tmp_path, Columns()) is None
    assert find_boxes(tmp_path, tmp_path, Columns()) is None
