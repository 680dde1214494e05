"""How data are read: which column of a table is what, and what belongs together; from a form, and for one."""

from itertools import islice
from pathlib import Path
from typing import Any

from starlette.datastructures import QueryParams

from headstart.data.dataset import Dataset
from headstart.data.labels import is_multi_label
from headstart.data.readers import NOUNS
from headstart.data.tables import Columns, column_roles, read_cells

ROLES = {
    "": "not used",
    "text": "text",
    "path": "path of a picture",
    "label": "label",
    "split": "train, val or test",
    "group": "kept together",
}
"""What a column can be: a field of :class:`headstart.data.tables.Columns`, and what the page calls it."""

_SEVERAL, _ONE = ("text_column", "label_column"), ("path_column", "label_separator", "split_column", "group_by")
_FIELDS = {"text": "text_column", "path": "path_column", "label": "label_column"} | {
    "split": "split_column", "group": "group_by"
}  # fmt: skip
_ROLE = "role-"  # begins the name of a field that gives a column its role
_LOOKED_AT = 200  # rows, to see what a column holds
_SEPARATORS = ";|,"


def reading(fields: QueryParams) -> dict[str, Any]:
    """How data are read, as :func:`headstart.data.dataset.load_dataset` is told; of a form or an address."""
    several = {name: given for name in _SEVERAL if (given := [one for one in fields.getlist(name) if one])}
    return several | {name: fields[name] for name in _ONE if fields.get(name)}


def chosen(fields: QueryParams) -> dict[str, Any] | None:
    """The same of the form that gives every column a role; None if this is another form."""
    roles = [(name.removeprefix(_ROLE), role) for name, role in fields.multi_items() if name.startswith(_ROLE)]
    if not roles:
        return None
    named = [(_FIELDS[role], column) for column, role in roles if role in _FIELDS]
    return reading(QueryParams([*named, ("label_separator", fields.get("label_separator", ""))]))


def columns(table: Path, read: dict[str, Any]) -> list[dict[str, str]]:
    """The columns of a table: ``name``, ``role`` as it is read now, and ``sample``, what a cell holds."""
    named = Columns(
        read.get("path_column"), read.get("text_column"), read.get("label_column"),
        read.get("split_column"), read.get("group_by"), read.get("label_separator"),
    )  # fmt: skip
    rows = [cells for _, cells in islice(read_cells(table), _LOOKED_AT)]
    return [
        {"name": name, "role": role, "sample": next((cells[name] for cells in rows if cells[name]), "")}
        for name, role in column_roles(table, named).items()
    ]


def advice(table: Path, read: dict[str, Any], dataset: Dataset | None) -> tuple[str, dict[str, Any]] | None:
    """What may have been meant by a table: in words, and how it is read then."""
    if dataset is None:
        marks = [] if read.get("label_column") else _marks(table)
        if len(marks) < 2:
            return None
        return f"{', '.join(marks)}: these columns hold 0 and 1. Are they labels?", {**read, "label_column": marks}
    if is_multi_label(dataset.labels):
        return None
    for separator in _SEPARATORS:
        parts = {part.strip() for name in dataset.classes for part in name.split(separator) if part.strip()}
        if 1 < len(parts) < len(dataset.classes) and any(separator in name for name in dataset.classes):
            told = f"Some labels contain “{separator}”. Are these several labels of one {NOUNS[dataset.modality]}?"
            return told, {**read, "label_separator": separator}
    return None


def _marks(table: Path) -> list[str]:
    """Columns that hold 0 and 1 only, as far as one looks, and both of them."""
    rows = [cells for _, cells in islice(read_cells(table), _LOOKED_AT)]
    return [name for name in (rows[0] if rows else ()) if {cells[name] for cells in rows} == {"0", "1"}]
