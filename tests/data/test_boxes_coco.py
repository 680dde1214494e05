"""COCO's JSON, as the data set itself, CVAT and Roboflow write it."""

from pathlib import Path

import pytest

from headstart.data.boxes import layout
from headstart.data.dataset import load_dataset
from headstart.errors import InputError
from tests.data.box_files import boxes, coco, draw, labels, problems, read, skipped, splits, write_json

CAT_DOG = {1: "cat", 90: "dog"}


def _annotation(image: int, category: int, *box: float, **fields: object) -> dict[str, object]:
    return {"image_id": image, "category_id": category, "bbox": [*box], **fields}


def test_gaps_of_numbers_number_0_crowds_and_images_without_objects(tmp_path: Path) -> None:
    for name in "ab":
        draw(tmp_path / f"images/{name}.jpg")
    annotations = [_annotation(7, 90, 10, 20, 30, 40), _annotation(7, 1, 0, 0, 100, 80, iscrowd=1)]
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}]
    write_json(tmp_path / "annotations.json", coco(images, annotations, CAT_DOG))
    rows = read(tmp_path)
    assert boxes(rows, "images/a.jpg") == [("dog", 10, 20, 40, 60), ("cat", 0, 0, 100, 80)]
    assert [box.is_ignored for box in labels(rows)["images/a.jpg"].boxes] == [False, True]
    assert len(labels(rows)["images/b.jpg"]) == 0
    assert (problems(rows), rows.skipped, rows.splits) == ([], [], None)


def test_one_file_for_each_split_beside_folders_of_its_name(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        draw(tmp_path / split / "000001.jpg")
        content = coco([{"id": 1, "file_name": "000001.jpg"}], [_annotation(1, 1, 0, 0, 9, 9)], CAT_DOG)
        write_json(tmp_path / f"annotations/instances_{split}.json", content)
        write_json(tmp_path / f"annotations/captions_{split}.json", coco([], [{"image_id": 1, "caption": "x"}], {}))
    assert splits(read(tmp_path)) == {"train2017/000001.jpg": "train", "val2017/000001.jpg": "val"}


def test_roboflow_has_a_file_in_each_folder_and_a_category_that_is_none(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        draw(tmp_path / split / "x_jpg.rf.abc.jpg")
        content = coco(
            [{"id": 0, "license": 1, "file_name": "x_jpg.rf.abc.jpg"}],
            [_annotation(0, 1, 0.5, 1.5, 10, 20, segmentation=[], area=200)],
            {0: "cells", 1: "RBC"},
        )
        write_json(tmp_path / split / "_annotations.coco.json", content)
    rows = read(tmp_path)
    assert splits(rows) == {"train/x_jpg.rf.abc.jpg": "train", "valid/x_jpg.rf.abc.jpg": "val"}
    assert rows.present == {"RBC"}
    assert boxes(rows, "valid/x_jpg.rf.abc.jpg") == [("RBC", 0.5, 1.5, 10.5, 21.5)]


def test_an_image_that_is_missing_is_not_taken_from_another_split(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        draw(tmp_path / split / "1.jpg")
        images = [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]
        write_json(tmp_path / split / "_annotations.coco.json", coco(images, [_annotation(1, 1, 0, 0, 9, 9)], CAT_DOG))
    draw(tmp_path / "valid/2.jpg")
    rows = read(tmp_path)
    assert [*splits(rows)] == ["train/1.jpg", "valid/1.jpg", "valid/2.jpg"]
    assert skipped(rows) == {"2.jpg": "named in train/_annotations.coco.json: there is no image of this name: 2.jpg"}


def test_masks_without_a_box(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg", (6, 5))
    segmentations = [
        [[1, 1, 3, 1, 3, 4], [4, 2, 5, 2, 5, 3]],
        {"size": [5, 6], "counts": [6, 2, 3, 3, 16]},  # columns of 5: rows 1 and 2 of the second, 1 to 3 of the third
        {"size": [5, 6], "counts": "6231="},  # the same as text, by pycocotools
        {"size": [5, 6], "counts": [1, 7, 22]},
        {"size": [5, 6], "counts": [30]},
    ]
    annotations = [{"image_id": 1, "category_id": 1, "segmentation": value} for value in segmentations]
    write_json(
        tmp_path / "coco.json",
        coco([{"id": 1, "file_name": "1.jpg", "width": 6, "height": 5}], annotations, CAT_DOG),
    )
    rows = read(tmp_path)
    assert boxes(rows, "1.jpg") == [("cat", 1, 1, 5, 4), ("cat", 1, 1, 3, 4), ("cat", 0, 0, 2, 5)]
    assert [(where, check) for where, check, *_ in problems(rows)] == [
        ("annotation 2 of coco.json", "boxes-twice"), ("annotation 4 of coco.json", "unreadable-boxes"),
    ]  # fmt: skip


def test_annotations_of_nothing_are_named(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg")
    annotations = [
        _annotation(1, 1, 0, 0, 9, 9), _annotation(5, 1, 0, 0, 9, 9), _annotation(1, 8, 0, 0, 9, 9),
        _annotation(1, 1, 0, 0, 9), _annotation(1, 1, 1, 5, 9, -3),
    ]  # fmt: skip
    write_json(tmp_path / "coco.json", coco([{"id": 1, "file_name": "1.jpg"}], annotations, CAT_DOG))
    rows = read(tmp_path)
    assert len(rows.labels[0]) == 2
    assert [(where, reason) for where, _, reason, _ in problems(rows)] == [
        ("annotation 1 of coco.json", "is of the image 5, which the file does not have"),
        ("annotation 2 of coco.json", "has the unknown category 8"),
        ("annotation 3 of coco.json", "has a corner that is no number"),
        ("annotation 4 of coco.json", "has its first corner after its second one"),
    ]


def test_results_are_not_labels(tmp_path: Path) -> None:
    draw(tmp_path / "1.jpg")
    detections = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.9}]
    file = write_json(tmp_path / "results/found.json", detections)
    with pytest.raises(InputError, match="holds no labels of boxes in a known form"):
        read(tmp_path, file)


def test_a_file_elsewhere(tmp_path: Path) -> None:
    draw(tmp_path / "photos/deep/1.jpg")
    file = write_json(
        tmp_path / "labels/coco.json",
        coco([{"id": 1, "file_name": "D:\\data\\1.jpg"}], [_annotation(1, 1, 0, 0, 9, 9)], CAT_DOG),
    )
    rows = read(tmp_path / "photos", file)
    assert rows.files == ["deep/1.jpg"]


def test_the_file_itself_as_the_data(tmp_path: Path) -> None:
    draw(tmp_path / "images/1.jpg")
    draw(tmp_path / "images/small/1.jpg")
    content = coco([{"id": 1, "file_name": "images/1.jpg"}], [_annotation(1, 1, 0, 0, 9, 9)], CAT_DOG)
    assert read(write_json(tmp_path / "coco.json", content)).files == ["images/1.jpg"]
    rows = read(write_json(tmp_path / "annotations/coco.json", {**content, "images": content["images"][:1]}))
    assert rows.files == [str(tmp_path / "images/1.jpg")]


def test_an_archive_in_a_folder_of_its_name(tmp_path: Path) -> None:
    draw(tmp_path / "blood.v1/train/1.jpg")
    content = coco([{"id": 1, "file_name": "1.jpg"}], [_annotation(1, 1, 0, 0, 9, 9)], CAT_DOG)
    write_json(tmp_path / "blood.v1/train/_annotations.coco.json", content)
    assert read(tmp_path).files == ["blood.v1/train/1.jpg"]


def test_classes_of_whole_images_are_no_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plants/1.jpg", "birds/2.jpg"):
        draw(tmp_path / name)
    images = [{"id": 1, "file_name": "plants/1.jpg"}]
    write_json(tmp_path / "train2019.json", coco(images, [{"image_id": 1, "category_id": 1}], CAT_DOG))
    assert load_dataset(tmp_path).classes == ["birds", "plants"]
    monkeypatch.setattr(layout, "_SMALL", 100)  # such files are not parsed to know their kind
    assert load_dataset(tmp_path).classes == ["birds", "plants"]
    write_json(tmp_path / "train2019.json", coco(images, [_annotation(1, 1, 0, 0, 9, 9)], CAT_DOG))
    assert load_dataset(tmp_path).classes == ["cat"]
