"""Which column of a table is which: by its name, and where names do not decide by the first values."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from headstart.data.cells import cell_text, file_content, image_extension
from headstart.data.examples import is_url
from headstart.data.images import EXTENSIONS
from headstart.errors import InputError, did_you_mean, field_name

logger = logging.getLogger(__name__)

_USUAL_NAMES = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "photo"),
    "label": ("label", "labels", "class", "category", "target", "class_name", "tags", "y"),
    "split": ("split", "subset", "partition", "fold_name"),
}
_TEXT_NAMES = (
    "text", "sentence", "review", "content", "body", "message", "comment", "tweet", "post", "document", "abstract",
    "question", "utterance", "query", "caption",
)  # fmt: skip
_SURE_TEXT_NAMES = ("text", "sentence", "review", "tweet", "document", "utterance")  # texts also beside a path
_WORDS = 3  # of a value, on average, in a column of sentences
_TEXT_PARTS = ("title", "headline", "subject", "summary", "description")  # used together if the table has none of those


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


class TableHead(NamedTuple):
    """The beginning of a table.

    Attributes:
        name: in messages.
        header: names of its columns.
        sample: cells of its first rows.
        root: folder that relative paths start from.
        has_header_line: whether the names are the first line of a text.
    """

    name: str
    header: list[str]
    sample: list[Sequence[Any]]
    root: Path
    has_header_line: bool = False

    def values(self, column: int) -> list[Any]:
        """The first values of a column."""
        return [cells[column] for cells in self.sample if column < len(cells)]

    def position(self, names: Sequence[str], other_columns: Sequence[str | None] = ()) -> int | None:
        """Position of the column with the first of some names that there is, in any case."""
        lower = [name.strip().lower() for name in self.header]
        positions = (lower.index(name) for name in names if name in lower)
        position = next((i for i in positions if self.header[i] not in other_columns), None)
        if position is not None and lower.count(lower[position]) > 1:
            raise InputError(
                f"{self.name} has several columns {self.header[position]!r}: rename or remove all but one."
            )
        return position

    def hint(self) -> str:
        """What may be wrong if no column has a usual name."""
        if not self.has_header_line:
            return ""
        return " The first line is read as the names of the columns: if it is a row, write a line with names above it."

    def holds_sentences(self, column: int) -> bool:
        """Whether the first values of a column have several words each."""
        texts = [value for value in self.values(column) if isinstance(value, str)]
        return bool(texts) and sum(len(text.split()) for text in texts) >= _WORDS * len(texts)

    def holds_images(self, column: int) -> bool:
        """Whether the first values of a column are the content of image files."""
        return any(image_extension(file_content(value) or b"") for value in self.values(column))


def find_texts(table: TableHead, columns: Columns) -> list[int]:
    """Positions of the columns that make up a text; empty where the examples are files."""
    if columns.text:
        return [_position_of(table, "text", column) for column in columns.text]
    if columns.path or any(map(table.holds_images, range(len(table.header)))):
        return []
    other_columns = (*(columns.label or ()), columns.split, columns.group)
    path, text = table.position(_USUAL_NAMES["path"]), table.position(_TEXT_NAMES, other_columns)
    if path is not None:
        return _texts_beside_files(table, path, table.position(_SURE_TEXT_NAMES, other_columns))
    if text is not None:
        return [text]
    positions = [
        i
        for i, column in enumerate(table.header)
        if column.strip().lower() in _TEXT_PARTS and column not in other_columns
    ]
    if len(positions) > 1:
        logger.info(f"the text of an example is its columns {', '.join(table.header[i] for i in positions)}, joined")
    return positions


def _texts_beside_files(table: TableHead, path: int, text: int | None) -> list[int]:
    """The column of texts in a table that names files, too; empty if the files are images that are there."""
    if text is None:
        return []
    files = [cell_text(value) for value in table.values(path)]
    images = [file for file in files if PurePath(file).suffix.lower() in EXTENSIONS]
    has_images = any(is_url(file) or os.path.exists(table.root / file) for file in images)
    used, unused = ("images", text) if has_images else ("texts", path)
    logger.warning(f"{table.name}: the examples are {used}; the column {table.header[unused]!r} is not used")
    return [] if has_images else [text]


def find_labels(table: TableHead, columns: Columns) -> dict[str, int]:
    """Positions of the label columns by their names."""
    if columns.label:
        if columns.label_separator is not None and len(columns.label) > 1:
            raise InputError(
                f"{columns.label_separator!r} is for one column of labels, and {len(columns.label)} are named: "
                f"{', '.join(columns.label)}. Name one column, or leave the separator out.",
                field="label_separator",
            )
        return {column: _position_of(table, "label", column) for column in columns.label}
    position = find_column(table, "label", None)
    return {} if position is None else {table.header[position]: position}


def _position_of(table: TableHead, kind: str, column: str) -> int:
    if column not in table.header:
        raise InputError(
            f"{table.name} has no column {column!r} for the {kind}: it has {', '.join(map(repr, table.header))}."
            + did_you_mean(column, table.header)
        )
    if table.header.count(column) > 1:
        raise InputError(f"{table.name} has several columns {column!r}: rename or remove all but one.")
    return table.header.index(column)


def find_column(table: TableHead, kind: str, column: str | None) -> int | None:
    """Position of a column; a column that is neither named nor needed may be missing."""
    if column is not None:
        return _position_of(table, kind, column)
    images = [i for i in range(len(table.header)) if kind == "path" and table.holds_images(i)]
    if images:
        return images[0]
    if (position := table.position(_USUAL_NAMES.get(kind, ()))) is not None:
        return position
    if kind == "path":
        raise InputError(
            f"cannot tell which column of {table.name} holds the examples: it has "
            f"{', '.join(map(repr, table.header))}. "
            f"Set {field_name('text_column')} for texts, or {field_name('path_column')} for image files.{table.hint()}"
        )
    if kind == "label":
        raise InputError(
            f"cannot tell which column of {table.name} is the label: it has {', '.join(map(repr, table.header))}. "
            f"Set {field_name('label_column')}.{table.hint()}"
        )
    return None
