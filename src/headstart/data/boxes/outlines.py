"""The boxes around outlines and masks."""

from collections.abc import Iterator, Mapping, Sequence
from math import cos, nan, radians, sin
from typing import Any

from headstart.data.boxes.records import Corners, enclosing, number

_NONE: Corners = (nan,) * 4


def mask_corners(segmentation: Any) -> Corners:
    """The box around a mask in COCO's form: outlines, or lengths of runs down the columns.

    Args:
        segmentation: lists of x, y, x, y …; or a mapping with ``size`` (height, width) and ``counts``.

    Source: the runs as text, ``maskApi.c`` of cocoapi: 5 bits a character, differences to the run before the last one.
    """
    if isinstance(segmentation, Sequence) and not isinstance(segmentation, str):
        values = [[*map(number, outline)] for outline in segmentation if isinstance(outline, Sequence)]
        return enclosing(
            [x for outline in values for x in outline[::2]], [y for outline in values for y in outline[1::2]]
        )
    if not isinstance(segmentation, Mapping):
        return _NONE
    size, counts = segmentation.get("size"), segmentation.get("counts")
    height = number(size[0]) if isinstance(size, Sequence) and len(size) == 2 else nan
    if not height >= 1:
        return _NONE
    runs: list[float] = [*_runs_of_text(counts)] if isinstance(counts, str) else []
    runs = [*map(number, counts)] if isinstance(counts, list) else runs
    return _corners_of_runs(runs, int(height))


def turned_corners(x: float, y: float, w: float, h: float, degrees: float) -> Corners:
    """The upright box around one that is turned clockwise about its upper left corner."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return enclosing([x, x + w * c, x + w * c - h * s, x - h * s], [y, y + w * s, y + w * s + h * c, y + h * c])


def _runs_of_text(text: str) -> Iterator[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        yield runs[-1]
        value = shift = 0


def _corners_of_runs(runs: Sequence[float], height: int) -> Corners:
    """The box around the odd runs, which are inside the mask."""
    columns: list[int] = []
    rows: list[int] = []
    start = 0
    for i, length in enumerate(runs):
        if not length >= 0:
            return _NONE
        end = start + int(length)
        if i % 2 and end > start:
            first, last = start // height, (end - 1) // height
            columns += [first, last]
            rows += [start % height, (end - 1) % height] if first == last else [0, height - 1]
        start = end
    x1, y1, x2, y2 = enclosing(columns, rows)
    return x1, y1, x2 + 1, y2 + 1
