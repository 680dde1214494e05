"""The answers of a model about examples with known labels, and the figures that follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.examples import Example
from headstart.data.modalities import Modality
from headstart.runs.records import decode
from headstart.runs.schema import PER_CLASS, Figures, IntervalMethod, LeakFree, SplitFigures
from headstart.tasks import Task
from headstart.tasks.statistics import LEVEL, METHOD

_SPLIT_FIELDS = ("examples", "resamples", "confusion_matrix", "reliability", "label_counts")
_CLASS_FIELDS = ("support", "precision", "recall", "f1", "threshold", "average_precision")


@dataclass(frozen=True)
class Answers:
    """Labels and outputs of evaluated examples: one row of ``predictions.csv`` each.

    Attributes:
        splits: str (n,).
        files: n names.
        labels: encoded by the task.
        outputs: of the model, (n, …) as the task takes them, such as probabilities, float32 (n, classes).
        digests: content digest of each file.
        task: kind of the labels.
        examples: n of them.
        modality: of the examples.
        thresholds: float (classes,), the probability from which each class is predicted; None for the most probable.
    """

    splits: np.ndarray
    files: Sequence[str]
    labels: np.ndarray
    outputs: np.ndarray
    digests: Sequence[bytes]
    task: Task
    examples: Sequence[Example]
    modality: Modality
    thresholds: np.ndarray | None = None

    def metrics(self, where: np.ndarray, classes: Sequence[str], *, seed: int) -> SplitFigures:
        """Every metric of some of them, chosen by a mask; see :meth:`headstart.tasks.Task.evaluate`."""
        labels, outputs = self.labels[where], self.outputs[where]
        figures = self.task.evaluate(labels, outputs, classes, self.thresholds, seed=seed)
        return _split_figures(figures, [metric.name for metric in self.task.metrics])

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
    """Figures as a task gives them; those that only this task knows go to ``details``."""
    split_fields = {name: plain.get(name) for name in _SPLIT_FIELDS}
    details = {name: value for name, value in plain.items() if name not in {*split_fields, *metrics, PER_CLASS}}
    classes, of_classes = {}, {}
    for name, figures in plain[PER_CLASS].items():
        classes[name] = {field: figures.get(field) for field in _CLASS_FIELDS}
        of_classes[name] = {field: value for field, value in figures.items() if field not in _CLASS_FIELDS}
    if any(of_classes.values()):
        details[PER_CLASS] = of_classes
    return decode(
        SplitFigures,
        {
            **split_fields,
            "metrics": {name: plain[name] for name in metrics},
            PER_CLASS: classes,
            "details": details,
        },
    )
