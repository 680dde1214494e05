"""Multi-label data: from which probability on a label is given, and metrics of what is given.

Each label has a threshold of its own, chosen on the validation examples. Intervals are those of
:mod:`headstart.evaluation.metrics`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.evaluation.metrics import interval, resamples, wilson
from headstart.training.outputs import log_losses

MULTI_LABEL_METRICS = ("micro_f1", "macro_f1", "mean_average_precision", "subset_accuracy", "log_loss")

DEFAULT_THRESHOLD = 0.5
FEWEST_POSITIVES = 10
"""Validation examples that must have a label, and as many that must not, for a threshold of its own."""

_LABELS_AS_QUICK = 10  # so many labels of an example take about as long as one class does


def choose_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The probability from which on each label is given, for the greatest F1.

    Where probabilities can be trusted, that is half of the greatest F1 that any threshold reaches; its estimate varies
    much less than the place of the maximum. So the half is taken wherever it does about as well on these examples
    (within one standard error), and the place of the maximum only where it does not.

    On 8 labels of news, with 200 examples to choose on, this gave a macro F1 of .817 on others (as did 0.5 for all
    labels), and the place of the maximum .807; with 1,100 both gave .829, and 0.5 gave .821.

    Args:
        labels: 0 and 1 (n, k) of the validation examples; n may be 0.
        probabilities: float (n, k).

    Returns:
        float64 (k,); :data:`DEFAULT_THRESHOLD` for a label that fewer than :data:`FEWEST_POSITIVES` examples have, or
        lack.

    Source: Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", ECML PKDD
    2014.
    """
    chosen = np.full(labels.shape[1], DEFAULT_THRESHOLD)
    for k, (truth, p) in enumerate(zip(labels.T, probabilities.T.astype(np.float64), strict=True)):
        positives = int(truth.sum())
        if min(positives, len(truth) - positives) < FEWEST_POSITIVES:
            continue
        order = np.argsort(-p, kind="stable")
        hits, given = np.cumsum(truth[order]), np.arange(1, len(p) + 1)
        f1 = 2 * hits / (given + positives)
        f1[:-1][np.diff(p[order]) == 0] = 0  # between equal probabilities there is no threshold
        greatest, at = f1.max(), int(f1.argmax())
        half = greatest / 2
        said = p >= half
        f1_of_half = 2 * int(truth[said].sum()) / (int(said.sum()) + positives)
        is_near = f1_of_half >= greatest - np.sqrt(greatest * (1 - greatest) / positives)
        chosen[k] = half if is_near else p[order[at : at + 2]].mean()
    return chosen


def resamples_of_labels(labels: np.ndarray) -> int:
    """How many resamples are drawn for labels (n, k): as for examples of one class that take about as long."""
    return resamples(labels.size // _LABELS_AS_QUICK)


def worst_labels(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The wrong answer about each example that the model was surest of.

    Returns:
        Number of the label, int (n,), or -1 where all answers are right; and how far its probability is from the truth,
        float (n,), 0 where all are right.
    """
    wrong = (probabilities >= thresholds) != (labels == 1)
    far = np.where(wrong, np.abs(probabilities - labels), 0)
    worst = far.argmax(1)
    return np.where(wrong.any(1), worst, -1), far[np.arange(len(far)), worst]


def evaluate_labels(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], thresholds: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Compute every metric of one split of multi-label data.

    Args:
        labels: 0 and 1 (n, k); n is at least 1.
        probabilities: float (n, k).
        classes: names of the k labels.
        thresholds: float (k,), from which probability on each is given.
        seed: of the bootstrap.

    Returns:
        ``examples``, ``resamples``; each of :data:`MULTI_LABEL_METRICS` as ``{value, low, high}``; ``per_class``
        precision, recall, F1 and average precision likewise with ``support`` and ``threshold``; ``answers``: how many
        labels were ``given``, how many there ``are``, how many of both are ``right``, and about how many examples every
        answer is right (``all_right``). Macro F1 and mean average precision are over the labels that at least one
        example has.
    """
    table = LabelTable(labels, probabilities, thresholds)
    n = len(labels)
    point = table.figures(np.ones(n))
    rng = np.random.default_rng(seed)
    count = resamples_of_labels(labels)
    drawn = [table.figures(np.bincount(rng.integers(n, size=n), minlength=n)) for _ in range(count)]
    spread = {name: np.stack([figures[name] for figures in drawn]) for name in point}
    support, given, right = labels.sum(0, dtype=int), table.given.sum(0), (table.given & (labels == 1)).sum(0)
    result: dict[str, Any] = {"examples": n, "resamples": count}
    for name in MULTI_LABEL_METRICS:
        of_how_many = {"log_loss": 0, "subset_accuracy": n}.get(name, int(support.sum()))
        value = float(point[name])
        result[name] = interval(value, spread[name], wilson(value, of_how_many) if of_how_many else None)
    result["per_class"] = {
        name: {
            "support": int(support[i]),
            "threshold": float(thresholds[i]),
            **{
                metric: interval(
                    float(point[metric][i]),
                    spread[metric][:, i],
                    wilson(float(point[metric][i]), int(given[i] if metric == "precision" else support[i])),
                )
                for metric in ("precision", "recall", "f1", "average_precision")
            },
        }
        for i, name in enumerate(classes)
    }
    result["answers"] = {
        "given": int(given.sum()),
        "are": int(support.sum()),
        "right": int(right.sum()),
        "all_right": int(table.all_right.sum()),
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
        self.given = probabilities >= thresholds
        self.all_right = (self.given == truth).all(1)
        self._sums = np.stack([self.given & truth, self.given, truth]).astype(np.float64)  # (3, n, k)
        self._losses = log_losses(labels, probabilities)
        self._order = np.argsort(-probabilities.T, axis=1, kind="stable")  # (k, n), the most probable first
        self._truth = np.take_along_axis(truth.T, self._order, 1)
        self._last = _last_of_equals(np.take_along_axis(probabilities.T, self._order, 1))

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric, float () or (k,), of examples that count as much as their weights, (n,), say."""
        hits, given, support = np.tensordot(weights, self._sums, (0, 1))
        total, there = weights.sum(), support > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(given > 0, hits / given, np.nan)
            recall = np.where(there, hits / support, np.nan)
            f1 = np.where(there, 2 * hits / (support + given), np.nan)
            micro = 2 * hits.sum() / (support.sum() + given.sum())
            average_precision = self._average_precision(weights, support)
        return {
            "micro_f1": np.asarray(micro),
            "macro_f1": np.asarray(f1[there].mean() if there.any() else np.nan),
            "mean_average_precision": np.asarray(average_precision[there].mean() if there.any() else np.nan),
            "subset_accuracy": np.asarray(weights @ self.all_right / total),
            "log_loss": np.asarray(weights @ self._losses / total),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "average_precision": average_precision,
        }

    def _average_precision(self, weights: np.ndarray, support: np.ndarray) -> np.ndarray:
        """Mean precision at the places of a label's own examples, from the most probable one down: (k,)."""
        drawn = weights.astype(np.float32)[self._order]
        mine = np.where(self._truth, drawn, 0)
        precision = mine.cumsum(1) / np.maximum(drawn.cumsum(1), 1)
        if self._last is not None:
            precision = np.take_along_axis(precision, self._last, 1)
        return np.where(support > 0, np.einsum("kn,kn->k", mine, precision, dtype=np.float64) / support, np.nan)


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
