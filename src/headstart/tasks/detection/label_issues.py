"""Boxes that are probably missing, badly placed or of the wrong class, by detections of a model that did not see them.

In the spirit of confident learning, a detection counts as confident if its score is at least that of three quarters of
the correct detections of its class: those above the threshold with the best F1 that have an intersection over union
(IoU) of at least 0.5 with an object. Where a confident detection suits no object, the one that it overlaps most, of
those that no other detection suits, is an issue:

================  ====================================================================================================
``bad_box``       it is of the class of the object, but overlaps it less than is usual: less than the median IoU of the
                  confident detections of the class, minus three times the distance from the median to the lower
                  quartile, but at most 0.7
``wrong_class``   it overlaps an object of another class by at least 0.5, which no detection of that class does
``missing``       it overlaps no object by 0.1; up to 0.3 with objects that have a detection of their own
================  ====================================================================================================

Classes with fewer than :data:`MIN_CORRECT` correct detections are not examined: their scores say too little.

On the 159 validation and test images of the blood cells of BCCD, whose labels are known to have gaps, 62 % of 86 errors
that were planted in equal parts were found, besides 247 other issues. Of these 41 were looked at, the surest and the
least sure of each kind: nearly all were real.

Source of the idea and of the three kinds: Tkachenko, Thyagarajan and Mueller, "ObjectLab: automated diagnosis of
mislabeled images in object detection data", 2023, arXiv 2309.00832. The rule is headstart's own.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from headstart.tasks.detection.boxes import Boxes, Detections, ious
from headstart.tasks.detection.errors import Edges, edges_of
from headstart.tasks.detection.matching import ious_with_objects
from headstart.tasks.detection.threshold_choice import choose_thresholds
from headstart.tasks.detection.thresholds import above_thresholds

MIN_CORRECT = 10
"""Correct detections that a class needs to be examined."""

IssueKind = Literal["missing", "bad_box", "wrong_class"]

_SAME, _BESIDE, _TOUCHING = 0.5, 0.3, 0.1  # least IoU of a box on an object, beside it and near it
_GREATEST_LIMIT, _DISTANCES = 0.7, 3.0
_DECIMALS = 1  # of suggested edges, in pixels


@dataclass(frozen=True)
class BoxIssue:
    """A box that is probably wrong, or missing.

    Attributes:
        kind: what is wrong.
        image: position of the image.
        object_number: position of the object among those of the image; None for a missing one.
        class_number: the class that the object more likely has.
        box: where it more likely is, (x1, y1, x2, y2) in pixels of the upright image.
        score: of the detection that says so.
    """

    kind: IssueKind
    image: int
    object_number: int | None
    class_number: int
    box: Edges
    score: float


@dataclass(frozen=True)
class _Limits:
    """What is usual for the detections of each class; nan where a class is not examined.

    Attributes:
        scores: float (classes,), score of a confident detection.
        ious: float (classes,), least IoU of a confident detection with its object.
    """

    scores: np.ndarray
    ious: np.ndarray


def find_box_issues(labels: np.ndarray, outputs: np.ndarray) -> list[BoxIssue]:
    """The issues in n images, the highest score first.

    Args:
        labels: object array (n,) of the objects as they are labelled.
        outputs: object array (n,) of the detections, for each image by a model that was trained without it.
    """
    n_classes = 1 + max((int(item.classes.max(initial=-1)) for item in (*labels, *outputs)), default=-1)
    predicted = above_thresholds(outputs, choose_thresholds(labels, outputs, n_classes))
    limits = _limits(labels, predicted, n_classes)
    issues = [
        issue
        for image, (boxes, detections) in enumerate(zip(labels, predicted, strict=True))
        for issue in _issues_of_image(image, boxes, detections, limits)
    ]
    return sorted(issues, key=lambda issue: -issue.score)


def corrected_boxes(boxes: Boxes, issues: list[BoxIssue]) -> Boxes:
    """The objects of one image as its issues suggest them; missing ones come last."""
    coordinates, classes = boxes.coordinates.copy(), boxes.classes.copy()
    for issue in issues:
        if issue.kind == "wrong_class":
            classes[issue.object_number] = issue.class_number
        elif issue.kind == "bad_box":
            coordinates[issue.object_number] = np.round(issue.box, _DECIMALS)
    missing = [issue for issue in issues if issue.kind == "missing"]
    return replace(
        boxes,
        coordinates=np.concatenate([coordinates, np.round([issue.box for issue in missing], _DECIMALS).reshape(-1, 4)]),
        classes=np.concatenate([classes, np.array([issue.class_number for issue in missing], np.int64)]),
        ignored=np.concatenate([boxes.ignored, np.zeros(len(missing), bool)]),
    )


def _limits(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> _Limits:
    limits = _Limits(np.full(n_classes, np.nan), np.full(n_classes, np.nan))
    scores, overlaps, classes = [np.empty(0)], [np.empty(0)], [np.empty(0, np.int64)]
    for boxes, detections in zip(labels, predicted, strict=True):
        scores.append(detections.scores.astype(np.float64))
        overlaps.append(_ious_of_class(boxes, detections).max(1, initial=0))
        classes.append(detections.classes)
    all_scores, all_overlaps, all_classes = np.concatenate(scores), np.concatenate(overlaps), np.concatenate(classes)
    for number in range(n_classes):
        is_correct = (all_classes == number) & (all_overlaps >= _SAME)
        if is_correct.sum() < MIN_CORRECT:
            continue
        limits.scores[number] = np.quantile(all_scores[is_correct], 0.25)
        of_confident = all_overlaps[is_correct & (all_scores >= limits.scores[number])]
        quartile, median = np.quantile(of_confident, [0.25, 0.5])
        limits.ious[number] = min(_GREATEST_LIMIT, median - _DISTANCES * (median - quartile))
    return limits


def _issues_of_image(image: int, boxes: Boxes, detections: Detections, limits: _Limits) -> list[BoxIssue]:
    """What the confident detections of an image say, once for each object and place, the highest score first."""
    scene = _Scene(boxes, detections, limits)
    issues: dict[int, BoxIssue] = {}  # object -> its issue
    missing: list[int] = []
    for i in np.flatnonzero(detections.scores >= limits.scores[detections.classes]).tolist():
        if scene.is_right(i):
            continue
        if scene.is_alone(i):
            is_near = ious(detections.coordinates[[i]], detections.coordinates[missing]) >= _SAME
            missing += [] if is_near.any() else [i]
        elif (kind := scene.kind(i)) is not None:
            k = scene.nearest(i)
            issues.setdefault(k, _issue(kind, image, k, detections, i))
    return [*issues.values(), *(_issue("missing", image, None, detections, i) for i in missing)]


class _Scene:
    """The objects and the detections of one image, the highest score first."""

    def __init__(self, boxes: Boxes, detections: Detections, limits: _Limits) -> None:
        self._ious: np.ndarray = ious_with_objects(detections.coordinates.astype(np.float64), boxes)
        self._of_class = _ious_of_class(boxes, detections)
        self._limits = np.nan_to_num(limits.ious, nan=_SAME)[detections.classes]
        is_confirmed = (self._of_class >= self._limits[:, None]).any(0)
        self._is_detected = self._of_class.max(0, initial=0) >= _SAME
        self._open_ious = np.where(is_confirmed | boxes.ignored, 0, self._ious)

    def is_right(self, i: int) -> bool:
        """Whether a detection suits an object of its class."""
        return bool(self._of_class[i].max(initial=0) >= self._limits[i])

    def is_alone(self, i: int) -> bool:
        """Whether there is no object where a detection is, except those beside it that have detections of their own."""
        return bool(self._open_ious[i].max(initial=0) < _TOUCHING and self._ious[i].max(initial=0) < _BESIDE)

    def nearest(self, i: int) -> int:
        """The object that a detection overlaps most, of those without a detection of their own."""
        return int(self._open_ious[i].argmax())

    def kind(self, i: int) -> IssueKind | None:
        """What is wrong with the nearest object of a detection; None if the detection does not tell."""
        k = self.nearest(i)
        if self._open_ious[i, k] < _TOUCHING:
            return None
        if self._of_class[i, k]:
            return "bad_box"
        return "wrong_class" if self._ious[i, k] >= _SAME and not self._is_detected[k] else None


def _issue(kind: IssueKind, image: int, object_number: int | None, detections: Detections, i: int) -> BoxIssue:
    number, score = int(detections.classes[i]), float(detections.scores[i])
    return BoxIssue(kind, image, object_number, number, edges_of(detections.coordinates[i]), score)


def _ious_of_class(boxes: Boxes, detections: Detections) -> np.ndarray:
    """IoU of each detection with each object of its class, 0 with others: float (m, k)."""
    overlaps = ious_with_objects(detections.coordinates.astype(np.float64), boxes)
    return np.where(detections.classes[:, None] == boxes.classes, overlaps, 0)
