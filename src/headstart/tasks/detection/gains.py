"""How much mean average precision the errors of each kind cost: what is gained if only these were fixed.

A detection of the wrong class gets the class of its object, and a poor box its edges, unless another detection has
this object already; it is removed then, as are ghosts, duplicates and what is both. Missed objects do not count.

Source: Bolya, Foley, Hays and Hoffman, "TIDE: a general toolbox for identifying object detection errors", ECCV 2020.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from headstart.tasks.detection.average_precision import average_precisions, mean_of_defined
from headstart.tasks.detection.boxes import Boxes, Detections
from headstart.tasks.detection.errors import KINDS, BoxError, assigned
from headstart.tasks.detection.matching import Candidates, Matches


def gains_of_fixing(
    labels: np.ndarray,
    outputs: np.ndarray,
    thresholds: np.ndarray,
    errors: Iterable[BoxError],
    matches: Sequence[Matches],
) -> dict[str, float | None]:
    """The gain of mAP50 from each kind of errors.

    Args:
        labels: object array (n,) of the true objects.
        outputs: object array (n,) of the detections.
        thresholds: float (classes,), the score from which each class is predicted.
        errors: of the detections above them, as :func:`headstart.tasks.detection.errors.find_errors` gives them.
        matches: of each class.

    Returns:
        Kind -> gain; None where no class has an object.
    """
    before = _map_50(matches)
    by_kind: dict[str, dict[int, list[BoxError]]] = {kind: {} for kind in KINDS}
    for error in errors:
        by_kind[error.kind].setdefault(error.image, []).append(error)
    gains: dict[str, float | None] = {}
    for kind, by_image in by_kind.items():
        fixed_labels, fixed_outputs = labels.copy(), outputs.copy()
        for image, of_image in by_image.items():
            if kind == "missed":
                fixed_labels[image] = _without(labels[image], of_image)
            else:
                fixed_outputs[image] = _fixed(labels[image], outputs[image], thresholds, of_image)
        after = _map_50(_updated(matches, fixed_labels, fixed_outputs, np.array(sorted(by_image), np.int64)))
        gains[kind] = None if np.isnan(after - before) else after - before
    return gains


def _map_50(matches: Sequence[Matches]) -> float:
    by_class = [average_precisions(item, np.ones((1, len(item.objects))))[0][:, 0] for item in matches]
    return float(mean_of_defined(np.stack(by_class, 1))[0])


def _updated(
    matches: Sequence[Matches], labels: np.ndarray, outputs: np.ndarray, changed_images: np.ndarray
) -> list[Matches]:
    """The matches of each class after some images have changed; only these are matched again."""
    updated = []
    for number, before in enumerate(matches):
        after = Candidates(labels[changed_images], outputs[changed_images], number).match()
        stays = ~np.isin(before.images, changed_images)
        images = np.concatenate([before.images[stays], changed_images[after.images]])
        scores = np.concatenate([before.scores[stays], after.scores])
        correct = np.concatenate([before.correct[:, stays], after.correct], axis=1)
        ignored = np.concatenate([before.ignored[:, stays], after.ignored], axis=1)
        objects = before.objects.copy()
        objects[changed_images] = after.objects
        order = np.lexsort((images, -scores))
        updated.append(Matches(images[order], scores[order], correct[:, order], ignored[:, order], objects))
    return updated


def _without(boxes: Boxes, missed: Iterable[BoxError]) -> Boxes:
    """The objects without those that were missed."""
    removed = {error.object_number for error in missed}
    return boxes.take(np.array([k for k in range(len(boxes)) if k not in removed], np.int64))


def _fixed(boxes: Boxes, detections: Detections, thresholds: np.ndarray, errors: Iterable[BoxError]) -> Detections:
    """The detections of an image after those that are wrong were corrected or removed."""
    above = np.flatnonzero(detections.scores >= thresholds[detections.classes])  # what the errors count
    free = set(range(len(boxes))) - set(assigned(boxes, detections.take(above)).tolist())
    coordinates, classes = detections.coordinates.copy(), detections.classes.copy()
    stays = np.ones(len(detections), bool)
    for error in errors:
        i = above[error.detection_number]
        if error.kind in ("wrong_class", "poor_box") and error.object_number in free:
            free.remove(error.object_number)
            coordinates[i] = error.true_box if error.kind == "poor_box" else coordinates[i]
            classes[i] = error.true_class
        else:
            stays[i] = False
    return replace(detections, coordinates=coordinates, classes=classes).take(stays)
