"""Examples in the rows of a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.data.class_names import whole_numbers
from headstart.data.example_rows import ExampleRows, Skipped
from headstart.data.listed_labels import check_not_bits, hint_at_separator, listed_labels
from headstart.data.modalities import modality_of_table
from headstart.data.split_names import split_of
from headstart.data.table_columns import Columns
from headstart.data.table_images import TableImages
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
    images = TableImages(None if is_frame(table) else Path(table))
    for row in read_rows(table, columns):
        if row.problem:
            rows.skipped.append(Skipped(row.path or row.where, f"{row.where} {row.problem}"))
            continue
        file = images.add(row.number, row.content) if row.content else row.path
        content, kind = (file, "path") if row.text is None else (row.text, "text")
        if not content or row.label == "":
            rows.skipped.append(Skipped(row.path or row.where, f"{row.where} has no {'label' if content else kind}"))
            continue
        _check_label(row, rows)
        if not _is_unicode("".join(row.label)):
            rows.skipped.append(Skipped(row.path or row.where, f"the label in {row.where} is not UTF-8"))
            continue
        if row.split is not None:
            split_name = split_of(row.split)
            if not split_name:
                raise InputError(f"{row.where} has the split {row.split!r}: expected train, val or test.")
            splits.append(split_name)
        if row.group is not None:
            groups.append(row.group)
        if row.text is None:
            rows.files.append(content)
        else:
            rows.files.append(f"row {row.number}")
            texts.append(content)
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


def _unify_labels(source: str, rows: ExampleRows) -> None:
    """Read lists that are written as text, and whole numbers that are written as decimals."""
    check_not_bits(source, rows.labels)
    labels = listed_labels(source, rows.labels)
    if labels != rows.labels:
        _check_names(source, labels)
    else:
        hint_at_separator(source, labels)
    rows.labels = whole_numbers(labels)


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
