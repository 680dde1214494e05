"""Examples in the rows of a table."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headstart.data.class_names import warn_of_missing, whole_numbers
from headstart.data.example_rows import ExampleRows, Skipped
from headstart.data.listed_labels import check_not_bits, hint_at_separator, listed_labels
from headstart.data.modalities import modality_of_table
from headstart.data.split_names import split_of
from headstart.data.table_columns import Columns
from headstart.data.table_images import RowAddress, add_frame_image, images_of
from headstart.data.tables import Row, is_frame, read_rows
from headstart.errors import InputError
from headstart.tasks import task_for
from headstart.tasks.labels import Label, label_names


def find_in_table(table: Any, root: Path, columns: Columns) -> ExampleRows:
    """Find the examples of a table.

    Args:
        table: a DataFrame, or the path of a file.
        root: folder that relative paths start from.
        columns: which column is which.

    Raises:
        InputError: it cannot be read, a column is missing, or a label or a split is not valid.
        UnavailableError: the package for this kind of file is not installed.
    """
    rows = ExampleRows(modality_of_table([], []))  # until the rows are read
    splits: list[str] = []
    groups: list[str] = []
    texts: list[str] = []
    add_image = _image_store(table, root, columns)
    for row in read_rows(table, columns):
        if reason := _reason_to_skip(row):
            rows.skipped.append(Skipped(row.path, f"{row.where} {reason}") if row.path else Skipped(row.where, reason))
            continue
        _check_label(row, rows)
        if row.split is not None:
            splits.append(_split(row))
        if row.group is not None:
            groups.append(row.group)
        if row.text is not None:
            texts.append(row.text)
        rows.files.append(add_image(row) if row.content else row.path or f"row {row.number}")
        rows.labels.append(row.label)
    if columns.label and len(columns.label) > 1:
        rows.label_columns = columns.label
    else:
        _unify_labels("the DataFrame" if is_frame(table) else str(table), rows)
    rows.modality = modality_of_table(rows.files, texts)
    contents = texts or [""] * len(rows.files)
    rows.examples = [rows.modality.example_in(root, *pair) for pair in zip(rows.files, contents, strict=True)]
    rows.splits, rows.groups = splits or None, groups or None
    return rows


def _image_store(table: Any, root: Path, columns: Columns) -> Callable[[Row], str]:
    """A function that writes the image in a row into the cache, and returns its address as the data set names it."""
    if is_frame(table):
        return lambda row: str(add_frame_image(row.number, row.content or b""))
    location, column = os.path.abspath(table), columns.path or ""
    images, name = images_of(location, column), os.path.relpath(location, root)

    def add(row: Row) -> str:
        images.add(row.number, row.content or b"")
        return str(RowAddress(name, row.number, column))

    return add


def _reason_to_skip(row: Row) -> str:
    """Why a row is no example; empty if it is one."""
    null = f": {row.null} is a missing value" if row.null else ""
    if row.problem:
        return row.problem
    if not (row.content or row.text or row.path):
        return f"has no {'path' if row.text is None else 'text'}{null}"
    if row.label == "":
        return f"has no label{null}"
    return "" if _is_unicode("".join(row.label)) else "has a label that is not UTF-8"


def _split(row: Row) -> str:
    split_name = split_of(row.split or "")
    if not split_name:
        raise InputError(f"{row.where} has the split {row.split!r}: expected train, val or test.")
    return split_name


def _unify_labels(source: str, rows: ExampleRows) -> None:
    """Read lists that are written as text, and whole numbers that are written as decimals."""
    check_not_bits(source, rows.labels)
    labels = listed_labels(source, rows.labels)
    if labels != rows.labels:
        _check_names(source, labels)
    else:
        hint_at_separator(source, labels)
    rows.labels = whole_numbers(labels)
    warn_of_missing(source, rows.labels)


def _check_names(where: str, labels: Sequence[Label]) -> None:
    """Check that the tables of a run can hold some labels of one kind."""
    fault = task_for(labels).label_fault(label_names(labels))
    if fault:
        raise InputError(f"{where} {fault}")


def _check_label(row: Row, rows: ExampleRows) -> None:
    """Check that a label is of the same kind as those before it, and that a run's tables can hold it."""
    if rows.labels and isinstance(row.label, list) != isinstance(rows.labels[0], list):
        expected = "a list of labels" if isinstance(row.label, str) else "one label"
        raise InputError(f"{row.where} has the label {row.label!r}: expected {expected}, as in the rows before it.")
    _check_names(row.where, [row.label])


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
