"""Average precision and recall of one class, of many bootstrap resamples of the images at once.

Precision is made monotone (at each recall the greatest one at this or a higher recall) and averaged over 101 values of
recall, 0, .01, … 1, as in COCO's evaluation. A resample is a weight for each image: how often it was drawn.
"""

import numpy as np

from headstart.tasks.detection.matching import Matches

RECALLS = np.linspace(0, 1, 101)
"""Recall at which precision is read."""

_MAX_VALUES = 2_000_000  # of weights of detections at once


def average_precisions(matches: Matches, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average precision, and the greatest recall, of each resample at each IoU threshold.

    Args:
        matches: of the class in n images.
        weights: float (resamples, n).

    Returns:
        Two float64 arrays (resamples, thresholds); nan where no image of the resample has an object of the class.
    """
    size = max(1, _MAX_VALUES // max(1, len(matches.images)))
    chunks = [_average_precisions(matches, weights[i : i + size]) for i in range(0, len(weights), size)]
    precision, recall = (np.concatenate(values) for values in zip(*chunks, strict=True))
    return precision, recall


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Means over the classes, (resamples,), of values (resamples, classes) that are not nan; nan where all are."""
    is_defined = ~np.isnan(values)
    n = is_defined.sum(1)
    return np.where(n > 0, np.where(is_defined, values, 0).sum(1) / np.maximum(n, 1), np.nan)


def precision_curve(matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Precision at each of :data:`RECALLS`, and the score from which it is reached, at the first IoU threshold.

    Returns:
        Two float64 arrays (101,); both 0 at a recall that is not reached.
    """
    is_counted, is_correct = ~matches.ignored[0], matches.correct[0]
    hits, n = np.cumsum(is_correct), max(int(matches.objects.sum()), 1)
    precision = hits / np.maximum(np.cumsum(is_counted), 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / n, RECALLS, side="left")
    is_reached = at < len(hits)
    at = np.minimum(at, max(len(hits) - 1, 0))
    if not len(hits):
        return np.zeros(len(RECALLS)), np.zeros(len(RECALLS))
    return np.where(is_reached, envelope[at], 0.0), np.where(is_reached, matches.scores[at], 0.0)


def _average_precisions(matches: Matches, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n_objects = weights @ matches.objects.astype(np.float64)
    n_drawn = weights[:, matches.images].astype(np.float64)  # of each detection: (resamples, m)
    shape = len(weights), len(matches.correct)
    average, greatest_recall = np.zeros(shape), np.zeros(shape)
    is_counted, n_detected = None, n_drawn
    total = np.maximum(n_objects, 1)[:, None]
    for i, (is_correct, is_ignored) in enumerate(zip(matches.correct, matches.ignored, strict=True)):
        if is_counted is None or (is_counted == is_ignored).any():
            is_counted = ~is_ignored
            n_detected = np.cumsum(n_drawn * is_counted, axis=1)
        at = np.flatnonzero(is_correct)
        if not len(at):
            continue
        hits = np.cumsum(n_drawn[:, at], axis=1)
        precision = hits / np.maximum(n_detected[:, at], 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = hits / total
        n_passed = np.searchsorted(RECALLS, recall, side="right")  # values of recall that are reached
        average[:, i] = (envelope * np.diff(n_passed, axis=1, prepend=0)).sum(1) / len(RECALLS)
        greatest_recall[:, i] = recall[:, -1]
    is_undefined = n_objects == 0
    average[is_undefined] = greatest_recall[is_undefined] = np.nan
    return average, greatest_recall
