"""Rows of a table of examples: CSV, TSV, JSON, Parquet, Feather or a pandas DataFrame.

An example is the path of an image, or a text; which of the two follows from the columns that there are.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.data.arrow_tables import read_arrow_table
from headstart.data.cells import cell_text, file_content, image_extension, path_problem, text_problem
from headstart.data.delimited import Record, read_delimited, read_header
from headstart.data.images import EXTENSIONS
from headstart.data.json_tables import read_json_table
from headstart.data.table_columns import Columns, TableHead, find_column, find_labels, find_texts
from headstart.data.table_files import ARROW, JSON, PARQUET, naming, reading, table_suffix
from headstart.errors import InputError

logger = logging.getLogger(__name__)

FRAME = "DataFrame"
"""What stands for the path of a table where there is no file."""

_SAMPLED_ROWS = 20  # that decide what a column holds
_BOX_CELLS = ("path", "x1", "y1", "x2", "y2", "label")  # of a table of boxes without a header
_NUMBER = re.compile(r"(\d+(\.\d*)?)?")
_REPEATED_HEADER = "repeats the header"
_RULE_STARTS = ("-", "=", ":", " ")
_RULE = re.compile(r"\s*:?[-=]{2,}:?\s*")  # as psql and Markdown draw it
_SET, _NOT_SET = ("1", "1.0", "true"), ("0", "0.0", "false", "")  # of a label that has a column of its own


class Row(NamedTuple):
    """One row. What the table has no column for is None.

    Bytes that are not UTF-8 are there as lone surrogates, as in file names.

    Attributes:
        number: of the row, from 1.
        where: names it in messages.
        path: of the file that it names.
        content: of an image that is in the table itself.
        text: the example, in a table of texts.
        label: a class, or empty; or a list of any number of labels.
        split: as it is written.
        group: of the example.
        problem: why it is no example; empty if it is one.
        null: a cell of the example or the label that says that the value is missing, such as ``NULL``; else empty.
    """

    number: int
    where: str
    path: str | None
    content: bytes | None
    text: str | None
    label: str | list[str]
    split: str | None
    group: str | None
    problem: str
    null: str = ""


def is_frame(data: Any) -> bool:
    """Whether this looks like a pandas DataFrame (pandas itself is not imported for the question)."""
    return hasattr(data, "columns") and hasattr(data, "itertuples")


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
    head, rows = open_table(table)
    texts = find_texts(head, columns)
    kinds = [kind for kind in ("path", "split", "group") if not (texts and kind == "path")]
    at = {kind: find_column(head, kind, getattr(columns, kind)) for kind in kinds}
    labels = find_labels(head, columns) if labelled else {}
    path = at.get("path")
    holds_images = path is not None and head.holds_images(path)
    used_columns = {*texts, *labels.values(), *([] if path is None else [path])}
    for number, cells, problem, nulls in rows:
        null = next((cell_text(cells[i]) for i in nulls if i in used_columns), "")
        if nulls:
            cells = ["" if i in nulls else cell for i, cell in enumerate(cells)]
        value = {kind: None if i is None else _cell(cells, i) for kind, i in at.items()}
        where = f"row {number} of {head.name}"
        content = file_content(cells[path]) if path is not None and path < len(cells) else None
        if content is not None and not (holds_images or image_extension(content)):
            content = None
        if path is not None and path < len(cells) and content is None and not problem:
            problem = path_problem(cells[path])
        problem = problem or next(filter(None, (text_problem(cells[i]) for i in texts if i < len(cells))), "")
        shown_path = "" if content is not None or problem else value.get("path")
        yield Row(
            number,
            where,
            shown_path,
            content,
            "\n".join(filter(None, (_cell(cells, i) for i in texts))) if texts else None,
            _label(where, cells, labels, columns.label_separator) if labels and not problem else "",
            value["split"],
            value["group"],
            problem,
            null,
        )


def read_cells(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table file row by row: the row's number, and its cells as text by the names of their columns.

    A row that repeats the header is passed over.

    Raises:
        InputError: it cannot be read, or a row has more cells than the header.
        UnavailableError: the package for this kind of file is not installed.
    """
    header, rows = _read_table(table)
    for number, cells, problem, _ in rows:
        if problem == _REPEATED_HEADER:
            continue
        if problem:
            raise InputError(f"row {number} of {table} {problem}.")
        yield number, {name: _cell(cells, i) for i, name in enumerate(header)}


def column_names(table: Any) -> list[str]:
    """The names of a table's columns; no row is read, except of JSON, where each row has names.

    Args:
        table: a DataFrame, or the path of a file.

    Raises:
        InputError: it cannot be read.
        UnavailableError: the package for this kind of file is not installed.
    """
    if is_frame(table):
        return [str(name) for name in table.columns]
    if table_suffix(table) in _READERS:
        return _read_table(table)[0]
    with reading(table):
        return _column_names(read_header(table))


def column_roles(table: Path, columns: Columns) -> dict[str, str]:
    """The role of each column of a table file: a field of :class:`Columns`, or an empty string.

    Raises:
        InputError: the table cannot be read.
        UnavailableError: the package for this kind of file is not installed.
    """
    head, _ = open_table(table)
    header, roles = head.header, dict.fromkeys(head.header, "")
    texts: list[int] = []
    with suppress(InputError):  # a column that is named is not there
        texts = find_texts(head, columns)
    roles |= {header[i]: "text" for i in texts}
    for kind in ("path", "split", "group"):
        with suppress(InputError):  # no such column
            i = None if texts and kind == "path" else find_column(head, kind, getattr(columns, kind))
            roles |= {} if i is None else {header[i]: kind}
    with suppress(InputError):
        roles |= {header[i]: "label" for i in find_labels(head, columns).values()}
    return roles


def open_table(table: Any) -> tuple[TableHead, Iterator[Record]]:
    """A table's beginning, and all its rows.

    Args:
        table: a DataFrame, or the path of a file.

    Raises:
        InputError: it cannot be read.
        UnavailableError: the package for this kind of file is not installed.
    """
    if is_frame(table):
        name, root, header, rows = (
            "the DataFrame",
            Path.cwd(),
            [str(name) for name in table.columns],
            _frame_rows(table),
        )
    else:
        name, root, (header, rows) = str(table), Path(table).parent, _read_table(table)
    sample = list(islice(rows, _SAMPLED_ROWS))
    head = TableHead(name, header, [record.cells for record in sample], root, has_header_line=_is_delimited(table))
    return head, chain(sample, rows)


def _is_delimited(table: Any) -> bool:
    return not is_frame(table) and table_suffix(Path(table)) not in _READERS


def _read_table(table: Path) -> tuple[list[str], "_Rows"]:
    with reading(table):
        header, rows = _READERS.get(table_suffix(table), _read_csv)(table)
    return header, _naming_errors(table, rows)


def _naming_errors(table: Path, rows: "_Rows") -> "_Rows":
    with naming(table):
        yield from rows


def _cell(cells: Sequence[Any], i: int) -> str:
    return cell_text(cells[i]) if i < len(cells) else ""


def _label(where: str, cells: Sequence[Any], labels: dict[str, int], separator: str | None) -> str | list[str]:
    """The class of an example, or the list of its labels."""
    if len(labels) > 1:
        return [name for name, i in labels.items() if _is_set(where, name, _cell(cells, i))]
    (i,) = labels.values()
    value = cells[i] if i < len(cells) else None
    items = list(value) if isinstance(value, list | tuple | set | frozenset | np.ndarray) else None
    if isinstance(value, dict) or any(isinstance(item, dict | list | tuple | np.ndarray) for item in items or ()):
        raise InputError(f"{where} has the label {value!r}: expected a name, a number or a list of names.")
    if items is not None:
        return [text for text in map(cell_text, items) if text]
    if separator is None:
        return cell_text(value)
    return [part.strip() for part in cell_text(value).split(separator) if part.strip()]


def _is_set(where: str, label: str, cell: str) -> bool:
    if cell.lower() in _SET:
        return True
    if cell.lower() in _NOT_SET:
        return False
    raise InputError(
        f"{where} has {cell!r} in the column {label!r}: where several label columns are named, each says 0 or 1 "
        "(or false or true, or nothing for 0). Name one column if it holds the classes themselves."
    )


_Rows = Iterator[Record]


def _read_csv(path: Path) -> tuple[list[str], _Rows]:
    header, rows = read_delimited(path)
    names = _column_names(header)
    if names == header:
        return header, _without_headers(path, header, rows)
    return names, chain([Record(1, header)], rows)  # data in the first line


def _column_names(header: list[str]) -> list[str]:
    """The names in the first line, or those of its cells if it is a row: an image and its label, or one box in it."""
    if not (len(header) > 1 and Path(header[0].strip()).suffix.lower() in EXTENSIONS):
        return header
    if len(header) == len(_BOX_CELLS) and all(_NUMBER.fullmatch(cell.strip()) for cell in header[1:5]):
        return list(_BOX_CELLS)
    return ["path", "label", "split"][: len(header)]


def _without_headers(path: Path, header: Sequence[str], rows: _Rows) -> _Rows:
    """Rows with a problem where one repeats the header, as in files that were joined.

    Raises:
        InputError: a row has the names of the header in another order: the rows after it have, too.
    """
    names = [_column_name(name) for name in header]
    fewest, longest = min(2, len(names)), 3 + max(map(len, names), default=0)  # a mark of the encoding and spaces
    for record in rows:
        first = record.cells[0] if record.cells else ""
        if first[:1] in _RULE_STARTS and len(names) > 1 and all(_RULE.fullmatch(cell) for cell in record.cells):
            record = record._replace(problem="is a line below the header, without values")
        elif len(first) <= longest and _column_name(first) in names and not record.problem:
            cells = [_column_name(cell) for cell in record.cells]
            if len(cells) >= fewest and cells == names[: len(cells)]:
                record = record._replace(problem=_REPEATED_HEADER)
            elif len(names) > 1 and sorted(cells) == sorted(names):
                raise InputError(
                    f"row {record.number} of {path} has the names of the columns in another order than the first line: "
                    f"{', '.join(map(repr, record.cells))}. Join files with the same columns only."
                )
        yield record


def _column_name(cell: str) -> str:
    return cell.strip("\ufeff \t").casefold()


def _frame_rows(frame: Any) -> _Rows:
    return (Record(number, cells) for number, cells in enumerate(frame.itertuples(index=False, name=None), 1))


_READERS = {
    **dict.fromkeys(JSON, read_json_table),
    **dict.fromkeys((*PARQUET, *ARROW), read_arrow_table),
}
