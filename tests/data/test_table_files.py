"""Tables in every kind of file that people have: compressed, in other encodings, as JSON and as Arrow files."""

import bz2
import gzip
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data.dataset import load_dataset
from headstart.errors import InputError

TEXTS = [f"the film number {i} was {'good' if i % 2 else 'bad'}, really" for i in range(8)]
LABELS = ["pos" if i % 2 else "neg" for i in range(8)]
FRAME = pd.DataFrame({"text": TEXTS, "label": LABELS})
ROWS: list[dict[str, Any]] = FRAME.to_dict("records")
CSV = FRAME.to_csv(index=False).encode()
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def _stream(path: Path) -> None:
    table = pa.table(FRAME)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[Path], object]] = {
    "t.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV)),
    "t.tsv.bz2": lambda path: path.write_bytes(bz2.compress(FRAME.to_csv(index=False, sep="\t").encode())),
    "t.csv.XZ": lambda path: path.write_bytes(lzma.compress(CSV)),
    "packed without saying so.csv": lambda path: path.write_bytes(gzip.compress(CSV)),
    "t.jsonl.gz": lambda path: path.write_bytes(gzip.compress(JSONL)),
    "utf-16 without a mark.csv": lambda path: path.write_bytes(CSV.decode().encode("utf-16-le")),
    "big endian.csv": lambda path: path.write_bytes(CSV.decode().encode("utf-16-be")),
    "utf-32.csv": lambda path: path.write_bytes(CSV.decode().encode("utf-32")),
    "two marks.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" * 2 + CSV),
    "escaped delimiters.csv": lambda path: path.write_bytes(b"text,label\n" + b"".join(
        f"{text},{label}\n".replace(", ", "\\, ").encode() for text, label in zip(TEXTS, LABELS, strict=True)
    )),
    "records.json": lambda path: path.write_text(json.dumps(ROWS, indent=1)),
    "lines.json": lambda path: path.write_bytes(JSONL),
    "columns.json": lambda path: FRAME.to_json(path),
    "split.json": lambda path: FRAME.to_json(path, orient="split"),
    "lists.json": lambda path: path.write_text(json.dumps({"text": TEXTS, "label": LABELS}, indent=1)),
    "data.json": lambda path: path.write_text(json.dumps({"version": 1, "data": ROWS})),
    "t.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "t.feather": lambda path: FRAME.to_feather(path),
    "t.arrow": _stream,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_tables_in_many_files(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    dataset = load_dataset(tmp_path / name)
    assert dataset.texts == TEXTS
    assert dataset.class_names == LABELS


@pytest.mark.parametrize("name", ["train.csv.gz", "train.json", "train.feather"])
def test_a_folder_of_such_tables(tmp_path: Path, name: str) -> None:
    for split in ("train", "test"):
        if name.endswith("gz"):
            (tmp_path / f"{split}.csv.gz").write_bytes(gzip.compress(CSV))
        elif name.endswith("json"):
            (tmp_path / f"{split}.json").write_text(json.dumps(ROWS))
        else:
            FRAME.to_feather(tmp_path / f"{split}.feather")
    dataset = load_dataset(tmp_path)
    assert sorted(dataset.given_splits or ()) == ["test"] * 8 + ["train"] * 8


def test_what_datasets_save_on_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "saved" / "train"
    folder.mkdir(parents=True)
    _stream(folder / "data-00000-of-00001.arrow")
    shutil.copy(folder / "data-00000-of-00001.arrow", folder / "cache-0123456789abcdef.arrow")
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    (folder / "dataset_info.json").write_text("{}")
    shutil.copytree(folder, tmp_path / "saved" / "test")
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert sorted(load_dataset(tmp_path / "saved").given_splits or ()) == ["test"] * 8 + ["train"] * 8


@pytest.mark.parametrize(
    ("name", "damage"),
    [(name, damage) for name in ("t.csv.gz", "t.parquet", "t.jsonl") for damage in ("cut", "changed")]
    + [("t.feather", "cut")],  # it has no checksums: some changes give other letters
)
def test_damaged_tables_are_named(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    if name == "t.parquet":
        pq.write_table(pa.table({"text": TEXTS * 50, "label": LABELS * 50}), path)
    elif name == "t.jsonl":
        path.write_bytes(JSONL)
    else:
        WRITERS[name](path)
    content = bytearray(path.read_bytes())
    middle = 60 if name == "t.parquet" else len(content) // 2
    if damage == "cut":
        del content[-20:]
    else:
        content[middle : middle + 12] = b"\xff\x13\x37" * 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        load_dataset(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("t.xlsx", "it is a spreadsheet: save the table as CSV"),
        ("t.pkl", "it is a pickle file: load it in Python"),
        ("t.csv.zip", "it is an archive: unpack it"),
        ("t.unknown", "expected a folder, a table"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4" + bytes(60))
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path / name)
    if name == "t.xlsx":
        with pytest.raises(InputError, match=message.replace("it ", "")):
            load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "is no table: expected an array of JSON objects"),
        ({"columns": ["text"], "data": "x"}, "is no table"),
        ([[1, 2]], "is not a JSON object"),
        ([{"text": "a", "label": [{"name": "x"}]}], "expected a name, a number or a list of names"),
        ([{"text": [1, 2], "label": "x"}, {"text": {"a": 1}, "label": "y"}], "holds a list of other values than words"),
    ],
)
def test_json_that_is_no_table_of_examples(tmp_path: Path, content: object, message: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path / "t.json")


def test_half_characters_at_the_end_of_cut_texts(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        '{"text": "good \\ud83d", "label": "a"}\n{"text": "\\ud83d\\ude00", "label": "b"}\n'
    )
    dataset = load_dataset(tmp_path / "t.jsonl")
    assert [example.read().decode() for example in dataset.examples] == ["good \ufffd", "\U0001f600"]


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = pd.concat([FRAME, FRAME.label.map({"pos": "neg", "neg": "pos"})], axis=1)
    with pytest.raises(InputError, match="several columns 'label'"):
        load_dataset(twice)
    twice.to_csv(tmp_path / "t.csv", index=False)
    for columns in ({}, {"label_column": "label"}):
        with pytest.raises(InputError, match="several columns 'label'"):
            load_dataset(tmp_path / "t.csv", **columns)


def test_a_table_without_a_header_says_that_its_first_line_is_one(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "t.csv", index=False, header=False)
    with pytest.raises(InputError, match="The first line is read as the names of the columns"):
        load_dataset(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "got an empty one"),
        ({"text": TEXTS, "label": LABELS}, r"pandas.DataFrame\(data\)"),
        (ROWS, r"pandas.DataFrame\(data\)"),
        (np.zeros((2, 4, 4, 3)), "Write the images as files"),
        (pa.table(FRAME), r"its method to_pandas\(\)"),
        (None, "got a value of type NoneType"),
    ],
)
def test_data_that_are_neither_a_path_nor_a_frame(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(data)
