"""Figures of single-label data: accuracy and its kin, confusion matrix, reliability, each with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.tasks.outputs import MIN_PROBABILITY
from headstart.tasks.statistics import interval, n_resamples, resample_weights, wilson

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
_BINS = 10
_AT_ONCE = 1_000_000  # weights of examples in resamples that are held in memory


def evaluate(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], *, seed: int = 0) -> dict[str, Any]:
    """Compute every metric of one split.

    Args:
        labels: int (n,), true classes; n is at least 1.
        probabilities: float (n, c).
        classes: their c names.
        seed: of the bootstrap.

    Returns:
        ``examples``, ``resamples``; each of :data:`METRICS` as ``{value, low, high}``; ``per_class`` precision, recall
        and F1, each with ``support``; ``confusion_matrix`` (rows are true classes); ``reliability`` (ten bins of
        confidence, Guo et al. 2017, arXiv 1706.04599). A figure that is not defined (no example, no prediction) is
        None.
    """
    table = _Table(labels, probabilities, len(classes))
    n = len(labels)
    point = {name: values[0] for name, values in table.figures(np.ones((1, n))).items()}
    rng = np.random.default_rng(seed)
    count = n_resamples(n)
    at_once = max(1, _AT_ONCE // n)
    resampled_figures = [
        table.figures(resample_weights(n, min(at_once, count - start), rng)) for start in range(0, count, at_once)
    ]
    spread = {name: np.concatenate([figures[name] for figures in resampled_figures]) for name in point}
    accuracy_bounds = wilson(float(point["accuracy"]), n)
    result: dict[str, Any] = {"examples": n, "resamples": count}
    for name in METRICS:
        fallback = accuracy_bounds if name in ("accuracy", "balanced_accuracy", "macro_f1") else None
        result[name] = interval(float(point[name]), spread[name], fallback)
    confusion = table.confusion(np.ones((1, n)))[0].astype(int)
    support, predicted = confusion.sum(1), confusion.sum(0)
    result["per_class"] = {
        name: {
            "support": int(support[i]),
            **{
                metric: interval(
                    float(point[metric][i]),
                    spread[metric][:, i],
                    wilson(float(point[metric][i]), int(predicted[i] if metric == "precision" else support[i])),
                )
                for metric in ("precision", "recall", "f1")
            },
        }
        for i, name in enumerate(classes)
    }
    result["confusion_matrix"] = confusion.tolist()
    result["reliability"] = table.reliability()
    return result


def expected_calibration_errors(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error, in ten bins of confidence, of weighted examples, several times.

    Args:
        labels: int (n,).
        probabilities: float (n, classes).
        weights: (k, n), how much each example counts each time.

    Returns:
        float (k,).
    """
    confidence = probabilities.max(1).astype(np.float64)
    excess = (probabilities.argmax(1) == labels) - confidence
    in_bin = _bins(confidence)[:, None] == np.arange(_BINS)
    return np.abs(weights @ (excess[:, None] * in_bin)).sum(1) / weights.sum(1)


def _sums(values: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    """Sums of the columns of each group, float64 (k, count), of values (k, n); ``group`` is int (n,)."""
    order = np.argsort(group, kind="stable")
    groups, starts = np.unique(group[order], return_index=True)
    sums = np.zeros((len(values), count))
    sums[:, groups] = np.add.reduceat(values[:, order], starts, axis=1, dtype=np.float64)
    return sums


def _bins(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * _BINS).astype(int), _BINS - 1)


@dataclass
class _Table:
    """One row per example, reduced to what the metrics need; figures are then sums with weights."""

    labels: np.ndarray
    probabilities: np.ndarray
    n_classes: int

    def __post_init__(self) -> None:
        predicted = self.probabilities.argmax(1)
        rows = np.arange(len(self.labels))
        self._cell = self.labels * self.n_classes + predicted
        self._right = predicted == self.labels
        self._confidence = self.probabilities[rows, predicted].astype(np.float64)
        self._bin = _bins(self._confidence)
        self._loss = -np.log(np.maximum(self.probabilities[rows, self.labels], MIN_PROBABILITY)).astype(np.float64)

    def confusion(self, weights: np.ndarray) -> np.ndarray:
        """Weighted counts, float64 (k, classes, classes), for k weightings (k, n) of the examples."""
        cells = _sums(weights, self._cell, self.n_classes**2)
        return cells.reshape(-1, self.n_classes, self.n_classes)

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Every figure, (k,) or (k, classes), for k weightings (k, n) of the examples."""
        total = weights.sum(1, dtype=np.float64)
        confusion = self.confusion(weights)
        hits, support, predicted = confusion.diagonal(axis1=1, axis2=2), confusion.sum(2), confusion.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = np.where(support > 0, hits / support, np.nan)
            precision = np.where(predicted > 0, hits / predicted, np.nan)
            f1 = np.where(support > 0, 2 * hits / (support + predicted), np.nan)
        differences = _sums(weights * (self._right - self._confidence), self._bin, _BINS)
        return {
            "accuracy": hits.sum(1) / total,
            "balanced_accuracy": np.nanmean(recall, 1),
            "macro_f1": np.nanmean(f1, 1),
            "log_loss": weights @ self._loss / total,
            "ece": np.abs(differences).sum(1) / total,
            "precision": precision,
            "recall": recall,
            "f1": f1,
        }

    def reliability(self) -> list[dict[str, Any]]:
        bins = []
        for i in range(_BINS):
            is_in_bin = self._bin == i
            count = int(is_in_bin.sum())
            bins.append(
                {
                    "low": i / _BINS,
                    "high": (i + 1) / _BINS,
                    "count": count,
                    "confidence": float(self._confidence[is_in_bin].mean()) if count else None,
                    "accuracy": float(self._right[is_in_bin].mean()) if count else None,
                }
            )
        return bins
