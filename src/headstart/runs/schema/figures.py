"""What stands in ``metrics.json``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from headstart.runs.records import FieldError, Record, decode
from headstart.runs.schema.detection import DetectionDetails
from headstart.runs.schema.format import FORMAT_VERSION
from headstart.runs.schema.intervals import Interval
from headstart.tasks import Task

PER_CLASS = "per_class"

Triple = tuple[float, float, float]
"""A value with its 95 % interval: (value, low, high)."""


class ClassFigures(Record):
    """One class, or one label of multi-label data.

    Attributes:
        support: examples of it, or objects.
        precision: of the predictions; also ``recall`` and ``f1``.
        threshold: probability or score from which it is predicted; None where each example has one class.
        average_precision: of the label, or of the objects of the class; None where each example has one class.
    """

    support: int
    precision: Interval
    recall: Interval
    f1: Interval
    threshold: float | None = None
    average_precision: Interval | None = None


class ReliabilityBin(Record):
    """Answers whose confidence lies between two bounds.

    Attributes:
        low: lower bound of the confidence; ``high``: upper bound.
        count: how many answers.
        confidence: their mean; None where there are no answers.
        accuracy: share of correct predictions; None in an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


class LabelCounts(Record):
    """Counts over all labels of all examples.

    Attributes:
        predicted: labels that the model predicted.
        true: labels that the examples have.
        correct: labels that are both.
        all_correct: examples with exactly the right labels.
    """

    predicted: int
    true: int
    correct: int
    all_correct: int


class SplitFigures(Record):
    """The figures of one split.

    Attributes:
        examples: how many there are.
        resamples: how many the intervals are made of.
        metrics: metric -> its value and interval.
        per_class: class -> its figures.
        confusion_matrix: counts, rows are true classes; None for multi-label data.
        reliability: confidence against accuracy, by bins.
        label_counts: counts of labels; None where each example has one class.
        details: other figures of the task, which its sections of the report show; those of classes as ``per_class``.
    """

    examples: int
    resamples: int
    metrics: dict[str, Interval]
    per_class: dict[str, ClassFigures]
    confusion_matrix: list[list[int]] | None = None
    reliability: list[ReliabilityBin] | None = None
    label_counts: LabelCounts | None = None
    details: dict[str, Any]

    def of_task(self) -> dict[str, Any]:
        """The figures as :meth:`headstart.tasks.Task.evaluate` gives them."""
        plain = self.to_json()
        details = plain.pop("details")
        for name, figures in details.pop(PER_CLASS, {}).items():
            plain[PER_CLASS][name] |= figures
        return {**plain, **plain.pop("metrics"), **details}


class IntervalMethod(Record):
    """How the intervals were computed.

    Attributes:
        level: .95 for 95 % intervals.
        method: in words.
        resamples: of the headline split.
    """

    level: float
    method: str
    resamples: int


class LeakFree(Record):
    """The figures without examples that are, exactly or nearly, among those that were trained on.

    Attributes:
        examples: how many are left.
        removed: how many were removed.
        metrics: of the rest; None where nothing is left.
    """

    examples: int
    removed: int
    metrics: SplitFigures | None


class Figures(Record):
    """``metrics.json``.

    Attributes:
        format_version: of the file that this was read from.
        headline: the split whose figures count; None in an adopted run, which has none.
        metrics: names of the metrics, the most important first.
        interval: how their intervals were computed.
        splits: split -> its figures.
        leak_free: without examples that were trained on; None where there are none of these.
    """

    format_version: Literal[1, 2, 3, 4, 5] = FORMAT_VERSION
    headline: str | None
    metrics: list[str]
    interval: IntervalMethod | None
    splits: dict[str, SplitFigures]
    leak_free: LeakFree | None

    @property
    def headline_figures(self) -> SplitFigures | None:
        """The figures that count; None in an adopted run."""
        return None if self.headline is None else self.splits[self.headline]

    def faults(self, classes: list[str], task: Task) -> Iterator[FieldError]:
        """Fields that contradict each other or the run.

        Args:
            classes: of the run.
            task: of the run.
        """
        if self.headline is not None and self.headline not in self.splits:
            yield FieldError("headline", f'there are no figures of a split "{self.headline}" in splits')
        places = [(f"splits.{name}", split) for name, split in self.splits.items()]
        if self.leak_free and self.leak_free.metrics:
            places.append(("leak_free.metrics", self.leak_free.metrics))
        for place, split in places:
            for name in self.metrics:
                if name not in split.metrics:
                    yield FieldError(f"{place}.metrics.{name}", "missing")
            if list(split.per_class) != classes:
                yield FieldError(f"{place}.per_class", "these are not the classes of the run")
            if task.has_boxes:
                _check_detection(split.details, f"{place}.details", classes)
            plain = split.of_task()
            yield from _missing(plain, place, task.split_figures)
            for name, figures in plain[PER_CLASS].items():
                yield from _missing(figures, f"{place}.{PER_CLASS}.{name}", task.class_figures)
            matrix = split.confusion_matrix
            if matrix is not None and [len(row) for row in matrix] != [len(classes)] * len(classes):
                yield FieldError(f"{place}.confusion_matrix", f"expected {len(classes)} rows of {len(classes)} counts")


def _check_detection(details: Mapping[str, Any], place: str, classes: Sequence[str]) -> None:
    """Check the details of a detector, which reports use.

    Raises:
        FieldError: one is missing, or of another kind.
    """
    figures = decode(DetectionDetails, details, place)
    if {*figures.per_class} != {*classes}:
        raise FieldError(f"{place}.{PER_CLASS}", "these are not the classes of the run")


def _missing(figures: Mapping[str, Any], place: str, names: Sequence[str]) -> Iterator[FieldError]:
    for name in names:
        if figures.get(name) is None:
            yield FieldError(f"{place}.{name}", "expected a value for labels of this kind, got null")
