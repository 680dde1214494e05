"""What is wrong with detections: the kinds of errors in an image, and which class is predicted as which.

Judged are the detections that are predicted, those above the thresholds. A detection that takes no object of its class
with an IoU of at least 0.5 is an error, of the kind that the objects around it say:

=========================  ===========================================================================================
``duplicate``              the object that it overlaps most, by at least 0.5, is of its class, and has a detection
``wrong_class``            that object is of another class
``poor_box``               it overlaps an object of its class by 0.1 to 0.5
``wrong_class_poor_box``   it overlaps only an object of another class by 0.1 to 0.5
``ghost``                  it overlaps all objects by less than 0.1: background
=========================  ===========================================================================================

An object that no detection takes, and that is not the object of a wrong class or a poor box, is ``missed``. Ignored
objects are neither.

Where two kinds would suit a detection, the object that it overlaps most decides.

Source: Bolya, Foley, Hays and Hoffman, "TIDE: a general toolbox for identifying object detection errors", ECCV 2020.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.tasks.detection.boxes import Boxes, Detections, areas, ious
from headstart.tasks.detection.matching import ious_with_objects

Kind = Literal["missed", "ghost", "wrong_class", "poor_box", "wrong_class_poor_box", "duplicate"]

Edges = tuple[float, float, float, float]

KINDS: dict[Kind, tuple[str, str]] = {
    "missed": ("missed", "an object without a detection"),
    "ghost": ("ghost", "a detection where nothing is"),
    "wrong_class": ("wrong class", "a detection on an object of another class"),
    "poor_box": ("poor box", "a detection that overlaps an object of its class too little"),
    "wrong_class_poor_box": (
        "wrong class and poor box",
        "a detection that overlaps an object of another class, and too little",
    ),
    "duplicate": ("duplicate", "a second detection of an object"),
}
"""Kind of an error -> its title, and what it is."""

NOTHING, IGNORED = -1, -2

_MATCHED, _TOUCHED = 0.5, 0.1


@dataclass(frozen=True)
class BoxError:
    """One error in one image.

    Attributes:
        kind: of the error.
        image: position of the image.
        class_number: of the detection, or of the missed object.
        box: (x1, y1, x2, y2) of the detection, or of the missed object, in pixels of the upright image.
        score: of the detection; None for a missed object, like the next.
        detection_number: position of the detection among those of the image.
        object_number: position, among the true objects of the image, of the one that the error is about; None for a
            ghost, like the next two.
        true_class: of this object.
        true_box: of this object.
    """

    kind: Kind
    image: int
    class_number: int
    box: Edges
    score: float | None = None
    detection_number: int | None = None
    object_number: int | None = None
    true_class: int | None = None
    true_box: Edges | None = None


def find_errors(labels: np.ndarray, predicted: np.ndarray) -> list[BoxError]:
    """The errors in n images.

    Args:
        labels: object array (n,) of the true objects.
        predicted: object array (n,) of the detections above the thresholds.

    Returns:
        In the order of the images, those of each by score, its missed objects last.
    """
    errors: list[BoxError] = []
    for image, (boxes, detections) in enumerate(zip(labels, predicted, strict=True)):
        errors += _errors_of_image(image, boxes, detections)
    return errors


def count_errors(errors: Iterable[BoxError]) -> dict[str, int]:
    """How many errors there are of each kind."""
    counts = Counter(error.kind for error in errors)
    return {kind: counts[kind] for kind in KINDS}


def worst_errors(errors: Iterable[BoxError], n: int) -> dict[Kind, list[BoxError]]:
    """The n worst errors of each kind: detections by their score, missed objects by their area."""
    ranked = sorted(errors, key=lambda error: (-(error.score or 0.0), -float(areas(np.array(error.box)))))
    return {kind: [error for error in ranked if error.kind == kind][:n] for kind in KINDS}


def assigned(boxes: Boxes, detections: Detections) -> np.ndarray:
    """The object that each detection takes: int (m,).

    It is :data:`NOTHING` where it takes none, and :data:`IGNORED` where it takes an ignored one.
    """
    taken_by = np.full(len(detections), NOTHING)
    for number in np.unique(detections.classes).tolist():
        rows, objects = np.flatnonzero(detections.classes == number), np.flatnonzero(boxes.classes == number)
        if not len(objects):
            continue
        rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
        of_class = boxes.take(objects)
        values = ious_with_objects(detections.coordinates[rows].astype(np.float64), of_class)
        is_free = np.ones(len(objects), bool)
        for row, overlap in zip(rows.tolist(), values, strict=True):
            candidates = np.flatnonzero((overlap >= _MATCHED) & (is_free | of_class.ignored))
            if not len(candidates):
                continue
            best = int(candidates[np.lexsort((-candidates, -overlap[candidates], of_class.ignored[candidates]))[0]])
            is_free[best] = False
            taken_by[row] = IGNORED if of_class.ignored[best] else objects[best]
    return taken_by


def has_same_objects(before: Detections, after: Detections) -> bool:
    """Whether each object detected by one model is detected by the other one, with an IoU of at least 0.5."""
    boxes = Boxes(before.coordinates, before.classes, np.zeros(len(before), bool), (0, 0))
    return len(before) == len(after) and bool((assigned(boxes, after) >= 0).all())


def confusions(labels: np.ndarray, predicted: np.ndarray, errors: Sequence[BoxError], n_classes: int) -> np.ndarray:
    """Number of objects by true and by predicted class: int64 (classes + 1, classes + 1), the last is the background.

    Each object is in one row: as its class where a detection takes it, as another class where the detection with the
    highest score that is wrong about its class says so, and else as background, not detected. The last row holds all
    other detections.
    """
    matrix = np.zeros((n_classes + 1, n_classes + 1), np.int64)
    confused: dict[tuple[int, int], int] = {}  # (image, object) -> the class that it is predicted as
    for error in errors:
        if error.kind == "wrong_class" and error.object_number is not None:
            confused.setdefault((error.image, error.object_number), error.class_number)
    for image, (boxes, detections) in enumerate(zip(labels, predicted, strict=True)):
        matrix[n_classes, :n_classes] += np.bincount(detections.classes, minlength=n_classes)
        taken_by = assigned(boxes, detections)
        ignored = detections.classes[taken_by == IGNORED]
        matrix[n_classes, :n_classes] -= np.bincount(ignored, minlength=n_classes)
        for k in np.flatnonzero(~boxes.ignored).tolist():
            true_class = int(boxes.classes[k])
            found_class = true_class if k in taken_by else confused.get((image, k), n_classes)
            matrix[true_class, found_class] += 1
            if found_class < n_classes:
                matrix[n_classes, found_class] -= 1  # this detection is of the object
    return matrix


def _errors_of_image(image: int, boxes: Boxes, detections: Detections) -> list[BoxError]:
    taken_by = assigned(boxes, detections)
    counted_objects = np.flatnonzero(~boxes.ignored)
    overlaps = ious(detections.coordinates.astype(np.float64), boxes.coordinates[counted_objects])
    errors, explained_objects = [], set(taken_by.tolist())
    for i in np.flatnonzero(taken_by == NOTHING).tolist():
        kind, at = _kind(overlaps[i], boxes.classes[counted_objects] == detections.classes[i])
        k = None if at is None else int(counted_objects[at])
        if k is not None and kind in ("wrong_class", "poor_box"):
            explained_objects.add(k)
        detected = int(detections.classes[i]), edges_of(detections.coordinates[i]), float(detections.scores[i]), i
        errors.append(BoxError(kind, image, *detected, *_object(boxes, k)))
    errors.sort(key=lambda error: -(error.score or 0.0))
    missed_objects = (k for k in counted_objects.tolist() if k not in explained_objects)
    for k in missed_objects:
        true_class, edges = int(boxes.classes[k]), edges_of(boxes.coordinates[k])
        errors.append(BoxError("missed", image, true_class, edges, None, None, k, true_class, edges))
    return errors


def _kind(overlaps: np.ndarray, is_same_class: np.ndarray) -> tuple[Kind, int | None]:
    """The kind of the error of a detection, and the object that it is about, from its IoU with k objects."""
    if not (overlaps >= _TOUCHED).any():
        return "ghost", None
    best = int(overlaps.argmax())
    if overlaps[best] >= _MATCHED:
        return "duplicate" if is_same_class[best] else "wrong_class", best
    of_class = np.where(is_same_class, overlaps, 0)
    if of_class.max() >= _TOUCHED:
        return "poor_box", int(of_class.argmax())
    return "wrong_class_poor_box", best


def _object(boxes: Boxes, k: int | None) -> tuple[int, int, Edges] | tuple[()]:
    return () if k is None else (k, int(boxes.classes[k]), edges_of(boxes.coordinates[k]))


def edges_of(coordinates: np.ndarray) -> Edges:
    """The edges of a box (4,) as plain numbers: x1, y1, x2, y2."""
    x1, y1, x2, y2 = coordinates.tolist()
    return x1, y1, x2, y2
