"""The roles of table columns: read from a form, shown in a form, and suggested."""

import os
from itertools import islice
from pathlib import Path
from typing import Any

from starlette.datastructures import QueryParams

from headstart.data.dataset import Dataset
from headstart.data.table_columns import Columns
from headstart.data.tables import column_roles, read_cells
from headstart.ui.root_folder import RootFolder

ROLES = {
    "": "not used",
    "text": "text",
    "path": "path of an image",
    "label": "label",
    "split": "split (train, val, test)",
    "group": "group (stays in one split)",
}
"""Roles of a column (fields of :class:`headstart.data.tables.Columns`) -> their labels on the page."""

_LIST_SETTINGS, _TEXT_SETTINGS = (
    ("text_column", "label_column"),
    ("path_column", "label_separator", "task", "split_column", "group_by", "annotations"),
)
_FIELDS = {"text": "text_column", "path": "path_column", "label": "label_column"} | {
    "split": "split_column", "group": "group_by"
}  # fmt: skip
_ROLE = "role-"  # prefix of the form fields with the role of a column
_SAMPLED_ROWS = 200
_SEPARATORS = ";|,"


def read_arguments(fields: QueryParams) -> dict[str, Any]:
    """The arguments of :func:`headstart.data.dataset.load_dataset` in a form or an address.

    The path of annotations is as it was typed, see :func:`with_annotations`.
    """
    lists = {name: values for name in _LIST_SETTINGS if (values := [value for value in fields.getlist(name) if value])}
    return lists | {name: fields[name] for name in _TEXT_SETTINGS if fields.get(name)}


def with_annotations(read: dict[str, Any], root_folder: RootFolder, data: Path) -> dict[str, Any]:
    """The arguments with the absolute path of the annotations, which may be typed relative to the data or to the root.

    Raises:
        InputError: the file does not exist, or is outside the root.
    """
    if not (typed := read.get("annotations")):
        return read
    relative_to_data = os.path.relpath(data / typed, root_folder.root)
    path = root_folder.resolve(relative_to_data if (data / typed).exists() else typed)
    return {**read, "annotations": str(path)}


def role_arguments(fields: QueryParams) -> dict[str, Any] | None:
    """The same, from the form with a role for every column; None if this is another form."""
    roles = [(name.removeprefix(_ROLE), role) for name, role in fields.multi_items() if name.startswith(_ROLE)]
    if not roles:
        return None
    columns = [(_FIELDS[role], column) for column, role in roles if role in _FIELDS]
    return read_arguments(QueryParams([*columns, ("label_separator", fields.get("label_separator", ""))]))


def list_columns(table: Path, read: dict[str, Any]) -> list[dict[str, str]]:
    """The columns of a table: ``name``, current ``role``, and ``sample``, the first value."""
    columns = Columns(
        read.get("path_column"), read.get("text_column"), read.get("label_column"),
        read.get("split_column"), read.get("group_by"), read.get("label_separator"),
    )  # fmt: skip
    rows = [cells for _, cells in islice(read_cells(table), _SAMPLED_ROWS)]
    return [
        {"name": name, "role": role, "sample": next((cells[name] for cells in rows if cells[name]), "")}
        for name, role in column_roles(table, columns).items()
    ]


def suggest(table: Path, read: dict[str, Any], dataset: Dataset | None) -> tuple[str, dict[str, Any]] | None:
    """A suggestion how to read a table: a sentence, and the arguments to read it that way."""
    if dataset is None:
        binary_columns = [] if read.get("label_column") else _binary_columns(table)
        if len(binary_columns) < 2:
            return None
        return f"The columns {', '.join(binary_columns)} hold 0 and 1. Are they labels?", {
            **read,
            "label_column": binary_columns,
        }
    if dataset.task.cell_settings:  # cells are split already
        return None
    for separator in _SEPARATORS:
        parts = {part.strip() for name in dataset.classes for part in name.split(separator) if part.strip()}
        if 1 < len(parts) < len(dataset.classes) and any(separator in name for name in dataset.classes):
            question = f"Some labels contain “{separator}”. Are these several labels of one {dataset.modality.noun}?"
            return question, {**read, "label_separator": separator}
    return None


def _binary_columns(table: Path) -> list[str]:
    """Columns with both 0 and 1 and nothing else, in the first rows."""
    rows = [cells for _, cells in islice(read_cells(table), _SAMPLED_ROWS)]
    return [name for name in (rows[0] if rows else ()) if {cells[name] for cells in rows} == {"0", "1"}]
