"""Examples in the rows of a table."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from headstart.data.class_names import check_not_measured, warn_of_missing, whole_numbers
from headstart.data.example_rows import ExampleRows, Skipped
from headstart.data.examples import is_url
from headstart.data.listed_labels import check_not_bits, hint_at_separator, listed_labels
from headstart.data.modalities import modality_of_table
from headstart.data.split_names import split_of
from headstart.data.table_columns import Columns
from headstart.data.table_images import RowAddress, image_namer
from headstart.data.tables import Row, is_frame, read_rows
from headstart.errors import InputError, counted
from headstart.tasks import task_for
from headstart.tasks.labels import Label, label_names


class Part(NamedTuple):
    """One of the tables of a data set.

    Attributes:
        table: a DataFrame, or the path of a file.
        split: of its rows, where it has no column of splits; empty if that is not known.
    """

    table: Any
    split: str = ""


def find_in_tables(parts: Sequence[Part], root: Path, columns: Columns, source: str) -> ExampleRows:
    """Find the examples of a table, or of several with the same columns.

    Args:
        parts: the tables.
        root: folder that names of files are relative to.
        columns: which column is which.
        source: of the data, for messages.

    Raises:
        InputError: one cannot be read, a column is missing, or a label or a split is not valid.
        UnavailableError: the package for this kind of file is not installed.
    """
    rows = ExampleRows(modality_of_table([], []))  # until the rows are read
    splits: list[str] = []
    groups: list[str] = []
    texts: list[str] = []
    for part in parts:
        name = _names(part.table, root, columns, is_single=source == str(part.table))
        skipped: list[Skipped] = []
        n_before = len(rows.files)
        for row in read_rows(part.table, columns):
            if reason := _reason_to_skip(row):
                file = row.path and name(row)
                skipped.append(Skipped(file, f"{row.where} {reason}") if file else Skipped(row.where, reason))
                continue
            _check_label(row, rows)
            splits.append(part.split if row.split is None else _split(row))
            if row.group is not None:
                groups.append(row.group)
            if row.text is not None:
                texts.append(row.text)
            rows.files.append(name(row))
            rows.labels.append(row.label)
        rows.skipped += _without_labels(part, skipped, has_examples=len(rows.files) > n_before) or skipped
    if columns.label and len(columns.label) > 1:
        rows.label_columns = columns.label
    else:
        _unify_labels(source, rows)
    if texts and len(texts) < len(rows.files):
        raise InputError(f"{source}: some tables have texts, and others name images. Expected the same columns in all.")
    rows.modality = modality_of_table(rows.files, texts)
    contents = texts or [""] * len(rows.files)
    rows.examples = [rows.modality.example_in(root, *pair) for pair in zip(rows.files, contents, strict=True)]
    rows.splits, rows.groups = splits if any(splits) else None, groups or None
    return rows


def _names(table: Any, root: Path, columns: Columns, *, is_single: bool) -> Callable[[Row], str]:
    """A function that names the example in a row; an image that is in the row itself is written into the cache."""
    name_image = image_namer(table, root, columns.path or "")
    if is_frame(table):
        return lambda row: name_image(row.number, row.content) if row.content else row.path or f"row {row.number}"
    table_name = os.path.relpath(os.path.abspath(table), root)
    folder = os.path.dirname(table_name)

    def name(row: Row) -> str:
        if row.content:
            return name_image(row.number, row.content)
        if row.path:
            return os.path.join(folder, row.path) if folder and not is_url(row.path) else row.path
        return f"row {row.number}" if is_single else str(RowAddress(table_name, row.number))

    return name


def _without_labels(part: Part, skipped: Sequence[Skipped], *, has_examples: bool) -> list[Skipped]:
    """The whole table instead of its rows, if it is held out and no row has a label, as in competitions."""
    is_unlabelled = part.split in ("val", "test") and not has_examples
    if not (is_unlabelled and skipped and all(item.reason.endswith("has no label") for item in skipped)):
        return []
    return [Skipped(str(part.table), f"none of its {counted(len(skipped), 'row')} has a label")]


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
    rows.labels = whole_numbers(source, labels)
    check_not_measured(source, rows.labels)
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
