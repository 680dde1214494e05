"""Data whose examples have any number of labels: three ways to write them, and how they are divided."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart.data.audit import audit
from headstart.data.dataset import Dataset, load_dataset
from headstart.data.split import check_split, folds, group_ids, split, split_dataset
from headstart.errors import InputError
from headstart.tasks import get_task

MULTI_LABEL = get_task("multi-label")

TEXTS = ["one", "two", "three", "four"]
LABELS = [["sad", "loud"], [], ["loud"], ["sad"]]
MATRIX = [[1, 1], [0, 0], [1, 0], [0, 1]]  # loud, sad


def _csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _columns(folder: Path) -> Dataset:
    table = _csv(folder / "a.csv", "text,loud,sad", "one,1,1", "two,0,", "three,TRUE,false", "four,0,1.0")
    return load_dataset(pd.read_csv(table, dtype=object), label_column=["loud", "sad"])


def _mixed_columns(folder: Path) -> Dataset:
    """The floats that pandas makes of whole numbers with gaps, and its booleans."""
    frame = pd.DataFrame({"text": TEXTS, "loud": [1.0, None, 1.0, 0.0], "sad": [True, False, False, True]})
    return load_dataset(frame, label_column=["loud", "sad"])


def _split_values(folder: Path) -> Dataset:
    table = _csv(folder / "b.csv", "text,tags", "one,sad | loud", "two,", "three,loud|", "four,sad")
    return load_dataset(table, label_separator="|")


def _json_lists(folder: Path) -> Dataset:
    rows = [json.dumps({"text": text, "labels": names}) for text, names in zip(TEXTS, LABELS, strict=True)]
    return load_dataset(_csv(folder / "c.jsonl", *rows))


def _parquet_lists(folder: Path) -> Dataset:
    pd.DataFrame({"text": TEXTS, "label": LABELS}).to_parquet(folder / "d.parquet")
    return load_dataset(folder / "d.parquet")


def _frame_of_arrays(folder: Path) -> Dataset:
    return load_dataset(pd.DataFrame({"text": TEXTS, "y": [np.array(names, object) for names in LABELS]}))


@pytest.mark.parametrize(
    "read", [_columns, _mixed_columns, _split_values, _json_lists, _parquet_lists, _frame_of_arrays]
)
def test_all_ways_to_write_labels_give_the_same(read, tmp_path: Path) -> None:
    dataset = read(tmp_path)
    assert dataset.texts == TEXTS
    assert dataset.classes == ["loud", "sad"]
    assert dataset.labels.tolist() == MATRIX
    assert dataset.class_names == ["loud, sad", "none", "loud", "sad"]


def test_columns_keep_their_order_and_labels_can_be_left_out() -> None:
    frame = pd.DataFrame({"text": TEXTS, "b": [1, 0, 0, 0], "a": [1, 1, 0, 0], "c": [0, 0, 1, 0]})
    assert load_dataset(frame, label_column=["b", "a"]).classes == ["b", "a"]
    some = load_dataset(frame, label_column=["b", "a", "c"], classes=["c", "a"])
    assert some.labels.tolist() == [[0, 1], [0, 1], [1, 0], [0, 0]]


def test_a_missing_list_is_no_empty_list(tmp_path: Path) -> None:
    rows = [json.dumps({"text": "a", "label": ["x", "y"]}), json.dumps({"text": "b", "label": None})]
    dataset = load_dataset(_csv(tmp_path / "a.jsonl", *rows))
    assert len(dataset) == 1
    assert [item.file.partition(" of ")[0] for item in dataset.skipped] == ["row 2"]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({"a": [1, 2], "b": [0, 1]}, {"label_column": ["a", "b"]}, "row 2 of the DataFrame has '2' in the column 'a'"),
        ({"a": [1, 0], "b": [0, 1]}, {"label_column": ["a", "bb"]}, "no column 'bb' for the label.*Did you mean 'b'"),
        (
            {"a": ["x", "y"]},
            {"label_column": ["a"], "label_separator": ""},
            "label_separator: expected the text between two labels",
        ),
        (
            {"a": [1, 0], "b": [0, 1]},
            {"label_column": ["a", "b"], "label_separator": ";"},
            "label_separator: ';' is for one column of labels, and 2 are named: a, b",
        ),
        ({"label": [["x"], "y"]}, {}, "row 2 of the DataFrame has the label 'y': expected a list of labels"),
        ({"label": ["x", ["y"]]}, {}, r"row 2 of the DataFrame has the label \['y'\]: expected one label"),
        ({"label": [["x;y"], []]}, {}, "row 1 of the DataFrame has the label 'x;y'.*label_separator=';'"),
        ({"label": [["x"], []]}, {}, r"one class only \('x', 2 examples\)"),
    ],
)
def test_what_cannot_be_read_is_named(rows: dict, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(pd.DataFrame({"text": ["one", "two"], **rows}), **options)


def test_labels_of_a_known_run_need_a_column_each() -> None:
    frame = pd.DataFrame({"text": TEXTS, "a": [1, 0, 0, 0], "b": [1, 1, 0, 0]})
    with pytest.raises(InputError, match="of 3 labels that the run knows, DataFrame has no column for 'c'"):
        load_dataset(frame, label_column=["a", "b"], known_classes=["a", "b", "c"])
    with pytest.raises(InputError, match="classes that the run does not know: 'b'"):
        load_dataset(frame, label_column=["a", "b"], known_classes=["a", "c"])


def _many(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((n, 12)) < rng.uniform(0.01, 0.3, 12)).astype(np.uint8)


def _keys(n: int) -> list[bytes]:
    return [hashlib.sha256(str(i).encode()).digest() for i in range(n)]


def _unevenness(labels: np.ndarray, parts: np.ndarray) -> float:
    shares = [labels[parts == side].sum(0) / labels.sum(0) for side in ("train", "val", "test")]
    return float(
        np.mean([np.abs(share - wanted).mean() for share, wanted in zip(shares, (0.7, 0.15, 0.15), strict=True)])
    )


def test_labels_are_divided_far_more_evenly_than_by_chance() -> None:
    labels, keys = _many(2000), _keys(2000)
    parts = split(MULTI_LABEL, labels, groups=group_ids(None, keys), keys=keys)
    sizes = [(parts == side).mean() for side in ("train", "val", "test")]
    assert sizes == pytest.approx([0.7, 0.15, 0.15], abs=0.02)
    by_chance = np.random.default_rng(1).permutation(parts)
    assert _unevenness(labels, parts) < 0.2 * _unevenness(labels, by_chance)
    without = ~labels.any(1)
    assert (parts[without] == "train").mean() == pytest.approx(0.7, abs=0.01)


def test_the_order_of_the_examples_does_not_matter_and_the_seed_does() -> None:
    labels, keys = _many(300), _keys(300)
    parts = split(MULTI_LABEL, labels, groups=group_ids(None, keys), keys=keys)
    order = np.random.default_rng(1).permutation(300)
    shuffled = [keys[i] for i in order]
    assert np.array_equal(
        split(MULTI_LABEL, labels[order], groups=group_ids(None, shuffled), keys=shuffled), parts[order]
    )
    assert not np.array_equal(split(MULTI_LABEL, labels, groups=group_ids(None, keys), keys=keys, seed=1), parts)


def test_groups_stay_together() -> None:
    labels, keys = _many(600), _keys(600)
    units = group_ids([str(i % 150) for i in range(600)], keys)
    parts = split(MULTI_LABEL, labels, groups=units, keys=keys)
    assert all(len(set(parts[units == unit])) == 1 for unit in range(150))
    numbers = folds(MULTI_LABEL, labels, units, 5, 0)
    assert all(len(set(numbers[units == unit])) == 1 for unit in range(150))
    assert set(numbers) == set(range(5))


def test_shots_are_of_each_label_and_of_none() -> None:
    labels = _many(400)
    frame = pd.DataFrame({"text": [str(i) for i in range(400)], **{f"c{k}": labels[:, k] for k in range(12)}})
    dataset = load_dataset(frame, label_column=[f"c{k}" for k in range(12)])
    division = split_dataset(dataset, np.arange(400), _keys(400), val=0.15, test=0.15, seed=0, shots=3)
    train = labels[division.index("train")]
    assert (train.sum(0) >= np.minimum(labels.sum(0) // 2, 3)).all()
    assert (~train.any(1)).sum() == 3
    assert len(train) <= 3 * 13
    assert not len(division.index("val"))


def test_the_audit_counts_what_has_no_label_and_finds_contradictions() -> None:
    frame = pd.DataFrame({"text": [*TEXTS, "one"], "label": [*LABELS, ["sad"]]})
    dataset = load_dataset(frame)
    digests = [hashlib.sha256(text.encode()).digest() for text in dataset.texts]
    found = audit(dataset, digests, {})
    by_check = {finding.check: finding for finding in found.findings}
    assert by_check["without-labels"].summary.startswith("1 of 3 examples has none of the labels")
    assert "imbalance" not in by_check
    assert by_check["conflicting-labels"].state == "found"
    assert found.skipped[0].reason == "an exact copy of row 5 with another label (loud, sad and sad)"


def test_a_label_that_all_or_hardly_any_have_cannot_be_learnt() -> None:
    parts = np.array(["train"] * 6 + ["test"] * 2)
    everywhere = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [1, 0], [1, 0], [1, 1], [0, 0]])
    with pytest.raises(InputError, match="the label 'a' is missing from 0 examples to train on: expected at least 2"):
        check_split(MULTI_LABEL, everywhere, parts, ["a", "b"], skipped=[])
    with pytest.raises(InputError, match="the class 'b' has 2 usable examples, 1 of them to train on"):
        check_split(MULTI_LABEL, np.eye(8, 2, dtype=int) + np.eye(8, 2, -6, dtype=int), parts, ["b", "a"], skipped=[])


@pytest.mark.parametrize(
    ("both", "one", "none"),
    [
        ("['a', 'b']", "['b']", "[]"),
        ('["a", "b"]', '["b"]', "[ ]"),
        ("('a', 'b')", "('b',)", "()"),
        ("{'b', 'a'}", "{'b'}", "[]"),
        ("['a' 'b']", "['b']", "[]"),
        ("['a'\n 'b']", "['b']", "[]"),
    ],
    ids=["Python", "JSON", "tuples", "sets", "NumPy", "NumPy in lines"],
)
def test_lists_that_are_written_as_text_are_several_labels(tmp_path: Path, both: str, one: str, none: str) -> None:
    frame = pd.DataFrame({"text": list("wxyz"), "label": [both, one, none, one]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for data in (frame, tmp_path / "t.csv"):
        dataset = load_dataset(data)
        assert dataset.classes == ["a", "b"]
        assert dataset.class_names == ["a, b", "b", "none", "b"]


def test_lists_of_numbers_as_text() -> None:
    dataset = load_dataset(pd.DataFrame({"text": list("xyz"), "label": ["[1, 10]", "[2]", "[10]"]}))
    assert dataset.classes == ["1", "2", "10"]


def test_lists_as_text_beside_plain_labels_are_an_error() -> None:
    frame = pd.DataFrame({"text": list("xyz"), "label": ["['a', 'b']", "b", "['b']"]})
    with pytest.raises(InputError, match=r"2 labels of 3 are lists written as text, such as .*, and .* such as 'b'"):
        load_dataset(frame)


@pytest.mark.parametrize("labels", [["[0, 1]", "[1, 0]", "[1, 0]"], [[0, 1, 1], [1, 0, 0], [0, 0, 1]], ["[1. 0.]"] * 3])
def test_lists_of_0_and_1_are_not_names(labels: list[object]) -> None:
    with pytest.raises(InputError, match=r"each label is a list of 0 and 1, such as .*: expected lists of the names"):
        load_dataset(pd.DataFrame({"text": list("xyz"), "label": labels}))


def test_0_and_1_may_be_names() -> None:
    frame = pd.DataFrame({"text": list("xyz"), "label": [["0", "1"], ["1"], ["0"]]})
    assert load_dataset(frame).class_names == ["0, 1", "1", "0"]


@pytest.mark.parametrize("label", ["[a, b]", "{a,b}", '{"a": 1, "b": 1}', "array(['a', 'b'], dtype=object)"])
def test_lists_without_quotes_are_named(label: str, caplog: pytest.LogCaptureFixture) -> None:
    assert load_dataset(pd.DataFrame({"text": list("xyz"), "label": [label, "x", "x"]})).class_counts == {
        label: 1,
        "x": 2,
    }
    assert "look like lists. They are read as one class each" in caplog.text


def test_brackets_may_be_class_names() -> None:
    frame = pd.DataFrame({"text": list("xyzu"), "label": ["[]", "()", "(a)", "[]"]})
    assert load_dataset(frame).classes == ["()", "(a)", "[]"]


def test_separators_that_nobody_named_are_named(caplog: pytest.LogCaptureFixture) -> None:
    labels = ["action|drama", "comedy|drama", "action|comedy", "drama", "action|comedy|drama"]
    frame = pd.DataFrame({"text": list("vwxyz"), "label": labels})
    assert len(load_dataset(frame).classes) == 5
    assert "labels such as 'action|comedy' look like several labels in one cell" in caplog.text
    caplog.clear()
    assert load_dataset(frame, label_separator="|").classes == ["action", "comedy", "drama"]
    load_dataset(frame.assign(label=["New York, NY", "Paris, FR", "Rome, IT", "Bonn", "Paris, FR"]))
    assert not caplog.records
