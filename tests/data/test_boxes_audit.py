"""The audit of boxes, and the table of them that ``--fix`` writes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from headstart.commands.audit import DataAudit, audit
from headstart.data.dataset import load_dataset
from tests.data.box_files import draw, write_voc


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> DataAudit:
    root = tmp_path_factory.mktemp("data")
    objects = {
        "clean": [("cat", 11, 11, 50, 50), ("dog", 30, 31, 60, 60), ("dog", 61, 1, 70, 10, 1)],
        "wrong": [
            ("cat", 11, 11, 50, 50), ("cat", 11, 11, 50, 50), ("dog", 11, 11, 50, 49), ("cat", 11, 11, 49, 50),
            ("cat", 60, 60, 60, 60), ("cat", 61, 61, 61.5, 70), ("dog", 80, 70, 120, 90), ("cat", 300, 300, 310, 310),
            ("dog", "", 3, 4, 5),
        ],
        "background": [],
        "copy": [("cat", 11, 11, 50, 50), ("dog", 30, 31, 60, 60)],
    }  # fmt: skip
    for i, (name, boxes) in enumerate(objects.items()):
        draw(root / f"JPEGImages/{name}.jpg", shade=60 * i)
        write_voc(root / f"Annotations/{name}.xml", boxes)
    shutil.copy(root / "JPEGImages/clean.jpg", root / "JPEGImages/copy.jpg")
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/train.txt").write_text("clean\nwrong\n")
    (root / "ImageSets/Main/val.txt").write_text("background\ncopy\n")
    return audit(root, features=False, cache=root / "cache", progress=False)


@pytest.mark.parametrize(
    ("check", "summary", "notes"),
    [
        (
            "unreadable-boxes", "1 box has no class or no corners that can be read: left out.",
            ["object 9 of Annotations/wrong.xml has a corner that is no number: left out"],
        ),
        (
            "boxes-outside",
            "1 box reaches beyond the image: clipped; 1 box lies outside the image: left out.",
            [
                "object 7 of Annotations/wrong.xml reaches beyond the image: (79, 69) to (120, 90) of 100 x 80 pixels: "
                "clipped",
                "object 8 of Annotations/wrong.xml lies outside the image: (299, 299) to (310, 310) of 100 x 80 "
                "pixels: left out",
            ],
        ),
        (
            "tiny-boxes", "1 box has no area: left out; 1 box has a side below 2 pixels.",
            ["object 5 of Annotations/wrong.xml has no area: (60, 60) to (60, 60): left out", "1.5 x 10 pixels"],
        ),
        (
            "boxes-twice", "1 box is the same as another one of the same image: left out.",
            ["object 2 of Annotations/wrong.xml is the same as another one, cat (10, 10) to (50, 50): left out"],
        ),
        (
            "same-object-twice",
            "3 pairs of boxes have an IoU above 0.9, 2 of them with two classes: probably one object each.",
            [
                "cat and dog with an IoU of 0.97: (10, 10) to (50, 50)",
                "cat twice with an IoU of 0.97: (10, 10) to (50, 50)",
                "dog and cat with an IoU of 0.95: (10, 10) to (50, 49)",
            ],
        ),
        ("swapped-axes", "Boxes do not fit their images better with x and y exchanged.", []),
        (
            "box-statistics",
            "10 objects, 1 of them ignored (difficult, or crowds) in 4 images, at most 5 in one; 1 without objects. "
            "Sizes are square roots of areas, at percentiles 5, 50 and 95.",
            [
                "cat: 5 objects in 3 images, size 11 / 40 / 40 pixels, width to height 0.315 / 1 / 1",
                "dog: 5 objects in 3 images, size 11 / 30.5 / 37.7 pixels, width to height 1.01 / 1.03 / 1.73",
            ],
        ),
        ("without-labels", "1 of 3 examples has none of the labels, which is an answer like others.", []),
    ],
)  # fmt: skip
def test_findings(audited: DataAudit, check: str, summary: str, notes: list[str]) -> None:
    finding = audited[check]
    assert (finding.summary, [occurrence.note for occurrence in finding.examples]) == (summary, notes)


def test_an_image_in_two_splits_is_a_leak(audited: DataAudit) -> None:
    assert audited["leaks"].examples[0].files == ("JPEGImages/clean.jpg", "JPEGImages/copy.jpg")


def test_what_was_not_wrong_is_said(audited: DataAudit) -> None:
    states = {check: audited[check].state for check in ("annotation-sizes", "rotated-boxes", "outlines-as-boxes")}
    assert set(states.values()) == {"clean"}


def test_the_clean_table_has_the_same_boxes(audited: DataAudit, tmp_path: Path) -> None:
    left_out = audited.fix(tmp_path / "clean.csv")
    assert [item.file for item in left_out] == ["JPEGImages/clean.jpg"]
    again, before = load_dataset(tmp_path / "clean.csv"), audited.dataset
    assert again.label_problems == []
    assert [Path(file).name for file in again.files] == ["background.jpg", "copy.jpg", "wrong.jpg"]
    for file, boxes in zip(again.files, again.labels, strict=True):
        expected = before.labels[before.files.index(f"JPEGImages/{Path(file).name}")]
        np.testing.assert_array_equal(boxes.coordinates, expected.coordinates)
        np.testing.assert_array_equal(boxes.classes, expected.classes)
        np.testing.assert_array_equal(boxes.ignored, expected.ignored)
        assert boxes.size == expected.size
    assert dict(zip((Path(file).stem for file in again.files), again.given_splits or (), strict=True)) == {
        "background": "val", "copy": "val", "wrong": "train",
    }  # fmt: skip


def test_axes_that_were_exchanged_are_suspected(tmp_path: Path) -> None:
    for i in range(3):
        draw(tmp_path / f"JPEGImages/{i}.jpg", shade=80 * i)
        write_voc(tmp_path / f"Annotations/{i}.xml", [("cat", 21, 81 + i, 60, 100), ("cat", 1, 1, 30, 30)])
    finding = audit(tmp_path, features=False, cache=tmp_path / "cache", progress=False)["swapped-axes"]
    assert finding.summary.startswith("3 of 3 boxes that do not fit their images would fit with x and y exchanged")
    assert finding.severity == "error"
