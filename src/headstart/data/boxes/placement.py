"""From what annotation files say to labels: boxes in pixels of the upright image, inside it, with an area, and once.

Nothing is changed or left out without a word: each case is a problem that the audit lists.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headstart.data.boxes.records import (
    AXES,
    CORNERS,
    OUTSIDE,
    ROTATED,
    SIZES,
    TINY,
    TWICE,
    UNREADABLE,
    AnnotatedImage,
    Corners,
    RawBox,
)
from headstart.data.example_rows import LEFT_OUT, LabelProblem
from headstart.data.examples import Example
from headstart.data.images import Header, read_header
from headstart.data.parallel import map_ahead
from headstart.errors import BadExample, counted
from headstart.tasks.labels import BoxLabels, LabelledBox

logger = logging.getLogger(__name__)

_ROUNDING_PX = 1.0  # beyond the edge: tools count pixels from 0 or 1, and round shares
_SAME_ASPECT = 0.02
_FEW_BEYOND = 0.01  # of all boxes: drawn beyond the edge
_FEWEST_BOXES = 10  # that tell whether images were enlarged after they were annotated
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height

Size = tuple[int, int]
"""(height, width) in pixels."""


class _Frame(NamedTuple):
    """What the boxes of an image are counted in.

    Attributes:
        size: in the image as stored, or upright.
        turn: EXIF orientation by which boxes are turned; 1 where they are upright already.
        scale: factors of y and x from the size that the annotation names to that of the image.
    """

    size: Size
    turn: int = 1
    scale: tuple[float, float] = (1.0, 1.0)


def place_boxes(
    images: Sequence[AnnotatedImage], examples: Sequence[Example], problems: list[LabelProblem]
) -> list[BoxLabels]:
    """The labels of images.

    Args:
        images: as their annotations describe them.
        examples: the images themselves, in the same order. Only their headers are read.
        problems: what is wrong with boxes is added to it.

    Returns:
        One label for each image. That of an image that cannot be read has the size (0, 0) and no boxes.
    """
    headers = [*map_ahead(_header, examples)]
    resized = _are_resized(images, headers)
    labels = []
    n_rotated = 0
    for image, header in zip(images, headers, strict=True):
        if header is None:
            labels.append(BoxLabels((), (0, 0)))
            continue
        n_rotated += header.orientation != 1 and bool(image.boxes)
        frame = _frame(image, header, problems, are_resized=resized)
        labels.append(BoxLabels((*_placed(image, frame, _upright(header), problems),), _upright(header)))
    if n_rotated:
        _log_rotated(n_rotated, problems)
    return labels


def _header(example: Example) -> Header | None:
    try:
        return read_header(example.read())
    except BadExample:  # found again, and listed, when the images are decoded
        return None


def _stored(header: Header) -> Size:
    return header.height, header.width


def _upright(header: Header) -> Size:
    return (header.width, header.height) if header.orientation in _SIDEWAYS else (header.height, header.width)


# ---- which pixels the boxes are counted in


def _frame(image: AnnotatedImage, header: Header, problems: list[LabelProblem], *, are_resized: bool) -> _Frame:
    """Decide by the size that the annotation names; without one, upright."""
    upright, stored, size = _upright(header), _stored(header), image.size
    is_told = header.orientation in _SIDEWAYS and upright != stored and size in (upright, stored)
    if header.orientation != 1 and image.boxes:
        reason = f"the image is stored rotated (EXIF orientation {header.orientation}), and its annotation names " + (
            f"the size {_text(size)}" if size else "no size"
        )
        is_turned = is_told and size == stored
        action = (
            "moved from the stored image to the upright one" if is_turned else "taken as boxes of the upright image"
        )
        problems.append(LabelProblem(image.file, image.source, ROTATED, reason, action))
        if is_turned:
            return _Frame(stored, header.orientation)
    if size is None or size in (upright, stored) or image.is_relative:
        return _Frame(upright)
    scale = (upright[0] / size[0], upright[1] / size[1])
    is_scaled = are_resized and _is_same_aspect(size, upright)
    reason = f"the annotation names the size {_text(size)}, and the image has {_text(upright)}"
    action = "boxes scaled to the image" if is_scaled else "boxes taken in pixels of the image"
    problems.append(LabelProblem(image.file, image.source, SIZES, reason, action))
    return _Frame(upright, scale=scale if is_scaled else (1.0, 1.0))


def _are_resized(images: Sequence[AnnotatedImage], headers: Sequence[Header | None]) -> bool:
    """Whether images of another size than their annotations name were resized after they were annotated.

    If not, only the named size is wrong. They were where boxes, apart from a few, fit the named sizes, but not all fit
    the images; or where many fit the named sizes, which are smaller.
    """
    n_boxes = n_beyond = n_enlarged = 0
    fits_image = True
    for image, header in zip(images, headers, strict=True):
        if header is None or image.size is None or image.is_relative:
            continue
        size = _upright(header)
        if image.size in (size, _stored(header)) or not _is_same_aspect(image.size, size):
            continue
        for box in image.boxes:
            x, y = max(box.corners[::2]), max(box.corners[1::2])
            is_beyond = not _fits(x, y, image.size)
            n_boxes, n_beyond, n_enlarged = n_boxes + 1, n_beyond + is_beyond, n_enlarged + (image.size < size)
            fits_image &= is_beyond or _fits(x, y, size)
    return n_beyond <= _FEW_BEYOND * n_boxes and (not fits_image or n_enlarged >= _FEWEST_BOXES)


def _fits(x: float, y: float, size: Size) -> bool:
    return x <= size[1] + _ROUNDING_PX and y <= size[0] + _ROUNDING_PX


def _is_same_aspect(first: Size, second: Size) -> bool:
    return abs(first[0] * second[1] / (first[1] * second[0]) - 1) <= _SAME_ASPECT


def _log_rotated(n: int, problems: Sequence[LabelProblem]) -> None:
    actions = [problem.action for problem in problems if problem.check == ROTATED]
    n_moved = sum(action.startswith("moved") for action in actions)
    logger.info(
        f"{counted(n, 'image')} with boxes stored rotated: the annotations of {n_moved:,} name the size of the stored "
        f"image, and their boxes are moved; the boxes of {n - n_moved:,} are taken as those of the upright image"
    )


# ---- boxes


def _placed(image: AnnotatedImage, frame: _Frame, size: Size, problems: list[LabelProblem]) -> Iterator[LabelledBox]:
    """The boxes that can be used, in pixels of the upright image."""
    before: set[LabelledBox] = set()
    for raw in image.boxes:

        def report(check: str, reason: str, action: str = LEFT_OUT, where: str = raw.where) -> None:
            problems.append(LabelProblem(image.file, where, check, reason, action))

        fault = _fault(raw)
        if fault:
            report(UNREADABLE, fault)
            continue
        corners = _in_order(raw.corners)
        if corners != raw.corners:
            report(CORNERS, "has its first corner after its second one", "corners exchanged")
        corners = _turned(_scaled(corners, frame, image.is_relative), frame)
        if corners[0] >= corners[2] or corners[1] >= corners[3]:
            report(TINY, f"has no area: {_corners_text(corners)}")
            continue
        clipped = _clipped(corners, size)
        if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
            report(_outside_check(corners, size), f"lies outside the image: {_corners_text(corners)} of {_text(size)}")
            continue
        if max(abs(a - b) for a, b in zip(corners, clipped, strict=True)) > _ROUNDING_PX:
            reason = f"reaches beyond the image: {_corners_text(corners)} of {_text(size)}"
            report(_outside_check(corners, size), reason, "clipped")
        box = LabelledBox(raw.name, *clipped, raw.is_ignored)
        if box in before:
            report(TWICE, f"is the same as another one, {raw.name} {_corners_text(clipped)}")
            continue
        before.add(box)
        yield box


def _fault(raw: RawBox) -> str:
    if not all(map(math.isfinite, raw.corners)):
        return "has a corner that is no number"
    if not raw.name:
        return "has no class"
    return "has a class that is not UTF-8" if any("\ud800" <= c <= "\udfff" for c in raw.name) else ""


def _in_order(corners: Corners) -> Corners:
    x1, y1, x2, y2 = corners
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _scaled(corners: Corners, frame: _Frame, is_relative: bool) -> Corners:
    """In pixels of the image that they are counted in."""
    y, x = frame.size if is_relative else frame.scale
    return corners[0] * x, corners[1] * y, corners[2] * x, corners[3] * y


def _turned(corners: Corners, frame: _Frame) -> Corners:
    """In the upright image, which EXIF's orientation makes of the stored one."""
    if frame.turn == 1:
        return corners
    x1, y1, x2, y2 = corners
    h, w = frame.size
    return {
        2: (w - x2, y1, w - x1, y2), 3: (w - x2, h - y2, w - x1, h - y1), 4: (x1, h - y2, x2, h - y1),
        5: (y1, x1, y2, x2), 6: (h - y2, x1, h - y1, x2), 7: (h - y2, w - x2, h - y1, w - x1),
        8: (y1, w - x2, y2, w - x1),
    }[frame.turn]  # fmt: skip


def _clipped(corners: Corners, size: Size) -> Corners:
    x1, y1, x2, y2 = corners
    h, w = size
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(w)), min(y2, float(h))


def _outside_check(corners: Corners, size: Size) -> str:
    """Whether the box would fit with x and y exchanged."""
    (x1, y1, x2, y2), (h, w) = corners, size
    fits = min(x1, y1) >= -_ROUNDING_PX and x2 <= h + _ROUNDING_PX and y2 <= w + _ROUNDING_PX
    return AXES if fits else OUTSIDE


def _text(size: Size) -> str:
    return f"{size[1]:,} x {size[0]:,} pixels"


def _corners_text(corners: Corners) -> str:
    return "({:g}, {:g}) to ({:g}, {:g})".format(*(round(value, 2) for value in corners))
