"""The usual names of the four numbers of a box, and how corners follow from them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from headstart.data.boxes.records import Corners

_X1, _Y1, _X2, _Y2 = (
    ("x1", "xmin", "x_min", "left", "bbox_x1", "bbox_xmin"),
    ("y1", "ymin", "y_min", "top", "bbox_y1", "bbox_ymin"),
    ("x2", "xmax", "x_max", "right", "bbox_x2", "bbox_xmax"),
    ("y2", "ymax", "y_max", "bottom", "bbox_y2", "bbox_ymax"),
)
_STARTS = ((*_X1, "x", "bbox_x", "bbox_left"), (*_Y1, "y", "bbox_y", "bbox_top"))
_CENTRES = (("x_center", "xcenter", "center_x", "cx"), ("y_center", "ycenter", "center_y", "cy"))
_SIDES = (("bbox_width", "box_width", "bbox_w", "w", "width"), ("bbox_height", "box_height", "bbox_h", "h", "height"))

ToCorners = Callable[[Sequence[float]], Corners]


def from_corners(v: Sequence[float]) -> Corners:
    """Corners as they are."""
    return v[0], v[1], v[2], v[3]


def from_start(v: Sequence[float]) -> Corners:
    """Corners from the upper left one, the width and the height."""
    return v[0], v[1], v[0] + v[2], v[1] + v[3]


def from_centre(v: Sequence[float]) -> Corners:
    """Corners from the centre, the width and the height."""
    x, y, w, h = v[:4]
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


class NamedForm(NamedTuple):
    """Four numbers with names.

    Attributes:
        names: usual names of each number, in lower case.
        to_corners: makes corners of them.
    """

    names: tuple[Sequence[str], ...]
    to_corners: ToCorners


NAMED_FORMS = (
    NamedForm((_X1, _Y1, _X2, _Y2), from_corners),
    NamedForm((*_CENTRES, *_SIDES), from_centre),
    NamedForm((*_STARTS, *_SIDES), from_start),
)
"""The forms, in the order in which they are looked for."""
