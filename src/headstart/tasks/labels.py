"""Labels as data sets and tables hold them, before a task turns them into numbers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

SEPARATOR = ";"
"""Between several labels in one cell of the tables of a run."""

NO_LABEL = "none"
"""Shown to people instead of an empty list of labels."""


class LabelledBox(NamedTuple):
    """One object in an image, as annotations name it.

    Attributes:
        name: of its class.
        x1: left edge, in pixels of the upright image from the outer edge of its first pixel; so ``y1``: upper edge.
        y1: upper edge.
        x2: right edge, so that x2 - x1 is the width; ``y2``: lower edge.
        y2: lower edge.
        is_ignored: whether it is neither trained on nor evaluated: a crowd (COCO), or a difficult object (VOC).
    """

    name: str
    x1: float
    y1: float
    x2: float
    y2: float
    is_ignored: bool = False


@dataclass(frozen=True)
class BoxLabels:
    """All objects in one image; none on a background image.

    Attributes:
        boxes: of the objects.
        size: (height, width) of the upright image, in pixels.
    """

    boxes: tuple[LabelledBox, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[str]:
        """The class name of each object."""
        return (box.name for box in self.boxes)

    def renamed(self, rename: Callable[[str], str]) -> "BoxLabels":
        """The same objects with every class name changed."""
        return replace(self, boxes=tuple(box._replace(name=rename(box.name)) for box in self.boxes))


Label = str | list[str] | BoxLabels
"""The class of an example, the list of its labels, or the objects in it."""


def label_names(labels: Iterable[Label]) -> set[str]:
    """All names that occur in some labels."""
    return {name for label in labels for name in ([label] if isinstance(label, str) else label)}


def renamed_labels(labels: Iterable[Label], rename: Callable[[str], str]) -> list[Label]:
    """The same labels with every name changed."""
    return [_renamed(label, rename) for label in labels]


def _renamed(label: Label, rename: Callable[[str], str]) -> Label:
    if isinstance(label, str):
        return rename(label)
    return [*map(rename, label)] if isinstance(label, list) else label.renamed(rename)
