"""What tables tell of each image: its worst mistake, and how many objects and detections are correct and wrong."""

from collections.abc import Iterable, Sequence

import numpy as np

from headstart.tasks.detection.errors import KINDS, BoxError, assigned, count_errors, find_errors

COLUMNS = ("worst", "worst_score", "correct", *KINDS)
"""The class of the worst mistake and its score, both of :func:`worst_mistakes`; and counts."""


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


def table(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> list[Iterable[str]]:
    """The cells of :data:`COLUMNS`, n of each; the class of the worst mistake is empty where nothing is wrong."""
    columns: list[list[str]] = [[] for _ in COLUMNS]
    for boxes, detections, errors in zip(labels, predicted, _errors_by_image(labels, predicted), strict=True):
        worst = errors[0] if errors else None
        name = "" if worst is None else classes[worst.class_number]
        n_correct = int((assigned(boxes, detections) >= 0).sum())
        row = [name, f"{_score(worst):.6f}", str(n_correct), *map(str, count_errors(errors).values())]
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)
    return [*columns]


def _errors_by_image(labels: np.ndarray, predicted: np.ndarray) -> list[list[BoxError]]:
    """The errors in each image, the worst first."""
    errors: list[list[BoxError]] = [[] for _ in labels]
    for error in find_errors(labels, predicted):
        errors[error.image].append(error)
    return errors


def _score(error: BoxError | None) -> float:
    return 0.0 if error is None or error.score is None else error.score
