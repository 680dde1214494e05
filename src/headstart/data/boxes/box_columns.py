"""Which columns of a table hold boxes: by their usual names, in any case."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from headstart.data.boxes.box_lists import BOXES, IGNORED, LABELS, OBJECTS, holds_boxes, holds_objects
from headstart.data.boxes.corner_names import NAMED_FORMS, ToCorners
from headstart.data.table_columns import Columns, TableHead, find_column, find_labels
from headstart.data.tables import column_names, open_table
from headstart.errors import InputError, UnavailableError

_IMAGE_SIDES = (("image_height", "img_height", "height"), ("image_width", "img_width", "width"))

_IMAGE_IDS = ("imageid", "image_id")
LABEL_NAMES = ("labelname", "label_name")
"""Usual names of the column of labels in tables of Open Images, in lower case."""

BOX_COLUMNS = ("x1", "y1", "x2", "y2", "label", "ignored")
"""What the tables that headstart writes call the columns of a box."""


class BoxColumns(NamedTuple):
    """Positions of columns; None for one that is missing.

    Attributes:
        path: of the image.
        label: of the object, or of all objects of the row; None if they are in the column of objects.
        box: the four numbers of the box; or the column that holds all boxes or objects of the row.
        to_corners: makes corners of four numbers; None where a row holds all boxes of an image.
        size: (height, width) of the image.
        split: ``train``, ``val`` or ``test``.
        group: what must stay in one split.
        is_ignored: says 1 of objects that are neither trained on nor evaluated.
    """

    path: int
    label: int | None
    box: list[int]
    to_corners: ToCorners | None
    size: list[int] | None
    split: int | None
    group: int | None
    is_ignored: int | None


def is_box_table(table: Any) -> bool:
    """Whether a table has columns of boxes: by its header, and by the first values of columns of lists.

    Args:
        table: a DataFrame, or the path of a file.
    """
    try:
        head = TableHead("", column_names(table), [], Path())
        if {name.strip().lower() for name in head.header} & {*OBJECTS, *BOXES}:
            head, _ = open_table(table)
    except (InputError, UnavailableError):  # reading the table reports it
        return False
    return (_find_box(head) or _find_lists(head)) is not None


def find_box_columns(head: TableHead, columns: Columns) -> BoxColumns:
    """The columns of a table with boxes.

    Args:
        head: of the table.
        columns: their names, where they are set.

    Raises:
        InputError: one that is needed is missing.
    """
    path, box = _find_path(head, columns), _find_box(head) or _find_lists(head)
    labels = [] if box is None else _find_label(head, columns, box)
    if path is None or box is None or not labels:
        raise InputError(
            f"{head.name} has no columns of boxes: expected path, x1, y1, x2, y2 and one label, and it has "
            f"{', '.join(map(repr, head.header))}."
        )
    positions, to_corners = box
    size = _positions(head, _IMAGE_SIDES)
    return BoxColumns(
        path,
        labels[0],
        positions,
        to_corners,
        None if size is None or set(size) & set(positions) else size,
        find_column(head, "split", columns.split),
        find_column(head, "group", columns.group),
        head.position(IGNORED),
    )


def _find_path(head: TableHead, columns: Columns) -> int | None:
    """The column of paths, or of names of images without their extension, as Open Images has them."""
    position = None if columns.path else head.position(_IMAGE_IDS)
    try:
        return find_column(head, "path", columns.path)
    except InputError:
        if position is None:
            raise
        return position


def _find_label(head: TableHead, columns: Columns, box: tuple[list[int], Any]) -> list[int | None]:
    """The one column of labels, None where the column of objects has them; empty if several are named."""
    (first, *_), to_corners = box
    if to_corners is None and not columns.label:
        if head.header[first].strip().lower() in OBJECTS:
            return [None]
        other_columns = (columns.path, columns.split, columns.group)
        if (position := head.position(LABELS, other_columns)) is not None:
            return [position]
    if not columns.label and (position := head.position(LABEL_NAMES)) is not None:
        return [position]
    positions = [*find_labels(head, columns).values()]
    return [positions[0]] if len(positions) == 1 else []


def _find_lists(head: TableHead) -> tuple[list[int], None] | None:
    """The column with all objects or all boxes of a row."""
    for i, name in enumerate(head.header):
        values = head.values(i)
        if (name.strip().lower() in OBJECTS and holds_objects(values)) or (
            name.strip().lower() in BOXES and holds_boxes(values)
        ):
            return [i], None
    return None


def _find_box(head: TableHead) -> tuple[list[int], ToCorners] | None:
    return next(
        ((positions, to_corners) for names, to_corners in NAMED_FORMS if (positions := _positions(head, names))), None
    )


def _positions(head: TableHead, names: Sequence[Sequence[str]]) -> list[int] | None:
    positions = [i for usual_names in names if (i := head.position(usual_names)) is not None]
    return positions if len(positions) == len(names) else None
