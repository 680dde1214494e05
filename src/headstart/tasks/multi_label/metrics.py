"""Figures of multi-label data: F1, average precision and subset accuracy, each with its interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.tasks.multi_label.losses import log_losses
from headstart.tasks.statistics import interval, n_resamples, wilson

METRICS = ("micro_f1", "macro_f1", "mean_average_precision", "subset_accuracy", "log_loss")

_LABELS_PER_CLASS = 10  # so many labels of an example cost about as much time as one class


def n_label_resamples(labels: np.ndarray) -> int:
    """Number of resamples for labels (n, k): as many as for single-label examples that cost about the same time."""
    return n_resamples(labels.size // _LABELS_PER_CLASS)


def evaluate(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], thresholds: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Compute every metric of one split of multi-label data.

    Args:
        labels: 0 and 1 (n, k); n is at least 1.
        probabilities: float (n, k).
        classes: names of the k labels.
        thresholds: float (k,), the probability from which each label is predicted.
        seed: of the bootstrap.

    Returns:
        ``examples``, ``resamples``; each of :data:`METRICS` as ``{value, low, high}``; ``per_class``
        precision, recall, F1 and average precision in the same form, with ``support`` and ``threshold``;
        ``label_counts``: how many labels are ``predicted``, ``true`` and both (``correct``), and for how many examples
        all labels are right (``all_correct``). Macro F1 and mean average precision are over the labels that at least
        one example has.
    """
    table = LabelTable(labels, probabilities, thresholds)
    n = len(labels)
    point = table.figures(np.ones(n))
    rng = np.random.default_rng(seed)
    count = n_label_resamples(labels)
    resampled_figures = [table.figures(np.bincount(rng.integers(n, size=n), minlength=n)) for _ in range(count)]
    spread = {name: np.stack([figures[name] for figures in resampled_figures]) for name in point}
    support, predicted = labels.sum(0, dtype=int), table.predicted.sum(0)
    hits = (table.predicted & (labels == 1)).sum(0)
    result: dict[str, Any] = {"examples": n, "resamples": count}
    for name in METRICS:
        n_of = {"log_loss": 0, "subset_accuracy": n}.get(name, int(support.sum()))
        value = float(point[name])
        result[name] = interval(value, spread[name], wilson(value, n_of) if n_of else None)
    result["per_class"] = {
        name: {
            "support": int(support[i]),
            "threshold": float(thresholds[i]),
            **{
                metric: interval(
                    float(point[metric][i]),
                    spread[metric][:, i],
                    wilson(float(point[metric][i]), int(predicted[i] if metric == "precision" else support[i])),
                )
                for metric in ("precision", "recall", "f1", "average_precision")
            },
        }
        for i, name in enumerate(classes)
    }
    result["label_counts"] = {
        "predicted": int(predicted.sum()),
        "true": int(support.sum()),
        "correct": int(hits.sum()),
        "all_correct": int(table.all_correct.sum()),
    }
    return result


class LabelTable:
    """What the metrics need of every example; figures are then sums with weights.

    Args:
        labels: 0 and 1 (n, k).
        probabilities: float (n, k).
        thresholds: float (k,).
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray) -> None:
        truth = labels == 1
        self.predicted = probabilities >= thresholds
        self.all_correct = (self.predicted == truth).all(1)
        self._sums = np.stack([self.predicted & truth, self.predicted, truth]).astype(np.float64)  # (3, n, k)
        self._losses = log_losses(labels, probabilities)
        self._order = np.argsort(-probabilities.T, axis=1, kind="stable")  # (k, n), the most probable first
        self._truth = np.take_along_axis(truth.T, self._order, 1)
        self._last = _last_of_equals(np.take_along_axis(probabilities.T, self._order, 1))

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric, float () or (k,), of examples with these weights, (n,)."""
        hits, predicted, support = np.tensordot(weights, self._sums, (0, 1))
        total, present = weights.sum(), support > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(predicted > 0, hits / predicted, np.nan)
            recall = np.where(present, hits / support, np.nan)
            f1 = np.where(present, 2 * hits / (support + predicted), np.nan)
            micro = 2 * hits.sum() / (support.sum() + predicted.sum())
            average_precision = self._average_precision(weights, support)
        return {
            "micro_f1": np.asarray(micro),
            "macro_f1": np.asarray(f1[present].mean() if present.any() else np.nan),
            "mean_average_precision": np.asarray(average_precision[present].mean() if present.any() else np.nan),
            "subset_accuracy": np.asarray(weights @ self.all_correct / total),
            "log_loss": np.asarray(weights @ self._losses / total),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "average_precision": average_precision,
        }

    def _average_precision(self, weights: np.ndarray, support: np.ndarray) -> np.ndarray:
        """Mean precision at the places of a label's own examples, from the most probable one down: (k,)."""
        ranked_weights = weights.astype(np.float32)[self._order]
        true_weights = np.where(self._truth, ranked_weights, 0)
        precision = true_weights.cumsum(1) / np.maximum(ranked_weights.cumsum(1), 1)
        if self._last is not None:
            precision = np.take_along_axis(precision, self._last, 1)
        return np.where(support > 0, np.einsum("kn,kn->k", true_weights, precision, dtype=np.float64) / support, np.nan)


def _last_of_equals(values: np.ndarray) -> np.ndarray | None:
    """For every value the place where its run of equal ones ends, int (k, n); None if no two are equal.

    Args:
        values: float (k, n), every row sorted.
    """
    n = values.shape[1]
    ends = np.column_stack([values[:, 1:] != values[:, :-1], np.ones(len(values), bool)])
    if ends.all():
        return None
    return np.minimum.accumulate(np.where(ends, np.arange(n), n)[:, ::-1], 1)[:, ::-1]
