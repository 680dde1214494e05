"""YOLO's text files, with the YAML of ultralytics and Roboflow, Darknet's lists, and labelImg's list of classes."""

import logging
from pathlib import Path

import pytest

from headstart.data.boxes import find_boxes
from headstart.data.dataset import load_dataset
from headstart.data.table_columns import Columns
from headstart.errors import InputError
from tests.data.box_files import boxes, draw, labels, problems, read, skipped, splits, write

ROW = "0 0.5 0.5 0.2 0.5\n"  # of 100 x 80 pixels
CAT = [("cat", 40, 20, 60, 60)]


def _image(root: Path, image: str, label: str | None = ROW) -> None:
    path = draw(root / image)
    if label is not None:
        parts = [("labels" if part == "images" else part) for part in path.with_suffix(".txt").relative_to(root).parts]
        write(root.joinpath(*parts), label)


def _yaml(root: Path, text: str, names: str = "names: [cat, dog]\n") -> Path:
    return write(root / "data.yaml", text + names)


def test_folders_of_splits_inside_images(tmp_path: Path) -> None:
    for split in ("train", "val"):
        _image(tmp_path, f"images/{split}/{split}.jpg")
    write(tmp_path / "labels/train.cache", "")
    _yaml(
        tmp_path, f"path: {tmp_path}\ntrain: images/train\nval: images/val\ntest:  # optional\n", "names:\n  0: cat\n"
    )
    rows = read(tmp_path)
    assert splits(rows) == {"images/train/train.jpg": "train", "images/val/val.jpg": "val"}
    assert boxes(rows, "images/val/val.jpg") == CAT
    assert read(tmp_path / "data.yaml").labels == rows.labels


def test_paths_that_start_from_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):  # as Roboflow exports them, beside its YAML
        _image(tmp_path, f"{split}/images/{split}.jpg")
    _yaml(tmp_path, "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n")
    write(tmp_path / "README.roboflow.txt", "blood - v1")
    assert [*splits(read(tmp_path)).values()] == ["train", "val", "test"]
    _yaml(tmp_path, "path: ../datasets/mine\ntrain: train/images\nval: valid/images\n")
    assert [*splits(read(tmp_path)).values()] == ["train", "val"]


def test_lists_of_images_and_lists_of_folders(tmp_path: Path) -> None:
    for name in "abcd":
        _image(tmp_path, f"{name}/images/{name}.jpg")
    write(tmp_path / "lists/val.txt", "./../c/images/c.jpg\n/home/somebody/data/d/images/d.jpg\n\n/home/x/gone.jpg\n")
    _yaml(tmp_path, "train: [a/images, b/images]\nval: lists/val.txt\n")
    rows = read(tmp_path)
    assert splits(rows) == {
        "a/images/a.jpg": "train", "b/images/b.jpg": "train", "c/images/c.jpg": "val", "d/images/d.jpg": "val",
    }  # fmt: skip
    assert skipped(rows) == {
        "/home/x/gone.jpg": "row 4 of lists/val.txt: there is no image of this name: /home/x/gone.jpg"
    }


def test_names_that_yaml_takes_for_something_else(tmp_path: Path) -> None:
    _image(tmp_path, "images/1.jpg", "".join(f"{i} 0.5 0.5 0.2 0.{i + 1}\n" for i in range(5)))
    _yaml(tmp_path, "train: images\nval: images\n", "names: [no, on, 012, 1_0, 1:30]\n")
    assert [*labels(read(tmp_path))["images/1.jpg"]] == ["no", "on", "012", "1_0", "1:30"]


def test_the_same_images_for_validation_are_no_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "ab":
        _image(tmp_path, f"images/{name}.jpg")
    _yaml(tmp_path, "train: images\nval: images\n")
    assert read(tmp_path).splits is None
    assert "val has the same images as train" in caplog.text


def test_a_missing_folder_to_train_on_is_an_error(tmp_path: Path) -> None:
    _image(tmp_path, "images/1.jpg")
    _yaml(tmp_path, "train: pictures\nval: images\n")
    with pytest.raises(InputError, match=r"names pictures for train, which is not there: looked for in"):
        read(tmp_path)


def test_images_without_a_label_file_have_no_objects(tmp_path: Path) -> None:
    _image(tmp_path, "images/train/1.jpg")
    _image(tmp_path, "images/train/2.jpg", None)
    _image(tmp_path, "images/train/3.jpg", "")
    _image(tmp_path, "images/test/4.jpg", None)
    write(tmp_path / "labels/train/5.txt", ROW)
    _yaml(tmp_path, "train: images/train\nval: images/test\n")
    rows = read(tmp_path)
    assert {file: len(label) for file, label in labels(rows).items()} == {
        "images/train/1.jpg": 1, "images/train/2.jpg": 0, "images/train/3.jpg": 0,
    }  # fmt: skip
    assert skipped(rows) == {
        "images/test/4.jpg": "has no label file, as all images of its split",
        "labels/train/5.txt": "a label file without an image",
    }


def test_rows_are_read_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rows_text = [
        "0 0.5 0.5 0.2 0.5", "1 0.1 0.1 0.3 0.1 0.2 0.4", "0 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5",
        "0.0 0.2 0.2 0.1 0.1",
        "2 0.5 0.5 0.1 0.1", "cat 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1", "0 0.5 x 0.1 0.1", "0 0.95 0.5 0.2 0.2", "",
    ]  # fmt: skip
    _image(tmp_path, "images/1.jpg", "\n".join(rows_text))
    _yaml(tmp_path, "train: images\nval: images\n")
    rows = read(tmp_path)
    assert boxes(rows, "images/1.jpg") == [
        ("cat", 40, 20, 60, 60), ("dog", 10, 8, 30, 32), ("cat", 25, 20, 75, 60), ("cat", 15, 12, 25, 20),
        ("cat", 85, 32, 100, 48),
    ]  # fmt: skip
    assert sorted((where, reason, action) for where, _, reason, action in problems(rows)) == [
        ("row 5 of labels/1.txt", "has the class number 2, and the classes are 0 to 1", "left out"),
        ("row 6 of labels/1.txt", "has 'cat' instead of the number of a class", "left out"),
        ("row 7 of labels/1.txt", "has 4 numbers: expected 5, or an odd number of an outline", "left out"),
        ("row 8 of labels/1.txt", "has a corner that is no number", "left out"),
        ("row 9 of labels/1.txt", "reaches beyond the image: (85, 32) to (105, 48) of 100 x 80 pixels", "clipped"),
    ]
    assert "1 row with an outline: the box around it is used" in caplog.text
    assert "1 row with four points, of a turned box or of an outline" in caplog.text


def test_predictions_are_refused(tmp_path: Path) -> None:
    _image(tmp_path, "images/1.jpg", "0 0.5 0.5 0.2 0.5 0.93\n")
    _yaml(tmp_path, "train: images\nval: images\n")
    with pytest.raises(InputError, match=r"row 1 of labels.1\.txt has six numbers: a box with a confidence"):
        read(tmp_path)


def test_keypoints_after_a_box(tmp_path: Path) -> None:
    _image(tmp_path, "images/1.jpg", "0 0.5 0.5 0.2 0.5 0.1 0.1 2 0.2 0.2 2\n0 0.5 0.5 0.2 0.5 0 0 0 0 0 0\n")
    _yaml(tmp_path, "train: images\nval: images\nkpt_shape: [2, 3]\n")
    rows = read(tmp_path)
    assert boxes(rows, "images/1.jpg") == CAT
    assert [check for _, check, *_ in problems(rows)] == ["boxes-twice"]


def test_label_files_beside_the_images_with_a_list_of_classes(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg")
    draw(tmp_path / "2.jpg")
    write(tmp_path / "1.txt", "1 0.5 0.5 0.2 0.5\n")
    write(tmp_path / "classes.txt", "dog\ncat\n")
    rows = read(tmp_path)
    assert boxes(rows, "1.jpg") == CAT
    assert [len(label) for label in rows.labels] == [1, 0]
    assert skipped(rows) == {}


def test_without_names_classes_are_their_numbers(tmp_path: Path) -> None:
    _image(tmp_path, "train/images/1.jpg", "11 0.5 0.5 0.2 0.5\n")
    _image(tmp_path, "valid/images/2.jpg", "2 0.5 0.5 0.2 0.5\n")
    rows = read(tmp_path)
    assert rows.present == {"11", "2"}
    assert splits(rows) == {"train/images/1.jpg": "train", "valid/images/2.jpg": "val"}


def test_darknet_lists_as_cvat_exports_them(tmp_path: Path) -> None:
    draw(tmp_path / "obj_train_data/1.jpg")
    write(tmp_path / "obj_train_data/1.txt", ROW)
    write(tmp_path / "train.txt", "data/obj_train_data/1.jpg\n")
    write(tmp_path / "obj.names", "cat\ndog\n")
    write(tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    assert boxes(read(tmp_path), "obj_train_data/1.jpg") == CAT


def test_a_folder_of_texts_in_class_folders_is_no_yolo(tmp_path: Path) -> None:
    for name in ("train/pos/1.txt", "train/neg/2.txt", "test/pos/3.txt", "labels/4.txt", "images/5.txt"):
        write(tmp_path / name, "1 fine film")
    assert find_boxes(tmp_path, tmp_path, Columns()) is None


def test_label_files_elsewhere(tmp_path: Path) -> None:
    for name in ("photos/a/1.jpg", "photos/b/1.jpg", "photos/2.jpg"):
        draw(tmp_path / name)
    for name, number in {"a/1": 0, "b/1": 1, "2": 1}.items():
        write(tmp_path / f"exported/{name}.txt", f"{number} 0.5 0.5 0.2 0.5\n")
    write(tmp_path / "exported/classes.txt", "cat\ndog\n")
    found = labels(read(tmp_path / "photos", tmp_path / "exported"))
    assert {file: [*label] for file, label in found.items()} == {
        "2.jpg": ["dog"],
        "a/1.jpg": ["cat"],
        "b/1.jpg": ["dog"],
    }


def test_settings_and_tables_beside_class_folders_are_no_descriptions(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/2.jpg"):
        draw(tmp_path / name)
    write(tmp_path / "config.yaml", "train:\n  epochs: 10\nval: 0.2\n")
    write(tmp_path / "iris.data", "5.1,3.5,1.4,0.2,Iris-setosa\n")
    assert load_dataset(tmp_path).classes == ["cat", "dog"]


def test_one_split_of_a_data_set_has_the_names_of_the_whole(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        _image(tmp_path, f"{split}/images/{split}.jpg")
    _yaml(tmp_path, "train: train/images\nval: valid/images\n")
    assert boxes(read(tmp_path / "valid"), "images/valid.jpg") == CAT
