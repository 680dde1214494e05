import json
from pathlib import Path

import numpy as np
import pytest

from headstart.data.audit import CHECKS, Audit, Finding, Occurrence, audit, complete_findings, near_copies
from headstart.data.audit.texts import mojibake
from headstart.data.dataset import Dataset
from headstart.data.example_rows import Skipped
from headstart.data.modalities import IMAGE, TEXT
from headstart.errors import InputError
from headstart.tasks import get_task


def _dataset(
    labels: str,
    *,
    splits: list[str] | None = None,
    groups: list[str] | None = None,
    skipped: list[Skipped] | None = None,
    texts: list[str] | None = None,
) -> Dataset:
    """One letter a file: its class."""
    modality = TEXT if texts else IMAGE
    classes = sorted(set(labels))
    files = [f"{label}/{i}.jpg" for i, label in enumerate(labels)]
    numbers = np.array([classes.index(label) for label in labels])
    return Dataset(
        "test",
        None,
        files,
        classes,
        numbers,
        get_task("single-label"),
        splits,
        groups,
        skipped or [],
        modality=modality,
        examples=[modality.example_in(Path(), *pair) for pair in zip(files, texts or files, strict=True)],
    )  # type: ignore[arg-type]


def _audit(labels: str, contents: str, *, problems: dict[int, str] | None = None, **options: object) -> Audit:
    """One letter a file: its class, and its content."""
    digests = [None if problems and i in problems else content.encode() for i, content in enumerate(contents)]
    return audit(_dataset(labels, **options), digests, problems or {})  # type: ignore[arg-type]


def _of(found: Audit, check: str) -> Finding:
    return next(finding for finding in found.findings if finding.check == check)


def test_nothing_wrong_is_said_too() -> None:
    found = _audit("aaabbb", "123456")
    assert {finding.check for finding in found.findings if finding.state == "found"} == {"small-classes"}
    assert found.usable.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.skipped == []


@pytest.mark.parametrize(
    ("problem", "check"),
    [
        ("empty: 0 bytes", "unreadable"),
        ("not an image: a web page", "unreadable"),
        ("damaged: image file is truncated (5 bytes not processed)", "damaged"),
        ("mislabelled: PNG content under the extension .jpg; rename it to .png", "wrong-extension"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_sorted_by_why(problem: str, check: str) -> None:
    found = _audit("aab", "123", problems={1: problem}, skipped=[Skipped("notes.txt", "no image")])
    assert found.usable.tolist() == [0, 2]
    assert found.skipped == [("notes.txt", "no image"), ("a/1.jpg", problem)]
    assert [one.line(check) for one in _of(found, check).examples] == [f"a/1.jpg: {problem}"]
    assert _of(found, "not-examples").examples == [Occurrence(("notes.txt",), "no image")]


def test_copies_with_different_labels_are_not_used() -> None:
    found = _audit("aabb", "1223")
    assert _of(found, "conflicting-labels").state == "found"
    assert found.usable.tolist() == [0, 3]
    assert found.skipped[0] == ("a/1.jpg", "an exact copy of b/2.jpg with another label (a and b)")
    assert _of(found, "exact-duplicates").state == "clean"


def test_copies_within_one_class_stay_and_are_reported() -> None:
    found = _audit("aaab", "1123")
    assert _of(found, "exact-duplicates").state == "found"
    assert found.usable.tolist() == [0, 1, 2, 3]


def test_copies_across_given_splits_stay_in_the_held_out_one() -> None:
    found = _audit("aaaabb", "111123", splits=["train", "val", "test", "test", "train", "test"])
    assert found.usable.tolist() == [2, 3, 4, 5]
    assert [item.file for item in found.skipped] == ["a/0.jpg", "a/1.jpg"]
    assert "a/2.jpg in test" in found.skipped[0].reason
    assert _of(found, "leaks").summary == "2 images are also in a held-out split: used in that split only."


def test_groups_across_given_splits() -> None:
    splits, check = ["train", "test", "train", "test"], "groups-across-splits"
    assert _of(_audit("abab", "1234", splits=splits, groups=["p", "p", "q", "r"]), check).state == "found"
    assert _of(_audit("abab", "1234", splits=splits, groups=["p", "s", "q", "r"]), check).state == "clean"
    assert _of(_audit("abab", "1234", groups=["p", "p", "q", "q"]), check).state == "clean"
    assert _of(_audit("abab", "1234"), check).state == "not applicable"


def test_small_classes_and_imbalance() -> None:
    contents = "".join(map(chr, range(200, 300)))
    even = _audit("a" * 50 + "b" * 50, contents)
    assert _of(even, "small-classes").state == _of(even, "imbalance").state == "clean"
    uneven = _audit("a" * 90 + "b" * 10, contents)
    assert _of(uneven, "small-classes").examples == [Occurrence((), "b: 10")]
    assert _of(uneven, "imbalance").summary.startswith("a has 9.0 times the examples of b")


def test_copies_of_what_is_nearly_the_same_are_nearly_the_same() -> None:
    texts = ["one two three four", "One, two, three, four", "something else", "one two three four"]
    found = audit(_dataset("aaaa", texts=texts), [b"1", b"2", b"3", b"1"], {})
    assert found.near is not None
    assert found.near.tolist() == [[0, 1], [1, 3]]


def test_near_copies_are_judged_by_label_and_split() -> None:
    dataset = _dataset("aabb")
    pairs = np.array([[0, 1], [1, 2]])
    same, labels, leaks = near_copies(dataset, pairs, ["train", "test", "test", ""])
    assert [one.files for one in same.examples] == [("a/0.jpg", "a/1.jpg", "b/2.jpg")]
    assert [one.line(labels.check) for one in labels.examples] == ["a/1.jpg ≈ b/2.jpg: a and b"]
    assert [one.files for one in leaks.examples] == [("a/0.jpg", "a/1.jpg")]
    assert leaks.summary.startswith("1 held-out image nearly repeats one in another split")
    assert [one.state for one in near_copies(dataset, pairs[:0], None)] == ["clean", "clean", "not applicable"]
    assert {one.state for one in near_copies(dataset, None, None)} == {"skipped"}


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("a nice cafÃ© in town", True), ("itâ€™s good", True), ("lost \ufffd here", True), ("bell \x07", True),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", True), ("It\x92s Windows-1252", True), ("a nice café in town, it’s good", False),
        ("NÃO É MEU", False), ("привет", False), ("»groß« und «grand»", False), ("日本語\tと\nemoji 🙂", False),
    ],
)  # fmt: skip
def test_mojibake(text: str, is_found: bool) -> None:
    assert mojibake(["row 2"], [text]).state == ("found" if is_found else "clean")


def test_every_check_has_an_answer_in_the_order_of_the_codes() -> None:
    ran = [*_audit("aabb", "1223").findings, *near_copies(_dataset("aabb"), None, None)]
    whole = complete_findings(ran, IMAGE, ignored=["hs042", "small-classes"], skipped={"outliers": "No base."})
    assert [finding.check for finding in whole] == list(CHECKS)
    assert [check.code for check in CHECKS.values()] == sorted({check.code for check in CHECKS.values()})
    by_code = {finding.code: finding for finding in whole}
    assert by_code["HS042"].state == by_code["HS041"].state == "ignored"
    assert (by_code["HS051"].state, by_code["HS051"].summary) == ("skipped", "No base.")
    assert (by_code["HS021"].state, by_code["HS021"].summary) == ("not applicable", "It applies to texts.")
    with pytest.raises(InputError, match=r"no check 'HS32'.*Did you mean 'HS032'"):
        complete_findings(ran, IMAGE, ignored=["HS32"])


def test_findings_are_plain_data() -> None:
    facts = [finding.facts() for finding in _audit("aabb", "1223").findings]
    conflict = next(one for one in json.loads(json.dumps(facts)) if one["code"] == "HS033")
    assert conflict["severity"] == "error"
    assert conflict["examples"] == [{"files": ["a/1.jpg", "b/2.jpg"], "note": "a and b"}]
