"""The detections and the missed objects of one image, from the cells of a table, as a report marks them."""

from collections.abc import Sequence

import numpy as np

from headstart.tasks.detection.boxes import Boxes, Detections, areas
from headstart.tasks.detection.cells import NO_SCORE, read_boxes, read_detections
from headstart.tasks.detection.errors import KINDS, assigned, edges_of, find_errors
from headstart.tasks.labels import SEPARATOR
from headstart.tasks.task import Region


def regions(label_cell: str, predicted_cell: str, classes: Sequence[str], below_cell: str = "") -> list[Region]:
    """The regions of one image: the correct detections first, then the errors.

    Args:
        label_cell: its true objects, as a table has them.
        predicted_cell: the detections above the thresholds.
        classes: class names.
        below_cell: detections below the thresholds, which count, too.
    """
    boxes = read_boxes(label_cell, classes)
    detections = read_detections(f"{SEPARATOR} ".join(filter(None, (predicted_cell, below_cell))), classes)
    marked_regions = _correct(boxes, detections, classes)
    for error in find_errors(_array_of(boxes), _array_of(detections)):
        text = _text(classes[error.class_number], error.score)
        if error.score is None:  # the largest one first
            rank = float(areas(np.array(error.box)))
            marked_regions.append(Region(*KINDS[error.kind], text, error.box, rank=rank, is_predicted=False))
            continue
        if error.true_class is not None and error.true_class != error.class_number:
            text += f", label {classes[error.true_class]}"
        marked_regions.append(
            Region(*KINDS[error.kind], text, error.box, error.true_box, error.score, score=_score_of(error.score))
        )
    return marked_regions


def _correct(boxes: Boxes, detections: Detections, classes: Sequence[str]) -> list[Region]:
    marked_regions = []
    for i, number in enumerate(assigned(boxes, detections).tolist()):
        if number < 0:
            continue
        score, box = float(detections.scores[i]), edges_of(detections.coordinates[i])
        true_box = edges_of(boxes.coordinates[number])
        text = _text(classes[detections.classes[i]], score)
        marked_regions.append(Region("", "", text, box, None if box == true_box else true_box, score=_score_of(score)))
    return marked_regions


def _text(name: str, score: float | None) -> str:
    return name if _score_of(score) is None else f"{name} {score:.2f}"


def _score_of(score: float | None) -> float | None:
    return None if score == NO_SCORE else score


def _array_of(item: object) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = item
    return array
