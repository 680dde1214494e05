"""What tables tell of each image: its worst mistake, and how many objects and detections are correct and wrong."""

from collections.abc import Iterable, Sequence

import numpy as np

from headstart.tasks.detection.boxes import Detections
from headstart.tasks.detection.cells import write_detections
from headstart.tasks.detection.errors import KINDS, BoxError, assigned, count_errors, find_errors
from headstart.tasks.detection.thresholds import above_thresholds, is_above

BELOW = "below_thresholds"
"""Column with the detections that are not predicted, from a score of 0.1; the 50 with the highest scores."""

COLUMNS = ("worst", "worst_score", "correct", *KINDS, BELOW)
"""The class of the worst mistake and its score, both of :func:`worst_mistakes`; counts; and :data:`BELOW`."""

_LEAST_SCORE, _MAX_BELOW = 0.1, 50


def worst_mistakes(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The wrong detection with the highest score in each image, or else a missed object, with a score of 0.

    Args:
        labels: object array (n,) of the true objects.
        predicted: object array (n,) of the detections above the thresholds.

    Returns:
        Number of its class, int64 (n,), -1 where nothing is wrong; and its score, float64 (n,).
    """
    worst = [errors[0] if errors else None for errors in _errors_by_image(labels, predicted)]
    classes = [-1 if error is None else error.class_number for error in worst]
    return np.array(classes, np.int64), np.array([_score(error) for error in worst])


def table(
    labels: np.ndarray, outputs: np.ndarray, thresholds: np.ndarray | None, classes: Sequence[str]
) -> list[Iterable[str]]:
    """The cells of :data:`COLUMNS`, n of each; the class of the worst mistake is empty where nothing is wrong.

    Args:
        labels: object array (n,) of the true objects.
        outputs: object array (n,) of all detections.
        thresholds: float (classes,); None for the default one.
        classes: class names.
    """
    predicted = above_thresholds(outputs, thresholds)
    columns: list[list[str]] = [[] for _ in COLUMNS]
    for boxes, output, detections, errors in zip(
        labels, outputs, predicted, _errors_by_image(labels, predicted), strict=True
    ):
        worst = errors[0] if errors else None
        name = "" if worst is None else classes[worst.class_number]
        n_correct = int((assigned(boxes, detections) >= 0).sum())
        row = [name, f"{_score(worst):.6f}", str(n_correct), *map(str, count_errors(errors).values())]
        row.append(write_detections(_below(output, thresholds), classes))
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)
    return [*columns]


def _below(output: Detections, thresholds: np.ndarray | None) -> Detections:
    is_below = ~is_above(output, thresholds) & (output.scores >= _LEAST_SCORE)
    rows = np.flatnonzero(is_below)
    return output.take(rows[np.argsort(-output.scores[rows], kind="stable")][:_MAX_BELOW])


def _errors_by_image(labels: np.ndarray, predicted: np.ndarray) -> list[list[BoxError]]:
    """The errors in each image, the worst first."""
    errors: list[list[BoxError]] = [[] for _ in labels]
    for error in find_errors(labels, predicted):
        errors[error.image].append(error)
    return errors


def _score(error: BoxError | None) -> float:
    return 0.0 if error is None or error.score is None else error.score
