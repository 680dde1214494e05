"""Rows of a table of examples: CSV, TSV, JSON lines, Parquet or a pandas DataFrame."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from headstart.data.images import EXTENSIONS
from headstart.errors import InputError, did_you_mean
from headstart.extras import require

_SUFFIXES = {".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".pq"}
_USUAL_NAMES = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "photo"),
    "label": ("label", "class", "category", "target", "class_name", "y"),
    "split": ("split", "subset", "partition", "fold_name"),
}


class Columns(NamedTuple):
    """Names of a table's columns; None for path, label and split means to find them by their usual names."""

    path: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None


class Row(NamedTuple):
    """One row; ``where`` names it in messages. ``split`` and ``group`` are None where the table has no such column."""

    where: str
    path: str
    label: str
    split: str | None
    group: str | None


def is_frame(data: Any) -> bool:
    """Whether this looks like a pandas DataFrame (pandas itself is not imported for the question)."""
    return hasattr(data, "columns") and hasattr(data, "itertuples")


def is_table(path: Path) -> bool:
    """Whether a file's extension is one that :func:`read_rows` takes."""
    return path.suffix.lower() in _SUFFIXES


def read_rows(table: Any, columns: Columns) -> Iterator[Row]:
    """Read a table row by row, as text.

    Args:
        table: a DataFrame, or the path of a file.
        columns: which column is which.

    Raises:
        InputError: it cannot be read, or a column is missing; the text lists those there are.
        UnavailableError: the package for this kind of file is not installed.
    """
    if is_frame(table):
        name, header, rows = "the DataFrame", [str(c) for c in table.columns], _frame_rows(table)
    else:
        name = str(table)
        try:
            header, rows = _READERS.get(table.suffix.lower(), _read_csv)(table)
        except (OSError, UnicodeDecodeError, csv.Error, ValueError) as exc:
            if isinstance(exc, InputError):
                raise
            raise InputError(f"cannot read the table {name}: {exc}.") from exc
    at = {kind: _find(name, header, kind, wanted) for kind, wanted in columns._asdict().items()}
    for number, cells in rows:
        value = {kind: None if i is None else _text(cells[i]) if i < len(cells) else "" for kind, i in at.items()}
        yield Row(f"row {number} of {name}", value["path"] or "", value["label"] or "", value["split"], value["group"])


def _find(name: str, header: list[str], kind: str, wanted: str | None) -> int | None:
    """Position of a column; a column that is neither named nor needed may be missing."""
    if wanted is not None:
        if wanted not in header:
            raise InputError(
                f"{name} has no column {wanted!r} for the {kind}: it has {', '.join(map(repr, header))}."
                + did_you_mean(wanted, header)
            )
        return header.index(wanted)
    lower = [column.strip().lower() for column in header]
    for usual in _USUAL_NAMES.get(kind, ()):
        if usual in lower:
            return lower.index(usual)
    if kind in ("path", "label"):
        raise InputError(
            f"cannot tell which column of {name} is the {kind}: it has {', '.join(map(repr, header))}. "
            f"Name it with --{kind}-column."
        )
    return None


_Rows = Iterator[tuple[int, Sequence[Any]]]


def _read_csv(path: Path) -> tuple[list[str], _Rows]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        first = file.readline()
    delimiter = max("\t,;|", key=first.count)
    header = next(csv.reader([first], delimiter=delimiter), [])
    if not any(header):
        raise InputError(f"the table {path} is empty: expected a line with the names of its columns.")
    bare = len(header) > 1 and Path(header[0].strip()).suffix.lower() in EXTENSIONS  # data in the first line
    names = ["path", "label", "split"][: len(header)] if bare else header

    def rows() -> _Rows:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter)
            if not bare:
                next(reader)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells

    return names, rows()


def _read_json_lines(path: Path) -> tuple[list[str], _Rows]:
    def objects() -> Iterator[tuple[int, dict[str, Any]]]:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        value = json.loads(line)
                    except ValueError as exc:
                        raise InputError(f"line {number} of {path} is not JSON: {exc}.") from exc
                    if not isinstance(value, dict):
                        raise InputError(f"line {number} of {path} is not a JSON object: expected {{…}}.")
                    yield number, value

    header = list(dict.fromkeys(key for _, value in objects() for key in value))
    if not header:
        raise InputError(f"the table {path} is empty: expected one JSON object a line.")
    return header, ((number, [value.get(key) for key in header]) for number, value in objects())


def _read_parquet(path: Path) -> tuple[list[str], _Rows]:
    parquet = require("pyarrow.parquet", extra="tables", purpose="reading a Parquet table")
    file = parquet.ParquetFile(path)
    header = list(file.schema_arrow.names)

    def rows() -> _Rows:
        number = 0
        for batch in file.iter_batches():
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield number, cells

    return header, rows()


def _frame_rows(frame: Any) -> _Rows:
    return enumerate(frame.itertuples(index=False, name=None), 1)


_READERS = {".jsonl": _read_json_lines, ".ndjson": _read_json_lines, ".parquet": _read_parquet, ".pq": _read_parquet}


def _text(value: Any) -> str:
    """A cell as text; missing values of every kind are empty, and 3.0 from a column with gaps is 3."""
    if value is None or value != value:  # NaN differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
