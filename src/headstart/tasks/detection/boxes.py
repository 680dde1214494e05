"""Objects in an image as arrays: true ones, and detected ones.

Coordinates are pixels of the upright image, measured from the outer edge of its first pixel: a box over the whole image
is (0, 0, width, height).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Boxes:
    """The true objects in one image.

    Attributes:
        coordinates: float64 (k, 4): x1, y1, x2, y2.
        classes: int64 (k,), class numbers.
        ignored: bool (k,), objects that are neither trained on nor evaluated: crowds (COCO), difficult ones (VOC).
        size: (height, width) of the upright image, in pixels.
    """

    coordinates: np.ndarray
    classes: np.ndarray
    ignored: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, selected: np.ndarray) -> Self:
        """Some of the objects, by a mask or by positions."""
        return type(self)(self.coordinates[selected], self.classes[selected], self.ignored[selected], self.size)


@dataclass(frozen=True, eq=False)
class Detections:
    """The detected objects in one image, the highest score first.

    Attributes:
        coordinates: float32 (m, 4): x1, y1, x2, y2.
        classes: int64 (m,), class numbers.
        scores: float32 (m,), from 0 to 1.
        size: (height, width) of the upright image, in pixels; (0, 0) where it is unknown.
    """

    coordinates: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    size: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, selected: np.ndarray) -> Self:
        """Some of the objects, by a mask or by positions."""
        return type(self)(self.coordinates[selected], self.classes[selected], self.scores[selected], self.size)


def same_objects(first: Boxes | Detections, second: Boxes | Detections) -> bool:
    """Whether two images have the same objects in the same order; sizes and scores do not count."""
    return bool(
        len(first) == len(second)
        and (first.classes == second.classes).all()
        and (first.coordinates == second.coordinates).all()
        and (_ignored(first) == _ignored(second)).all()
    )


def areas(boxes: np.ndarray) -> np.ndarray:
    """Areas of boxes (…, 4), in square pixels: (…); 0 for a box with its edges in the wrong order."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Areas that boxes (m, 4) and (k, 4) have in common, in square pixels: (m, k)."""
    widths, heights = (
        np.minimum(first[:, None, i + 2], second[:, i + 2]) - np.maximum(first[:, None, i], second[:, i])
        for i in (0, 1)
    )
    return np.maximum(widths, 0) * np.maximum(heights, 0)


def ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (m, 4) and (k, 4): (m, k); 0 where both have no area."""
    common = overlaps(first, second)
    union = areas(first)[:, None] + areas(second)[None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _ignored(boxes: Boxes | Detections) -> np.ndarray:
    return boxes.ignored if isinstance(boxes, Boxes) else np.zeros(len(boxes), bool)
