"""Rows of a table of examples: CSV, TSV, JSON lines, Parquet or a pandas DataFrame.

An example is the path of an image, or a text; which of the two follows from the columns that there are.
"""

import csv
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.data.delimited import Record, open_text, read_delimited
from headstart.data.images import EXTENSIONS
from headstart.errors import InputError, did_you_mean, field_name
from headstart.system.extras import require
from headstart.system.settings import check_readable

logger = logging.getLogger(__name__)

_SUFFIXES = {".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".pq"}
_USUAL_NAMES = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "photo"),
    "label": ("label", "labels", "class", "category", "target", "class_name", "tags", "y"),
    "split": ("split", "subset", "partition", "fold_name"),
}
_TEXT_NAMES = (
    "text", "sentence", "review", "content", "body", "message", "comment", "tweet", "post", "document", "abstract",
    "question", "utterance", "query",
)  # fmt: skip
_TEXT_PARTS = ("title", "headline", "subject", "summary", "description")  # used together if the table has none of those
_SET, _NOT_SET = ("1", "1.0", "true"), ("0", "0.0", "false", "")  # of a label that has a column of its own


class Columns(NamedTuple):
    """Names of a table's columns; None for path, text, label and split means to find them by their usual names.

    Several text columns are joined, a line each. Several label columns say 0 or 1, each of the label that it is named
    for; the cells of a single one hold several labels if a separator between them is given.
    """

    path: str | None = None
    text: Sequence[str] | None = None
    label: Sequence[str] | None = None
    split: str | None = None
    group: str | None = None
    label_separator: str | None = None


class Row(NamedTuple):
    """One row; ``where`` names it in messages. What the table has no column for is None.

    ``label`` is a class, or empty; or a list of any number of labels. ``problem`` says why it
    is no example; empty if it is one. Bytes that are not UTF-8 are there as lone surrogates, as in file names.
    """

    number: int
    where: str
    path: str | None
    text: str | None
    label: str | list[str]
    split: str | None
    group: str | None
    problem: str


def is_frame(data: Any) -> bool:
    """Whether this looks like a pandas DataFrame (pandas itself is not imported for the question)."""
    return hasattr(data, "columns") and hasattr(data, "itertuples")


def is_table(path: Path) -> bool:
    """Whether a file's extension is one that :func:`read_rows` takes."""
    return path.suffix.lower() in _SUFFIXES


def read_rows(table: Any, columns: Columns, *, labelled: bool = True) -> Iterator[Row]:
    """Read a table row by row, as text.

    Args:
        table: a DataFrame, or the path of a file.
        columns: which column is which.
        labelled: whether there has to be a label.

    Raises:
        InputError: it cannot be read, or a column is missing (the text lists those there are), or a label's own column
            holds something else than 0 or 1.
        UnavailableError: the package for this kind of file is not installed.
    """
    if is_frame(table):
        name, header, rows = "the DataFrame", [str(c) for c in table.columns], _frame_rows(table)
    else:
        name, (header, rows) = str(table), _read_table(table)
    texts = _find_texts(name, header, columns)
    kinds = [kind for kind in ("path", "split", "group") if not (texts and kind == "path")]
    at = {kind: _find(name, header, kind, getattr(columns, kind)) for kind in kinds}
    labels = _find_labels(name, header, columns) if labelled else {}
    for number, cells, problem in rows:
        value = {kind: None if i is None else _cell(cells, i) for kind, i in at.items()}
        where = f"row {number} of {name}"
        yield Row(
            number,
            where,
            value.get("path"),
            "\n".join(filter(None, (_cell(cells, i) for i in texts))) if texts else None,
            _label(where, cells, labels, columns.label_separator) if labels and not problem else "",
            value["split"],
            value["group"],
            problem,
        )


def read_cells(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table file row by row: the row's number, and its cells as text by the names of their columns.

    Raises:
        InputError: it cannot be read, or a row has more cells than the header.
        UnavailableError: the package for this kind of file is not installed.
    """
    header, rows = _read_table(table)
    for number, cells, problem in rows:
        if problem:
            raise InputError(f"row {number} of {table} {problem}.")
        yield number, {name: _cell(cells, i) for i, name in enumerate(header)}


def column_roles(table: Path, columns: Columns) -> dict[str, str]:
    """The role of each column of a table file: a field of :class:`Columns`, or an empty string.

    Raises:
        InputError: the table cannot be read.
        UnavailableError: the package for this kind of file is not installed.
    """
    header, _ = _read_table(table)
    name, found = str(table), dict.fromkeys(header, "")
    texts: list[int] = []
    with suppress(InputError):  # a column that is named is not there
        texts = _find_texts(name, header, columns)
    found |= {header[i]: "text" for i in texts}
    for kind in ("path", "split", "group"):
        with suppress(InputError):  # no such column
            i = None if texts and kind == "path" else _find(name, header, kind, getattr(columns, kind))
            found |= {} if i is None else {header[i]: kind}
    with suppress(InputError):
        found |= {header[i]: "label" for i in _find_labels(name, header, columns).values()}
    return found


def _read_table(table: Path) -> tuple[list[str], "_Rows"]:
    try:
        check_readable(table)
        return _READERS.get(table.suffix.lower(), _read_csv)(table)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as exc:
        if isinstance(exc, InputError):
            raise
        raise InputError(f"cannot read the table {table}: {exc}.") from exc


def _cell(cells: Sequence[Any], i: int) -> str:
    return _text(cells[i]) if i < len(cells) else ""


def _label(where: str, cells: Sequence[Any], labels: dict[str, int], separator: str | None) -> str | list[str]:
    """The class of an example, or the list of its labels."""
    if len(labels) > 1:
        return [name for name, i in labels.items() if _is_set(where, name, _cell(cells, i))]
    (i,) = labels.values()
    value = cells[i] if i < len(cells) else None
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [text for text in map(_text, value) if text]
    if separator is None:
        return _text(value)
    return [part.strip() for part in _text(value).split(separator) if part.strip()]


def _is_set(where: str, label: str, cell: str) -> bool:
    if cell.lower() in _SET:
        return True
    if cell.lower() in _NOT_SET:
        return False
    raise InputError(
        f"{where} has {cell!r} in the column {label!r}: where several label columns are named, each says 0 or 1 "
        "(or false or true, or nothing for 0). Name one column if it holds the classes themselves."
    )


def _find_texts(name: str, header: list[str], columns: Columns) -> list[int]:
    """Positions of the columns that make up a text; empty where the examples are files."""
    if columns.text:
        return [_named(name, header, "text", wanted) for wanted in columns.text]
    lower = [column.strip().lower() for column in header]
    if columns.path or any(usual in lower for usual in _USUAL_NAMES["path"]):
        return []
    taken = {*(columns.label or ()), columns.split, columns.group}
    for usual in _TEXT_NAMES:
        if usual in lower and header[lower.index(usual)] not in taken:
            return [lower.index(usual)]
    found = [i for i, column in enumerate(lower) if column in _TEXT_PARTS and header[i] not in taken]
    if len(found) > 1:
        logger.info(f"the text of an example is its columns {', '.join(header[i] for i in found)}, joined")
    return found


def _find_labels(name: str, header: list[str], columns: Columns) -> dict[str, int]:
    """Positions of the label columns by their names."""
    if columns.label:
        if columns.label_separator is not None and len(columns.label) > 1:
            raise InputError(
                f"{columns.label_separator!r} is for one column of labels, and {len(columns.label)} are named: "
                f"{', '.join(columns.label)}. Name one column, or leave the separator out.",
                field="label_separator",
            )
        return {wanted: _named(name, header, "label", wanted) for wanted in columns.label}
    found = _find(name, header, "label", None)
    return {} if found is None else {header[found]: found}


def _named(name: str, header: list[str], kind: str, wanted: str) -> int:
    if wanted not in header:
        raise InputError(
            f"{name} has no column {wanted!r} for the {kind}: it has {', '.join(map(repr, header))}."
            + did_you_mean(wanted, header)
        )
    return header.index(wanted)


def _find(name: str, header: list[str], kind: str, wanted: str | None) -> int | None:
    """Position of a column; a column that is neither named nor needed may be missing."""
    if wanted is not None:
        return _named(name, header, kind, wanted)
    lower = [column.strip().lower() for column in header]
    for usual in _USUAL_NAMES.get(kind, ()):
        if usual in lower:
            return lower.index(usual)
    if kind == "path":
        raise InputError(
            f"cannot tell which column of {name} holds the examples: it has {', '.join(map(repr, header))}. "
            f"Set {field_name('text_column')} for texts, or {field_name('path_column')} for image files."
        )
    if kind == "label":
        raise InputError(
            f"cannot tell which column of {name} is the label: it has {', '.join(map(repr, header))}. "
            f"Set {field_name('label_column')}."
        )
    return None


_Rows = Iterator[Record]


def _read_csv(path: Path) -> tuple[list[str], _Rows]:
    header, rows = read_delimited(path)
    if not (len(header) > 1 and Path(header[0].strip()).suffix.lower() in EXTENSIONS):
        return header, rows
    return ["path", "label", "split"][: len(header)], chain([Record(1, header)], rows)  # data in the first line


def _read_json_lines(path: Path) -> tuple[list[str], _Rows]:
    def objects() -> Iterator[tuple[int, dict[str, Any]]]:
        with open_text(path) as file:
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
    return header, (Record(number, [value.get(key) for key in header]) for number, value in objects())


def _read_parquet(path: Path) -> tuple[list[str], _Rows]:
    parquet = require("pyarrow.parquet", extra="tables", purpose="reading a Parquet table")
    file = parquet.ParquetFile(path)
    header = list(file.schema_arrow.names)

    def rows() -> _Rows:
        number = 0
        for batch in file.iter_batches():
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield Record(number, cells)

    return header, rows()


def _frame_rows(frame: Any) -> _Rows:
    return (Record(number, cells) for number, cells in enumerate(frame.itertuples(index=False, name=None), 1))


_READERS = {".jsonl": _read_json_lines, ".ndjson": _read_json_lines, ".parquet": _read_parquet, ".pq": _read_parquet}


def _text(value: Any) -> str:
    """A cell as text; missing values of every kind are empty, and 3.0 from a column with gaps is 3."""
    if value is None or value != value:  # NaN differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
