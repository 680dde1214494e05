import json
from dataclasses import asdict

import numpy as np

from headstart.data.audit import Audit, audit
from headstart.data.dataset import Dataset, Skipped


def _audit(
    labels: str,
    contents: str,
    *,
    splits: list[str] | None = None,
    groups: list[str] | None = None,
    problems: dict[int, str] | None = None,
    skipped: list[Skipped] | None = None,
) -> Audit:
    """One letter a file: its class, and its content."""
    classes = sorted(set(labels))
    files = [f"{label}/{i}.jpg" for i, label in enumerate(labels)]
    numbers = np.array([classes.index(label) for label in labels])
    dataset = Dataset("test", None, files, classes, numbers, splits, groups, skipped or [])  # type: ignore[arg-type]
    digests = [None if problems and i in problems else content.encode() for i, content in enumerate(contents)]
    return audit(dataset, digests, problems or {})


def _state(found: Audit, check: str) -> str:
    return next(finding.state for finding in found.findings if finding.check == check)


def test_nothing_wrong_is_said_too() -> None:
    found = _audit("aaabbb", "123456")
    states = {finding.check: finding.state for finding in found.findings}
    assert states == {
        "unreadable": "clean",
        "conflicting-labels": "clean",
        "exact-duplicates": "clean",
        "groups-across-splits": "not applicable",
        "small-classes": "found",
        "imbalance": "clean",
    }
    assert found.usable.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.skipped == []


def test_unreadable_files_are_left_out_and_named() -> None:
    found = _audit("aab", "123", problems={1: "empty: 0 bytes"}, skipped=[Skipped("notes.txt", "no image")])
    assert found.usable.tolist() == [0, 2]
    assert found.skipped == [("notes.txt", "no image"), ("a/1.jpg", "empty: 0 bytes")]
    assert found.findings[0].summary == "2 files cannot be used and are left out."
    assert found.findings[0].examples == ["a/1.jpg: empty: 0 bytes", "notes.txt: no image"]


def test_the_same_picture_under_two_labels_is_left_out_on_both_sides() -> None:
    found = _audit("aabb", "1223")
    assert _state(found, "conflicting-labels") == "found"
    assert found.usable.tolist() == [0, 3]
    assert found.skipped[0] == ("a/1.jpg", "the same bytes as b/2.jpg, yet labelled both a and b")
    assert _state(found, "exact-duplicates") == "clean"


def test_copies_within_one_class_stay_and_are_reported() -> None:
    found = _audit("aaab", "1123")
    assert _state(found, "exact-duplicates") == "found"
    assert found.usable.tolist() == [0, 1, 2, 3]


def test_copies_across_given_splits_stay_on_the_held_out_side() -> None:
    found = _audit("aaaabb", "111123", splits=["train", "val", "test", "test", "train", "test"])
    assert found.usable.tolist() == [2, 3, 4, 5]
    assert [item.file for item in found.skipped] == ["a/0.jpg", "a/1.jpg"]
    assert "a/2.jpg in test" in found.skipped[0].reason


def test_groups_across_given_splits() -> None:
    sides = ["train", "test", "train", "test"]
    assert _state(_audit("abab", "1234", splits=sides, groups=["p", "p", "q", "r"]), "groups-across-splits") == "found"
    assert _state(_audit("abab", "1234", splits=sides, groups=["p", "s", "q", "r"]), "groups-across-splits") == "clean"
    assert _state(_audit("abab", "1234", groups=["p", "p", "q", "q"]), "groups-across-splits") == "clean"


def test_small_classes_and_imbalance() -> None:
    contents = "".join(map(chr, range(200, 300)))
    even = _audit("a" * 50 + "b" * 50, contents)
    assert _state(even, "small-classes") == _state(even, "imbalance") == "clean"
    uneven = _audit("a" * 90 + "b" * 10, contents)
    assert _state(uneven, "small-classes") == _state(uneven, "imbalance") == "found"
    assert uneven.findings[-1].summary.startswith("a has 9.0 times the examples of b")


def test_findings_are_plain_data() -> None:
    found = _audit("aabb", "1223")
    assert json.loads(json.dumps([asdict(finding) for finding in found.findings]))[0]["check"] == "unreadable"
