"""What the points of a detector learn in a batch of views: boxes, classes and candidates, padded to one shape."""

from collections.abc import Sequence

import numpy as np

from headstart.tasks.detection.boxes import Boxes
from headstart.training.detection.points import MAX_CANDIDATES, Points, candidates

_MAX_OBJECTS = 300  # of one view that are learned


class Targets:
    """The targets of some views.

    Args:
        views: the objects in each view, in its pixels.
        points: of the detector.
    """

    def __init__(self, views: Sequence[Boxes], points: Points) -> None:
        self._points = points
        self._learned = [boxes.take(np.flatnonzero(~boxes.ignored)[:_MAX_OBJECTS]) for boxes in views]
        self._ignored = [boxes.coordinates[boxes.ignored] for boxes in views]
        self._most = max(1, max(map(len, self._learned), default=1))

    def batch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The targets of n views, by their numbers.

        Returns:
            ``boxes`` float32 (n, g, 4) in pixels of the input, where g is the largest number of objects in any view;
            ``classes`` int32 (n, g); ``candidates`` int32 (n, g, k), numbers of points, -1 where there are none and
            beyond the objects of a view; ``counted`` float32 (n, points), 0 where an ignored object is.
        """
        n, g, centres = len(numbers), self._most, self._points.centres
        boxes, classes = np.zeros((n, g, 4), np.float32), np.zeros((n, g), np.int32)
        points = np.full((n, g, MAX_CANDIDATES), -1, np.int32)
        counted = np.ones((n, len(centres)), np.float32)
        for row, number in enumerate(numbers.tolist()):
            learned = self._learned[number]
            boxes[row, : len(learned)] = learned.coordinates
            classes[row, : len(learned)] = learned.classes
            points[row, : len(learned)] = candidates(learned.coordinates, self._points)
            for x1, y1, x2, y2 in self._ignored[number]:
                x, y = centres.T
                counted[row, (x > x1) & (x < x2) & (y > y1) & (y < y2)] = 0
        return {"boxes": boxes, "classes": classes, "candidates": points, "counted": counted}
