"""From the forms in which exported detectors give boxes to the one of the run.

This module imports nothing of headstart: exports contain a copy of it.
"""

import numpy as np

LOCATION, SCORE = "location", "score"
"""Names of the outputs of :func:`from_location`; MediaPipe knows them by these."""

SUPPRESSED = ("boxes", "scores", "classes", "number")
"""Names of the outputs of an ONNX model that suppresses boxes itself; :func:`from_suppressed` takes the first three."""


def from_location(location: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """From what MediaPipe's object detector takes, with anchors over the whole input.

    Args:
        location: float32 (n, points, 4): vertical and horizontal centre, height and width, as shares of the input.
        scores: float32 (n, points, classes), from 0 to 1.

    Returns:
        Float32 (n, points, 4 + classes): x1, y1, x2, y2 as shares of the input, and the scores.
    """
    centres, halves = location[..., 1::-1], location[..., :1:-1] / 2
    return np.concatenate([centres - halves, centres + halves, scores], axis=-1)


def from_yolo(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """From the form of YOLOv8, which OpenVINO's Model API takes.

    Args:
        values: float32 (n, 4 + classes, points): horizontal and vertical centre, width and height, in pixels of the
            input, and a score from 0 to 1 for each class.
        size: (height, width) of the input, in pixels.

    Returns:
        As :func:`from_location`.
    """
    by_point = values.swapaxes(1, 2)
    sides = np.array(size[::-1], np.float32)
    centres, halves = by_point[..., :2] / sides, by_point[..., 2:4] / (2 * sides)
    return np.concatenate([centres - halves, centres + halves, by_point[..., 4:]], axis=-1)


def from_suppressed(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """From the boxes that are left after suppression; suppressing them again removes none.

    Args:
        boxes: float32 (n, k, 4): x1, y1, x2, y2 as shares of the input.
        scores: float32 (n, k), 0 where there is no box.
        classes: int64 (n, k), class numbers.
        n_classes: number of classes.

    Returns:
        Float32 (n, k, 4 + classes), as :func:`from_location`; the scores of the other classes are 0.
    """
    scores_by_class = np.where(np.arange(n_classes) == classes[..., None], scores[..., None], 0).astype(np.float32)
    return np.concatenate([boxes, scores_by_class], axis=-1)
