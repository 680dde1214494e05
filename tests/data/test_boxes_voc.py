"""Pascal VOC, as labelImg, CVAT, Roboflow and the data sets themselves write it."""

from pathlib import Path

import pytest

from headstart.errors import InputError
from tests.data.box_files import boxes, draw, labels, problems, read, skipped, splits, write, write_voc


def _voc(root: Path, objects: list[tuple[object, ...]], name: str = "1") -> Path:
    draw(root / f"JPEGImages/{name}.jpg")
    write_voc(root / f"Annotations/{name}.xml", objects)
    return root


def test_pixels_are_counted_from_1_and_both_ends_belong_to_the_box(tmp_path: Path) -> None:
    rows = read(_voc(tmp_path, [("cat", 1, 1, 100, 80), ("dog", 11, 21, 30, 40)]))
    assert boxes(rows, "JPEGImages/1.jpg") == [("cat", 0, 0, 100, 80), ("dog", 10, 20, 30, 40)]
    assert labels(rows)["JPEGImages/1.jpg"].size == (80, 100)
    assert problems(rows) == []
    assert rows.splits is None


def test_decimals_and_corners_counted_from_0_are_no_problem(tmp_path: Path) -> None:
    rows = read(_voc(tmp_path, [("cat", 0, 0, "50.5", "40.25"), ("cat", "10.5", 3, 100.6, 80)]))
    assert boxes(rows, "JPEGImages/1.jpg") == [("cat", 0, 0, 50.5, 40.25), ("cat", 9.5, 2, 100, 80)]
    assert problems(rows) == []


def test_difficult_objects_are_ignored_and_kept(tmp_path: Path) -> None:
    rows = read(_voc(tmp_path, [("cat", 1, 1, 9, 9, 1), ("cat", 20, 20, 40, 40)]))
    assert [box.is_ignored for box in labels(rows)["JPEGImages/1.jpg"].boxes] == [True, False]


def test_parts_of_an_object_are_no_objects(tmp_path: Path) -> None:
    draw(tmp_path / "JPEGImages/1.jpg")
    part = "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part>"
    box = "<bndbox><xmax>40</xmax><xmin>2</xmin><ymax>30</ymax><ymin>2</ymin></bndbox>"
    write(
        tmp_path / "Annotations/1.xml",
        f"<?xml version='1.0'?><annotation><object>{part}<name>person</name>{box}</object></annotation>",
    )
    assert boxes(read(tmp_path), "JPEGImages/1.jpg") == [("person", 1, 1, 40, 30)]


def test_lists_of_the_splits(tmp_path: Path) -> None:
    for name in "abcd":
        _voc(tmp_path, [("cat", 1, 1, 9, 9)], name)
    lists = tmp_path / "ImageSets/Main"
    for name, stems in {"train": "a\n", "val": "b\n", "trainval": "a\nb\n", "test": "c\n", "cat_test": "d 1\n"}.items():
        write(lists / f"{name}.txt", stems)
    rows = read(tmp_path)
    assert splits(rows) == {"JPEGImages/a.jpg": "train", "JPEGImages/b.jpg": "val", "JPEGImages/c.jpg": "test"}
    assert skipped(rows) == {"JPEGImages/d.jpg": "in none of the lists in ImageSets/Main"}


def test_trainval_is_train_where_there_is_no_train_and_val(tmp_path: Path) -> None:
    for name in "ab":
        _voc(tmp_path, [("cat", 1, 1, 9, 9)], name)
    write(tmp_path / "ImageSets/Main/trainval.txt", "a 1\n")
    write(tmp_path / "ImageSets/Main/test.txt", "b -1\n")
    assert splits(read(tmp_path)) == {"JPEGImages/a.jpg": "train", "JPEGImages/b.jpg": "test"}


def test_two_years_with_the_same_names(tmp_path: Path) -> None:
    for year, name in (("VOC2007", "cat"), ("VOC2012", "dog")):
        _voc(tmp_path / "VOCdevkit" / year, [(name, 1, 1, 9, 9)])
    found = {file: [*label] for file, label in labels(read(tmp_path)).items()}
    assert found == {"VOCdevkit/VOC2007/JPEGImages/1.jpg": ["cat"], "VOCdevkit/VOC2012/JPEGImages/1.jpg": ["dog"]}


def test_xml_beside_the_images_in_split_folders(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        draw(tmp_path / split / "1.jpg")
        write_voc(tmp_path / split / "1.xml", [("cat", 1, 1, 9, 9)], filename="1.jpg")
    rows = read(tmp_path)
    assert splits(rows) == {"train/1.jpg": "train", "valid/1.jpg": "val", "test/1.jpg": "test"}


def test_the_image_of_the_same_name_counts_more_than_the_name_in_the_file(tmp_path: Path) -> None:
    draw(tmp_path / "images/new.png")
    write_voc(tmp_path / "annotations/new.xml", [("cat", 1, 1, 9, 9)], filename="old.jpg")
    draw(tmp_path / "images/photo.jpg")
    write_voc(tmp_path / "annotations/0001.xml", [("dog", 1, 1, 9, 9)], filename="photo.jpg")
    assert {file: [*label] for file, label in labels(read(tmp_path)).items()} == {
        "images/photo.jpg": ["dog"], "images/new.png": ["cat"],
    }  # fmt: skip


def test_images_and_annotations_that_have_no_other_are_listed(tmp_path: Path) -> None:
    _voc(tmp_path, [("cat", 1, 1, 9, 9)])
    draw(tmp_path / "JPEGImages/2.jpg")
    write_voc(tmp_path / "Annotations/3.xml", [("cat", 1, 1, 9, 9)], filename="3.jpg")
    write(tmp_path / "Annotations/4.xml", "<annotation><object>")
    write_voc(_voc(tmp_path, [], "5") / "Annotations/5.xml", [])
    rows = read(tmp_path)
    assert [len(label) for label in rows.labels] == [1, 0]
    found = skipped(rows)
    assert found["Annotations/3.xml"] == "there is no image of this name: 3.jpg"
    assert found["Annotations/4.xml"].startswith("not XML: no element found")
    assert found["JPEGImages/2.jpg"] == "has no annotation file: an image without objects needs one, too"


def test_entities_are_refused(tmp_path: Path) -> None:
    _voc(tmp_path, [("cat", 1, 1, 9, 9)])
    draw(tmp_path / "JPEGImages/2.jpg")
    write(
        tmp_path / "Annotations/2.xml",
        '<!DOCTYPE annotation [<!ENTITY me "cat">]><annotation><object><name>&me;</name></object></annotation>',
    )
    assert skipped(read(tmp_path))["Annotations/2.xml"] == "XML that defines an entity, 'me': not read"


def test_wrong_boxes_are_named_one_by_one(tmp_path: Path) -> None:
    objects = [
        ("cat", 1, 1, 9, 9), ("cat", 1, 1, 9, 9), ("cat", 5, 5, 5, 5), ("cat", 40, 30, 20, 10),
        ("cat", 90, 70, 150, 90),
        ("cat", 200, 10, 300, 20), ("cat", "a", 1, 9, 9), ("", 1, 1, 9, 9), ("cat", 1, "nan", 9, 9),
    ]  # fmt: skip
    rows = read(_voc(tmp_path, objects))
    assert boxes(rows, "JPEGImages/1.jpg") == [("cat", 0, 0, 9, 9), ("cat", 19, 9, 40, 30), ("cat", 89, 69, 100, 80)]
    size = "100 x 80 pixels"
    assert [(where.split(" of ")[0], *rest) for where, *rest in problems(rows)] == [
        ("object 2", "boxes-twice", "is the same as another one, cat (0, 0) to (9, 9)", "left out"),
        ("object 3", "tiny-boxes", "has no area: (5, 5) to (5, 5)", "left out"),
        ("object 4", "swapped-corners", "has its first corner after its second one", "corners exchanged"),
        ("object 5", "boxes-outside", f"reaches beyond the image: (89, 69) to (150, 90) of {size}", "clipped"),
        ("object 6", "boxes-outside", f"lies outside the image: (199, 9) to (300, 20) of {size}", "left out"),
        ("object 7", "unreadable-boxes", "has a corner that is no number", "left out"),
        ("object 8", "unreadable-boxes", "has no class", "left out"),
        ("object 9", "unreadable-boxes", "has a corner that is no number", "left out"),
    ]  # fmt: skip
    assert {item.file for item in rows.label_problems} == {"JPEGImages/1.jpg"}


def test_where_no_box_can_be_used_that_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="no box that can be used: all 1 are left out, such as object 1 of Annotations"
    ):
        read(_voc(tmp_path, [("cat", 500, 500, 600, 600)]))


def test_columns_are_for_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label_column: it is for tables, and the boxes are in the form of Pascal VOC"):
        read(_voc(tmp_path, [("cat", 1, 1, 9, 9)]), label=["name"])


def test_a_class_that_the_tables_of_a_run_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the class 'cat;dog'"):
        read(_voc(tmp_path, [("cat;dog", 1, 1, 9, 9)]))


def test_split_folders_with_other_words_in_their_names(tmp_path: Path) -> None:
    for name in ("fruit/train_zip/train", "fruit/test_zip/test"):
        draw(tmp_path / name / "1.jpg")
        write_voc(tmp_path / name / "1.xml", [("apple", 1, 1, 9, 9)])
    assert [*splits(read(tmp_path)).values()] == ["test", "train"]
