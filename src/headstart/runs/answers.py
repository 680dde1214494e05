"""What a model says of examples whose labels are known, and the figures that follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation import METRICS, MULTI_LABEL_METRICS, evaluate, evaluate_labels, worst_labels
from headstart.evaluation.metrics import LEVEL, METHOD
from headstart.runs.records import decode
from headstart.runs.schema import Figures, IntervalMethod, LeakFree, SplitFigures


@dataclass(frozen=True)
class Answers:
    """Labels and probabilities of evaluated examples: one row of ``predictions.csv`` each.

    Attributes:
        splits: str (n,).
        files: n names.
        labels: int (n,); for multi-label data 0 and 1 (n, classes).
        probabilities: float32 (n, classes).
        digests: content digest of each file.
        texts: n texts; None for images.
        thresholds: float (classes,), from which probability on a label is given; None where each has one class.
    """

    splits: np.ndarray
    files: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray
    digests: Sequence[bytes]
    texts: Sequence[str] | None = None
    thresholds: np.ndarray | None = None

    def metrics(self, where: np.ndarray, classes: Sequence[str], *, seed: int) -> SplitFigures:
        """Every metric of some of them, chosen by a mask; see :mod:`headstart.evaluation`."""
        labels, probabilities = self.labels[where], self.probabilities[where]
        if self.thresholds is None:
            return _split_figures(evaluate(labels, probabilities, classes, seed=seed), METRICS)
        of_labels = evaluate_labels(labels, probabilities, classes, self.thresholds, seed=seed)
        return _split_figures(of_labels, MULTI_LABEL_METRICS)

    def leak_free(self, leaked: np.ndarray, where: np.ndarray, classes: Sequence[str], *, seed: int) -> LeakFree | None:
        """Every metric without the examples that are, exactly or nearly, among those that were trained on.

        Args:
            leaked: bool (n,), those examples.
            where: bool (n,), what is evaluated.
            classes: class names.
            seed: of the resampling.

        Returns:
            How many are left and were removed, and the metrics, None where nothing is left; None if nothing is leaked.
        """
        if not (leaked & where).any():
            return None
        new = where & ~leaked
        metrics = self.metrics(new, classes, seed=seed) if new.any() else None
        return LeakFree(examples=int(new.sum()), removed=int((leaked & where).sum()), metrics=metrics)

    def mistakes(self) -> tuple[np.ndarray, np.ndarray]:
        """The wrong answer about each example that the model was surest of.

        Returns:
            Number of the class, int (n,), -1 where nothing is wrong; and how sure the model was, float (n,).
        """
        if self.thresholds is not None:
            return worst_labels(self.labels, self.probabilities, self.thresholds)
        said = self.probabilities.argmax(1)
        return np.where(said != self.labels, said, -1), self.probabilities.max(1)


def figures_of(splits: Mapping[str, SplitFigures], headline: str, leak_free: LeakFree | None = None) -> Figures:
    """The content of ``metrics.json`` from the figures of each split, and what :meth:`Answers.leak_free` gave."""
    first = splits[headline]
    return Figures(
        headline=headline,
        metrics=list(first.metrics),
        interval=IntervalMethod(level=LEVEL, method=METHOD, resamples=first.resamples),
        splits=dict(splits),
        leak_free=leak_free,
    )


def _split_figures(plain: Mapping[str, Any], metrics: Sequence[str]) -> SplitFigures:
    absent_of_class = dict.fromkeys(("threshold", "average_precision"))
    return decode(
        SplitFigures,
        {
            **dict.fromkeys(("confusion_matrix", "reliability", "answers")),
            **{name: value for name, value in plain.items() if name not in metrics},
            "metrics": {name: plain[name] for name in metrics},
            "per_class": {name: {**absent_of_class, **of_class} for name, of_class in plain["per_class"].items()},
        },
    )
