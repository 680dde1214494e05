"""What a model says of examples whose labels are known, and the figures that follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation import METRICS, MULTI_LABEL_METRICS, evaluate, evaluate_labels, worst_labels
from headstart.evaluation.metrics import LEVEL, METHOD


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

    def metrics(self, where: np.ndarray, classes: Sequence[str], *, seed: int) -> dict[str, Any]:
        """Every metric of some of them, chosen by a mask; see :mod:`headstart.evaluation`."""
        labels, probabilities = self.labels[where], self.probabilities[where]
        if self.thresholds is None:
            return evaluate(labels, probabilities, classes, seed=seed)
        return evaluate_labels(labels, probabilities, classes, self.thresholds, seed=seed)

    def leak_free(
        self, leaked: np.ndarray, where: np.ndarray, classes: Sequence[str], *, seed: int
    ) -> dict[str, Any] | None:
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
        return {"examples": int(new.sum()), "removed": int((leaked & where).sum()), "metrics": metrics}

    def mistakes(self) -> tuple[np.ndarray, np.ndarray]:
        """The wrong answer about each example that the model was surest of.

        Returns:
            Number of the class, int (n,), -1 where nothing is wrong; and how sure the model was, float (n,).
        """
        if self.thresholds is not None:
            return worst_labels(self.labels, self.probabilities, self.thresholds)
        said = self.probabilities.argmax(1)
        return np.where(said != self.labels, said, -1), self.probabilities.max(1)


def figures(splits: Mapping[str, Any], headline: str, leak_free: dict[str, Any] | None = None) -> dict[str, Any]:
    """The content of ``metrics.json`` from the metrics of each split, and what :meth:`Answers.leak_free` gave."""
    first = splits[headline]
    return {
        "headline": headline,
        "metrics": list(METRICS if "accuracy" in first else MULTI_LABEL_METRICS),
        "interval": {"level": LEVEL, "method": METHOD, "resamples": first["resamples"]},
        "splits": dict(splits),
        "leak_free": leak_free,
    }
