"""The detections and the missed objects of one image, from the cells of a table, as a report marks them."""

from collections.abc import Sequence

import numpy as np

from headstart.tasks.detection.boxes import Boxes, Detections, areas
from headstart.tasks.detection.cells import NO_SCORE, read_boxes, read_detections
from headstart.tasks.detection.errors import KINDS, assigned, edges_of, find_errors
from headstart.tasks.task import Region


def regions(label_cell: str, predicted_cell: str, classes: Sequence[str]) -> list[Region]:
    """The regions of one image: the correct detections first, then the errors.

    Args:
        label_cell: its true objects, as a table has them.
        predicted_cell: the detections above the thresholds.
        classes: class names.
    """
    boxes, detections = read_boxes(label_cell, classes), read_detections(predicted_cell, classes)
    marked = [
        Region("", "", _text(classes[number], score), edges_of(edges))
        for number, score, edges in zip(*_correct(boxes, detections), strict=True)
    ]
    for error in find_errors(_array_of(boxes), _array_of(detections)):
        text = _text(classes[error.class_number], error.score)
        if error.score is None:  # the largest one first
            marked.append(
                Region(*KINDS[error.kind], text, error.box, None, float(areas(np.array(error.box))), is_predicted=False)
            )
            continue
        if error.true_class is not None and error.true_class != error.class_number:
            text += f", label {classes[error.true_class]}"
        marked.append(Region(*KINDS[error.kind], text, error.box, error.true_box, error.score))
    return marked


def _correct(boxes: Boxes, detections: Detections) -> tuple[list[int], list[float], np.ndarray]:
    correct = detections.take(assigned(boxes, detections) >= 0)
    return correct.classes.tolist(), correct.scores.tolist(), correct.coordinates


def _text(name: str, score: float | None) -> str:
    return name if score is None or score == NO_SCORE else f"{name} {score:.2f}"


def _array_of(item: object) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = item
    return array
