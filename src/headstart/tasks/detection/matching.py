"""Which detections are of which objects, as COCO's evaluation assigns them.

The detections of one class in one image, the highest score first, each take the free object of the class that they
overlap most, if the intersection over union (IoU) reaches a threshold. An object that is ignored, or whose area is out
of range, counts neither as detected nor as missed, and a detection that takes it is ignored as well. Any number of
detections can take an object that is ignored by its label, such as a crowd, of which the IoU is the share of the
detection that it covers. A detection that takes nothing is wrong, or ignored where its own area is out of range.

Source: Lin et al., "Microsoft COCO: common objects in context", ECCV 2014; the rules are those of its ``COCOeval``.
"""

from dataclasses import dataclass

import numpy as np

from headstart.tasks.detection.boxes import Boxes, Detections, areas, ious, overlaps

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Least IoU of a correct detection; figures such as mAP50-95 are means over these."""

MAX_DETECTIONS = 100
"""Detections of one class in one image that are evaluated, those with the highest scores."""

EVERY_SIZE = (0.0, 1e10)
"""Least and greatest area of objects of any size, in square pixels."""

_ALL_BITS = (1 << len(IOU_THRESHOLDS)) - 1


@dataclass(frozen=True, eq=False)
class Matches:
    """The m detections of one class in n images, the highest score first, and what they are.

    Attributes:
        images: int64 (m,), the image of each.
        scores: float64 (m,).
        correct: bool (thresholds, m), whether each takes an object, at each of :data:`IOU_THRESHOLDS`.
        ignored: bool (thresholds, m), whether each counts neither as correct nor as wrong.
        objects: int64 (n,), number of objects in each image, without those that are ignored.
    """

    images: np.ndarray
    scores: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    objects: np.ndarray


class Candidates:
    """The detections of one class in all images, and the objects that each may take.

    Args:
        labels: object array (n,) of :class:`Boxes`.
        outputs: object array (n,) of :class:`Detections`.
        number: of the class.
    """

    def __init__(self, labels: np.ndarray, outputs: np.ndarray, number: int) -> None:
        self._n = len(labels)
        images, scores, detection_areas, object_images, object_areas, is_ignored = [], [], [], [], [], []
        self._pairs: list[list[tuple[int, float, int]]] = []  # for each detection: object, IoU, bits of the thresholds
        first = 0
        for image, (boxes, detections) in enumerate(zip(labels, outputs, strict=True)):
            is_object, is_detection = boxes.classes == number, detections.classes == number
            if not (is_object.any() or is_detection.any()):  # most images, where there are many classes
                continue
            objects, of_class = boxes.take(is_object), _best(detections, is_detection)
            images.append(np.full(len(of_class), image))
            scores.append(of_class.scores.astype(np.float64))
            coordinates = of_class.coordinates.astype(np.float64)
            detection_areas.append(areas(coordinates))
            object_images.append(np.full(len(objects), image))
            object_areas.append(areas(objects.coordinates))
            is_ignored.append(objects.ignored)
            self._pairs += _pairs(coordinates, objects, first)
            first += len(objects)
        self._images, self._scores = _joined(images, np.int64), _joined(scores, np.float64)
        self._areas, self._object_areas = _joined(detection_areas, np.float64), _joined(object_areas, np.float64)
        self._object_images, self._is_ignored = _joined(object_images, np.int64), _joined(is_ignored, bool)

    def match(self, size_range: tuple[float, float] = EVERY_SIZE) -> Matches:
        """Assign the detections to the objects whose area, in square pixels, is within a range."""
        low, high = size_range
        is_out = (self._object_areas < low) | (self._object_areas > high)
        is_ignored = self._is_ignored | is_out
        correct, ignored = self._assign(is_ignored.tolist(), self._is_ignored.tolist())
        is_outside = (self._areas < low) | (self._areas > high)
        ignored |= is_outside & ~correct
        order = np.argsort(-self._scores, kind="stable")
        objects = np.bincount(self._object_images[~is_ignored], minlength=self._n)
        return Matches(self._images[order], self._scores[order], correct[:, order], ignored[:, order], objects)

    def _assign(self, is_ignored: list[bool], is_crowd: list[bool]) -> tuple[np.ndarray, np.ndarray]:
        """Whether each detection takes an object that counts, and one that is ignored: bool (thresholds, m) each.

        The thresholds are the bits of integers, so each pair is looked at once. The detections of an image are in the
        order of their scores.
        """
        taken_bits = [0] * len(is_ignored)
        correct, ignored = np.zeros(len(self._pairs), np.int64), np.zeros(len(self._pairs), np.int64)
        for i, pairs in enumerate(self._pairs):
            remaining = _ALL_BITS
            for k, _, bits in sorted(pairs, key=lambda pair: (is_ignored[pair[0]], -pair[1], -pair[0])):
                new = remaining & bits if is_crowd[k] else remaining & bits & ~taken_bits[k]
                remaining &= ~new
                taken_bits[k] |= new
                if is_ignored[k]:
                    ignored[i] |= new
                else:
                    correct[i] |= new
        return _bits(correct), _bits(ignored)


def ious_with_objects(coordinates: np.ndarray, objects: Boxes) -> np.ndarray:
    """IoU of boxes (m, 4) with k objects; with an ignored one, the share of the box that it covers: (m, k)."""
    values = ious(coordinates, objects.coordinates)
    if objects.ignored.any():
        common, own_areas = overlaps(coordinates, objects.coordinates[objects.ignored]), areas(coordinates)[:, None]
        values[:, objects.ignored] = np.divide(common, own_areas, out=np.zeros_like(common), where=own_areas > 0)
    return values


def _best(detections: Detections, is_selected: np.ndarray) -> Detections:
    """The selected detections that are evaluated, the highest score first."""
    selected = np.flatnonzero(is_selected)
    order = np.argsort(-detections.scores[selected], kind="stable")[:MAX_DETECTIONS]
    return detections.take(selected[order])


def _pairs(coordinates: np.ndarray, objects: Boxes, first: int) -> list[list[tuple[int, float, int]]]:
    """For each box (m, 4): the objects that it overlaps enough, numbered from ``first``, with IoU and thresholds."""
    pairs: list[list[tuple[int, float, int]]] = [[] for _ in coordinates]
    if len(objects) and len(coordinates):
        values = ious_with_objects(coordinates, objects)
        n_reached = np.searchsorted(IOU_THRESHOLDS, values, side="right")
        for i, k in np.argwhere(n_reached).tolist():
            pairs[i].append((first + k, float(values[i, k]), (1 << int(n_reached[i, k])) - 1))
    return pairs


def _bits(numbers: np.ndarray) -> np.ndarray:
    """The bits of integers (m,), one row for each threshold: bool (thresholds, m)."""
    return (numbers >> np.arange(len(IOU_THRESHOLDS))[:, None] & 1).astype(bool)


def _joined(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype)
