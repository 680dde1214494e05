"""The objects in an image as one cell of a table, such as ``640x480; WBC 260 176 491 376; RBC 12.5 80 97 160``.

    cell   = [size] {"; " object}        entries are separated by semicolons; no entries at all: no objects
    size   = WIDTH "x" HEIGHT            of the upright image, in pixels
    object = NAME " " X1 " " Y1 " " X2 " " Y2 [" (" SCORE ")" | " (ignored)"]

The last four numbers of an object are its edges in pixels (left, upper, right, lower), and all text before them is the
name of its class, which may contain spaces and numbers. True objects are written with as many digits as it takes to
read them back exactly. Detections have no size before them, but a score, and are rounded.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from headstart.tasks.detection.boxes import Boxes, Detections
from headstart.tasks.labels import SEPARATOR, BoxLabels, LabelledBox

NO_SCORE = 1.0
"""Of an object that a cell has no score of."""

_IGNORED = "ignored"
_SIZE = re.compile(r"(\d{1,9})x(\d{1,9})")
_NOTE = re.compile(r"(.*) \(([^()]*)\)", re.DOTALL)
_PIXEL_DECIMALS, _SCORE_DECIMALS = 1, 4  # of detections


class CellObject(NamedTuple):
    """An object as a cell has it.

    Attributes:
        box: its class, its edges, and whether it is ignored.
        score: of a detection; None for a true object.
    """

    box: LabelledBox
    score: float | None


class BoxCell(NamedTuple):
    """The content of a cell.

    Attributes:
        objects: in the order of the cell.
        size: (height, width) of the upright image in pixels; (0, 0) where the cell does not tell.
    """

    objects: list[CellObject]
    size: tuple[int, int]


def write_boxes(boxes: Boxes, classes: Sequence[str]) -> str:
    """The cell for the true objects of an image."""
    height, width = boxes.size
    entries = [f"{width}x{height}"] if height and width else []
    for number, edges, is_ignored in zip(
        boxes.classes.tolist(), boxes.coordinates.tolist(), boxes.ignored.tolist(), strict=True
    ):
        note = f" ({_IGNORED})" if is_ignored else ""
        entries.append(f"{classes[number]} {' '.join(map(_exact, edges))}{note}")
    return f"{SEPARATOR} ".join(entries)


def write_detections(detections: Detections, classes: Sequence[str]) -> str:
    """The cell for detected objects, with edges to a tenth of a pixel and scores to four decimals."""
    names = (classes[number] for number in detections.classes.tolist())
    entries = map(write_detection, names, detections.coordinates.tolist(), detections.scores.tolist())
    return f"{SEPARATOR} ".join(entries)


def write_detection(name: str, edges: Iterable[float], score: float) -> str:
    """The entry of one detected object."""
    return f"{name} {' '.join(_exact(round(edge, _PIXEL_DECIMALS)) for edge in edges)} ({score:.{_SCORE_DECIMALS}f})"


def read_cell(cell: str) -> BoxCell:
    """What a cell says.

    Raises:
        ValueError: it is not of this form.
    """
    size, objects = (0, 0), []
    for position, entry in enumerate(part.strip() for part in cell.split(SEPARATOR)):
        if position == 0 and (match := _SIZE.fullmatch(entry)):
            size = int(match[2]), int(match[1])
        elif entry or position:
            objects.append(_read_object(entry))
    return BoxCell(objects, size)


def read_labels(cell: str) -> BoxLabels:
    """A cell as labels of an image; the inverse of :func:`write_boxes`.

    Raises:
        ValueError: it is not of this form.
    """
    objects, size = read_cell(cell)
    return BoxLabels(tuple(item.box for item in objects), size)


def read_boxes(cell: str, classes: Sequence[str]) -> Boxes:
    """A cell as the true objects of an image.

    Raises:
        ValueError: it is not of this form, or has a class that is none of ``classes``.
    """
    objects, size = read_cell(cell)
    ignored = np.array([item.box.is_ignored for item in objects], bool)
    return Boxes(_coordinates(objects), _numbers(objects, classes), ignored, size)


def read_detections(cell: str, classes: Sequence[str]) -> Detections:
    """A cell as detected objects; one without a score has :data:`NO_SCORE`.

    Raises:
        ValueError: it is not of this form, or has a class that is none of ``classes``.
    """
    objects, _ = read_cell(cell)
    scores = np.array([NO_SCORE if item.score is None else item.score for item in objects], np.float32)
    return Detections(_coordinates(objects).astype(np.float32), _numbers(objects, classes), scores)


def name_fault(names: Iterable[str]) -> str | None:
    """Why names of classes cannot be written into cells; None if they can."""
    for name in names:
        if SEPARATOR in name:
            return f"has the class {name!r}, and {SEPARATOR!r} separates objects in the tables of a run."
        if not name or name != name.strip():
            return f"has the class {name!r}: expected a name that neither begins nor ends with a space."
    return None


def _coordinates(objects: Sequence[CellObject]) -> np.ndarray:
    return np.array([item.box[1:5] for item in objects], np.float64).reshape(-1, 4)


def _numbers(objects: Sequence[CellObject], classes: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    unknown = [item.box.name for item in objects if item.box.name not in numbers]
    if unknown:
        raise ValueError(f"expected one of the classes, got {unknown[0]!r}")
    return np.array([numbers[item.box.name] for item in objects], np.int64)


def _exact(value: float) -> str:
    """A number with as few digits as tell it from all others."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _read_object(entry: str) -> CellObject:
    text, note = entry, ""
    if match := _NOTE.fullmatch(entry):
        text, note = match[1], match[2]
    name, *edges = text.rsplit(maxsplit=4) if text.strip() else ("",)
    if len(edges) != 4 or not name:
        raise ValueError(f"expected a class and four edges, such as 'cat 10 20 110 220', got {entry!r}")
    x1, y1, x2, y2 = (_number(edge, entry) for edge in edges)
    is_ignored = note == _IGNORED
    score = None if is_ignored or not match else _number(note, entry)
    return CellObject(LabelledBox(name.strip(), x1, y1, x2, y2, is_ignored), score)


def _number(text: str, entry: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a number, got {text!r} in {entry!r}")
    return value
