"""All boxes of an image in one row of a table: Hugging Face's columns of objects, and lists of boxes beside labels.

A cell is a list, or the text of one in JSON or Python. A box is a list of four numbers, or an object with names for
them, such as x1 or xmin. Lists do not say what they count, so that is decided for a whole table: [x, y, width, height],
as in COCO, unless another form fits the images better.
"""

import ast
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.data.boxes.corner_names import NAMED_FORMS, NamedForm, ToCorners, from_centre, from_corners, from_start
from headstart.data.boxes.records import AnnotatedImage, Corners, number
from headstart.data.cells import cell_text, is_missing
from headstart.data.images import read_header
from headstart.data.modalities import IMAGE
from headstart.errors import BadExample

logger = logging.getLogger(__name__)

OBJECTS = ("objects", "object", "annotations", "instances")
BOXES = ("bbox", "bboxes", "boxes", "bounding_box", "bounding_boxes", "box")
"""Usual names of columns, in lower case."""

IGNORED = ("ignored", "is_ignored", "difficult", "iscrowd", "is_crowd", "isgroupof")
"""Usual names of what says 1 of objects that are neither trained on nor evaluated."""

LABELS = (
    "category", "categories", "label", "labels", "class", "classes", "category_name", "class_name", "category_id",
    "category_ids", "class_id", "label_id",
)  # fmt: skip
"""Usual names of the classes beside boxes."""

_LABELS_INSIDE = (*LABELS, "name", "names")
_MOST_TEXT = 1_000_000  # characters of a cell that is read as a list
_MEASURED = 200  # images whose sizes tell the form of boxes
_NUMBERS = 4  # of a box
_TOLERANCE = 0.01  # of the sides of an image


class ListedBox(NamedTuple):
    """One object of a row.

    Attributes:
        label: its class; empty if it has none.
        numbers: four; NaN where there is no number.
        is_ignored: whether it is a crowd, or difficult.
        has_corners: whether the numbers are corners, by their names; otherwise their form is not known yet.
    """

    label: str
    numbers: Corners
    is_ignored: bool
    has_corners: bool = False


def parsed_cell(value: Any) -> Any:
    """The value of a cell; of the text of a list or an object, what it says."""
    text = value.strip() if isinstance(value, str) else ""
    if text[:1] + text[-1:] not in ("[]", "{}", "()") or len(text) > _MOST_TEXT:
        return value
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return read(text)
    return value


def holds_objects(values: Sequence[Any]) -> bool:
    """Whether cells hold objects that have boxes."""
    return any(_has_boxes(parsed_cell(value)) for value in values)


def holds_boxes(values: Sequence[Any]) -> bool:
    """Whether cells hold lists of boxes, or single boxes."""
    return any(_is_box(cell) or _is_box(_first(cell)) for cell in map(parsed_cell, values))


def boxes_in_objects(cell: Any) -> list[ListedBox]:
    """The objects in a cell: an object of lists, or a list of objects.

    Raises:
        BadExample: the cell holds neither, or lists of different lengths.
    """
    value = parsed_cell(cell)
    items = _as_list(value)
    if items is not None and all(isinstance(item, Mapping) for item in items):
        columns = [[_field(item, names) for item in items] for names in (_LABELS_INSIDE, IGNORED)]
        return _joined_lists([_box_of(item) for item in items], *columns)
    if isinstance(value, Mapping):
        return _joined_lists(_box_of(value), *(_field(value, names) for names in (_LABELS_INSIDE, IGNORED)))
    if is_missing(value) or value == "":
        return []
    raise BadExample("has objects that cannot be read: expected an object of lists, or a list of objects")


def boxes_beside_labels(boxes: Any, labels: Any, separator: str | None = None) -> list[ListedBox]:
    """The objects of a row with a cell of boxes and a cell of labels, or one label for all.

    Raises:
        BadExample: the boxes are no list, or there are more or fewer labels.
    """
    names = parsed_cell(labels)
    if separator is not None and isinstance(names, str):
        names = [part.strip() for part in names.split(separator) if part.strip()]
    return _joined_lists(parsed_cell(boxes), names, None)


def _joined_lists(boxes: Any, labels: Any, ignored: Any) -> list[ListedBox]:
    if isinstance(boxes, str) and not boxes.strip():
        return []
    if _is_box(boxes):
        listed_boxes: list[Any] | None = _boxes_of_lists(boxes) if isinstance(boxes, Mapping) else [boxes]
    else:
        listed_boxes = [] if _as_list(boxes) is None and is_missing(boxes) else _as_list(boxes)
    if listed_boxes is None:
        raise BadExample("has boxes that cannot be read: expected a list")
    names, marks = _for_each(labels, listed_boxes), _for_each(ignored, listed_boxes)
    if not len(names) == len(marks) == len(listed_boxes):
        raise BadExample(f"has boxes and labels that do not match: {len(listed_boxes):,} and {len(names):,}")
    return [
        _listed_box(box, _scalar_text(name), _scalar_text(mark).lower() in ("1", "true"))
        for box, name, mark in zip(listed_boxes, names, marks, strict=True)
    ]


def _listed_box(box: Any, label: str, is_ignored: bool) -> ListedBox:
    if not isinstance(box, Mapping):
        return ListedBox(label, _numbers(box), is_ignored)
    values, form = _named_numbers(box) or ([], NAMED_FORMS[0])
    return ListedBox(label, form.to_corners(_numbers(values)), is_ignored, has_corners=True)


def _boxes_of_lists(box: Mapping[Any, Any]) -> list[Any]:
    """The boxes of an object with a list for each number; of one with single numbers the box itself.

    Raises:
        BadExample: the lists differ in length.
    """
    values, form = _named_numbers(box) or ([], NAMED_FORMS[0])
    lists = [_as_list(value) for value in values]
    if all(items is None for items in lists):
        return [box]
    lengths = {len(items or ()) for items in lists}
    if len(lengths) > 1:
        raise BadExample(f"has lists of numbers of boxes that do not match: {', '.join(map(str, sorted(lengths)))}")
    names = [usual_names[0] for usual_names in form.names]
    return [dict(zip(names, row, strict=True)) for row in zip(*(items or () for items in lists), strict=True)]


def _named_numbers(box: Mapping[Any, Any]) -> tuple[list[Any], NamedForm] | None:
    """The four values of a box whose names say what they are, and their form."""
    present = {str(name).lower() for name in box}
    form = next((form for form in NAMED_FORMS if all(present.intersection(names) for names in form.names)), None)
    return ([_field(box, names) for names in form.names], form) if form else None


def _box_of(fields: Mapping[Any, Any]) -> Any:
    """The box among the fields of an object, or the object itself if it has the numbers of a box."""
    box = _field(fields, BOXES)
    return fields if box is None and _named_numbers(fields) else box


def _for_each(value: Any, boxes: Sequence[Any]) -> list[Any]:
    """The values in a list; one that is no list is that of all boxes."""
    values = _as_list(value)
    return [value] * len(boxes) if values is None else values


def _as_list(value: Any) -> list[Any] | None:
    """The values of a list or an array; None if it is neither."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple) else None


def _first(value: Any) -> Any:
    return next(iter(_as_list(value) or ()), None)


def _has_boxes(value: Any) -> bool:
    first = value if isinstance(value, Mapping) else _first(value)
    return isinstance(first, Mapping) and (
        any(str(name).lower() in BOXES for name in first) or _named_numbers(first) is not None
    )


def _is_box(value: Any) -> bool:
    if isinstance(value, Mapping):
        return _named_numbers(value) is not None
    items = _as_list(value)
    return items is not None and len(items) == _NUMBERS and all(isinstance(x, int | float | np.number) for x in items)


def _field(fields: Mapping[Any, Any], names: Sequence[str]) -> Any:
    """The value of the first usual name that there is, in any case."""
    lower = {str(name).lower(): value for name, value in fields.items()}
    return next((lower[name] for name in names if name in lower), None)


def _numbers(box: Any) -> Corners:
    values = [*map(number, _as_list(box) or ())]
    a, b, c, d = values if len(values) == _NUMBERS else [number(None)] * _NUMBERS
    return a, b, c, d


def _scalar_text(value: Any) -> str:
    return cell_text(value) if isinstance(value, str | bytes | int | float | np.generic) else ""


# ---- what the four numbers are


_FORMS: dict[str, ToCorners] = {
    "x, y, width, height": from_start,
    "x1, y1, x2, y2": from_corners,
    "centre x, centre y, width, height": from_centre,
}


def decide_form(images: Sequence[AnnotatedImage], root: Path) -> None:
    """Make corners of the numbers of all boxes, in the form in which most boxes lie inside their images.

    Args:
        images: of the tables; those without a size are measured, as far as it is necessary.
        root: folder that names of files are relative to.
    """
    all_numbers = [box.corners for image in images for box in image.boxes]
    are_shares = bool(all_numbers) and not any(value > 1 for box in all_numbers for value in box)
    measured_boxes: list[tuple[Corners, tuple[float, float]]] = []
    for image in islice((image for image in images if image.boxes), _MEASURED):
        size = (1.0, 1.0) if are_shares else image.size or _size(root, image.file)
        measured_boxes += [(box.corners, size) for box in image.boxes] if size else []
    n_wrong = {name: sum(not _fits(form(box), size) for box, size in measured_boxes) for name, form in _FORMS.items()}
    name = min(n_wrong, key=n_wrong.__getitem__)
    first = next(iter(_FORMS))
    if name != first:
        logger.warning(
            f"boxes in lists are read as [{name}]. As [{first}], {n_wrong[first]:,} of {len(measured_boxes):,} would "
            f"reach beyond their images, and {n_wrong[name]:,} do now."
        )
    for image in images:
        image.is_relative = are_shares
        image.boxes = [box._replace(corners=_FORMS[name](box.corners)) for box in image.boxes]


def _size(root: Path, file: str) -> tuple[int, int] | None:
    """(height, width) of an image that is stored upright; None if it is not, or cannot be read."""
    try:
        header = read_header(IMAGE.example_in(root, file).read())
    except BadExample:
        return None
    return (header.height, header.width) if header.orientation == 1 else None


def _fits(corners: Corners, size: tuple[float, float]) -> bool:
    x1, y1, x2, y2 = corners
    h, w = size
    is_inside = min(x1 / w, y1 / h) >= -_TOLERANCE and max(x2 / w, y2 / h) <= 1 + _TOLERANCE
    return is_inside and x1 < x2 and y1 < y2
