"""Which detections are predicted: those whose score reaches the threshold of their class."""

import numpy as np

from headstart.tasks.detection.boxes import Detections

DEFAULT_THRESHOLD = 0.3
"""Of every class, where thresholds were not chosen on enough objects."""


def above_thresholds(outputs: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """The detections whose score reaches the threshold of their class: object array (n,) of :class:`Detections`.

    Args:
        outputs: object array (n,) of detections.
        thresholds: float (classes,); None for :data:`DEFAULT_THRESHOLD`.
    """
    decided = np.empty(len(outputs), object)
    decided[:] = [above_threshold(detections, thresholds) for detections in outputs]
    return decided


def above_threshold(detections: Detections, thresholds: np.ndarray | None) -> Detections:
    """The detections of one image whose score reaches the threshold of their class."""
    return detections.take(is_above(detections, thresholds))


def is_above(detections: Detections, thresholds: np.ndarray | None) -> np.ndarray:
    """Whether the score of each detection of one image reaches the threshold of its class: bool (m,)."""
    least = DEFAULT_THRESHOLD if thresholds is None else thresholds[detections.classes]
    return detections.scores >= least
