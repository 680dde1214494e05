"""The choice of the score from which each class is predicted."""

import numpy as np

from headstart.tasks.detection.matching import Candidates, Matches
from headstart.tasks.detection.thresholds import DEFAULT_THRESHOLD

MIN_OBJECTS = 10
"""Validation objects of a class that a threshold of its own needs."""


def choose_thresholds(labels: np.ndarray, outputs: np.ndarray, n_classes: int) -> np.ndarray:
    """Choose for each class the threshold with the greatest F1 at an IoU of 0.5.

    The position of the maximum varies much with few objects. So it is the middle of all thresholds whose F1 is within
    one standard error of it. With 20 objects of simulated detectors this lost .006 to .009 of the F1 of the best
    threshold on new images; the position of the maximum lost .011 to .020, with 200 objects .0013 to .0016 against
    .0031 to .0044.

    Args:
        labels: object array (n,) of the true objects of validation images; n may be 0.
        outputs: object array (n,) of the detections.
        n_classes: number of classes.

    Returns:
        float64 (classes,). A class with fewer than :data:`MIN_OBJECTS` objects has the threshold with the greatest F1
        of all classes together, or :data:`DEFAULT_THRESHOLD` if even these have too few.
    """
    by_class = [Candidates(labels, outputs, number).match() for number in range(n_classes)]
    common = _best([*by_class])
    own = [_best([matches]) for matches in by_class]
    fallback = DEFAULT_THRESHOLD if common is None else common
    return np.array([fallback if threshold is None else threshold for threshold in own])


def _best(matches: list[Matches]) -> float | None:
    """The threshold with the greatest F1 over some classes; None if they have too few objects."""
    n_objects = sum(int(of_class.objects.sum()) for of_class in matches)
    scores = np.concatenate([np.empty(0), *(of_class.scores[~of_class.ignored[0]] for of_class in matches)])
    if n_objects < MIN_OBJECTS or not len(scores):
        return None
    is_correct = np.concatenate([of_class.correct[0][~of_class.ignored[0]] for of_class in matches])
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(is_correct[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + n_objects)
    f1[:-1][np.diff(scores) == 0] = 0  # there is no threshold between equal scores
    greatest = f1.max()
    error = np.sqrt(greatest * (1 - greatest) / n_objects)
    near = np.flatnonzero(f1 >= greatest - error)
    low = scores[near[-1] + 1] if near[-1] + 1 < len(scores) else 0.0
    return float((low + scores[near[0]]) / 2)
