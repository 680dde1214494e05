"""From what a detection model computes for an image to the objects in it."""

import numpy as np

from headstart.tasks.detection.boxes import Detections, areas
from headstart.tasks.detection.nms import MAX_IOU, suppress

MIN_SCORE = 0.005
"""Boxes with a lower score are dropped: they cost time and change no figure."""

MAX_DETECTIONS = 300
"""Greatest number of objects in one image."""

_MAX_CANDIDATES = 1000  # boxes before suppression


def decode(
    values: np.ndarray,
    input_size: tuple[int, int],
    visible_box: tuple[float, float, float, float],
    image_size: tuple[int, int],
    *,
    min_score: float = MIN_SCORE,
    max_iou: float = MAX_IOU,
    max_detections: int = MAX_DETECTIONS,
) -> Detections:
    """The objects in an image.

    Each point of the model may give a box of every class whose score is high enough. Boxes on the same object are
    reduced to one of each class, moved into the pixels of the image and clipped to it.

    Args:
        values: float32 (points, 4 + classes), of one image: x1, y1, x2, y2 in pixels of the model's input, and a score
            from 0 to 1 for each class.
        input_size: (height, width) of this input, in pixels.
        visible_box: part of the upright image that the input shows (x1, y1, x2, y2), see
            :meth:`headstart.data.images.Decoder.visible_box`.
        image_size: (height, width) of the upright image, in pixels.
        min_score: scores that are not above it are dropped.
        max_iou: see :func:`headstart.tasks.detection.nms.suppress`.
        max_detections: greatest number of objects.
    """
    scores = values[:, 4:]
    points, classes = np.nonzero(scores > min_score)
    of_each = scores[points, classes]
    if len(points) > _MAX_CANDIDATES:
        best = np.argpartition(-of_each, _MAX_CANDIDATES)[:_MAX_CANDIDATES]
        best.sort()  # among equal scores the first point stays first
        points, classes, of_each = points[best], classes[best], of_each[best]
    candidates = values[points, :4]
    kept_positions = suppress(candidates, classes, of_each, max_iou=max_iou, limit=max_detections)
    coordinates = _in_image(candidates[kept_positions], input_size, visible_box, image_size)
    detections = Detections(
        coordinates.astype(np.float32), classes[kept_positions], of_each[kept_positions].astype(np.float32), image_size
    )
    return detections.take(areas(detections.coordinates) > 0)


def _in_image(
    coordinates: np.ndarray,
    input_size: tuple[int, int],
    visible_box: tuple[float, float, float, float],
    image_size: tuple[int, int],
) -> np.ndarray:
    """Boxes (k, 4) in pixels of a model's input as boxes in pixels of the image, clipped to it: float64 (k, 4)."""
    left, upper, right, lower = visible_box
    scale = np.array([(right - left) / input_size[1], (lower - upper) / input_size[0]] * 2)
    moved = coordinates * scale + [left, upper, left, upper]
    return np.clip(moved, 0, [image_size[1], image_size[0]] * 2)
