"""What annotation files say, before anything is known of the images."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headstart.data.example_rows import LEFT_OUT, LabelProblem, Skipped

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 from the outer edge of the first pixel; NaN where the file has no number."""

_LARGEST_SIDE = 2**31  # pixels

UNREADABLE = "unreadable-boxes"
OUTSIDE = "boxes-outside"
TINY = "tiny-boxes"
TWICE = "boxes-twice"
CORNERS = "swapped-corners"
AXES = "swapped-axes"
SIZES = "annotation-sizes"
ROTATED = "rotated-boxes"
APPROXIMATE = "outlines-as-boxes"
"""Names of the audit's checks, which report problems by them."""


class RawBox(NamedTuple):
    """One object as an annotation file has it.

    Attributes:
        where: which one it is, for messages: ``object 3 of Annotations/1.xml``.
        name: of its class.
        corners: in pixels, or as shares of width and height.
        is_ignored: whether it is a crowd, or difficult.
    """

    where: str
    name: str
    corners: Corners
    is_ignored: bool = False


@dataclass
class AnnotatedImage:
    """The objects in one image as an annotation file has them.

    Attributes:
        file: of the image, relative to the data or absolute; or a URL.
        source: the annotation file, for messages.
        boxes: of the objects.
        size: (height, width) in pixels that the file names; None where it names none.
        is_relative: whether corners are shares of width and height from 0 to 1, not pixels.
        split: ``train``, ``val`` or ``test``; empty where the data have no split.
        group: what must stay in one split; None where the data have no groups.
    """

    file: str
    source: str
    boxes: list[RawBox] = field(default_factory=list)
    size: tuple[int, int] | None = None
    is_relative: bool = False
    split: str = ""
    group: str | None = None


@dataclass
class Annotations:
    """All that the annotation files of a data set say.

    Attributes:
        images: in the order of the files.
        skipped: images and annotation files that are not used.
        problems: of single objects.
        classes: names that the files declare; empty where they declare none.
    """

    images: list[AnnotatedImage] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    problems: list[LabelProblem] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def skip(self, file: str, reason: str) -> None:
        """List a file that is not used."""
        self.skipped.append(Skipped(file, reason))

    def leave_out(self, file: str, where: str, reason: str) -> None:
        """List an object that cannot be read."""
        self.problems.append(LabelProblem(file, where, UNREADABLE, reason, LEFT_OUT))


def number(value: Any) -> float:
    """A number of an annotation file, also as text; NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def image_size(height: Any, width: Any) -> tuple[int, int] | None:
    """(height, width) in pixels as a file names them; None if these are no sizes of an image."""
    sides = number(height), number(width)
    return (round(sides[0]), round(sides[1])) if all(1 <= side < _LARGEST_SIDE for side in sides) else None


def enclosing(xs: Iterable[float], ys: Iterable[float]) -> Corners:
    """The smallest box around some points; NaN where a coordinate is none, or there are no points."""
    xs, ys = list(xs), list(ys)
    if not xs or len(xs) != len(ys) or not all(map(math.isfinite, [*xs, *ys])):
        return (math.nan,) * 4
    return min(xs), min(ys), max(xs), max(ys)
