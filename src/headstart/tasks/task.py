"""What is predicted: the interface of a task, which owns everything that depends on the kind of label.

The rest of headstart handles labels only through a task: as arrays whose first axis are the examples. So it does with
*outputs*, what a model gives for each example: probabilities, or an object array of detections. A task is stateless;
the thresholds that it chooses for one run (:meth:`Task.choose_thresholds`) are passed in again.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from headstart.tasks.answers import Answer, Cells, Decision, Frame, Scores
from headstart.tasks.comparison import Comparison
from headstart.tasks.labels import SEPARATOR, Label
from headstart.tasks.wording import Wording


@dataclass(frozen=True)
class Metric:
    """One figure of a task.

    Attributes:
        name: key in ``metrics.json``.
        title: in reports and on the terminal.
        meaning: what it says, in a few words; ``{noun}`` stands for what an example is called.
        is_share: whether it is written in percent.
        higher_is_better: whether the better of two models has the higher value.
    """

    name: str
    title: str
    meaning: str
    is_share: bool = False
    higher_is_better: bool = True

    @property
    def in_text(self) -> str:
        """The title within a sentence."""
        return self.title if self.title[1:2].isupper() else self.title[:1].lower() + self.title[1:]

    def rank(self, value: float | None) -> float:
        """A number that is higher for a better value; lowest for one that is not defined."""
        return -math.inf if value is None else value if self.higher_is_better else -value

    def format_value(self, value: float | None) -> str:
        """A value for people: in percent, or with three decimals."""
        if value is None:
            return "undefined"
        return f"{value:.1%}" if self.is_share else f"{value:.3f}"

    def format(self, figure: Mapping[str, float | None]) -> str:
        """A figure with its interval, for people."""
        value, low, high = (figure[name] for name in ("value", "low", "high"))
        if value is None or low is None:
            return self.format_value(value)
        return f"{self.format_value(value)} (95 % interval {self.format_value(low)} to {self.format_value(high)})"


class Curve(NamedTuple):
    """A curve in a report, both of whose axes go from 0 to 1.

    Attributes:
        title: of the curve.
        axes: what lies across, and upwards.
        points: (across, upwards) of each point, from left to right.
        mark: the point that is used; None if none is.
    """

    title: str
    axes: tuple[str, str]
    points: Sequence[tuple[float, float]]
    mark: tuple[float, float] | None = None


@dataclass(frozen=True)
class ReportSection:
    """A section that a task adds to the report of a run: a table under a title, and curves.

    Attributes:
        title: of the section.
        text: a sentence or two above the table; may be empty.
        header: of the columns; may be empty, where there is no table.
        rows: of the table.
        curves: below the table.
    """

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    curves: Sequence[Curve] = ()


class Region(NamedTuple):
    """A region of an image that a report marks.

    Attributes:
        kind: of the mistake there, such as ``ghost``; empty where the answer is right.
        meaning: what this kind is; empty where the answer is right.
        text: beside the region.
        box: (x1, y1, x2, y2) in pixels of the upright image.
        true_box: where it should be, if that is another place; None if it is the same, or nowhere.
        rank: higher for a worse mistake among those of its kind.
        is_predicted: whether it was predicted; False for what was missed.
        score: of what was predicted, from 0 to 1; None where it has none.
    """

    kind: str
    meaning: str
    text: str
    box: tuple[float, float, float, float]
    true_box: tuple[float, float, float, float] | None = None
    rank: float = 0.0
    is_predicted: bool = True
    score: float | None = None


class Task(ABC):
    """A kind of label, and what follows from it.

    Attributes:
        name: recorded in runs, and the value of the setting ``task``.
        metrics: the figures of a run, the most important one first.
        deciding_metric: name of the figure that decides between two models.
        wording: the words for such labels.
        split_figures: what :meth:`Task.evaluate` always gives of a split, beside the metrics.
        class_figures: what it always gives of a class, beside ``support``, precision, recall and F1.
        class_metrics: those of ``class_figures`` that have a column of their own in reports; each has an interval.
        label_settings: settings that say where a table has the labels. Data for evaluation share them with the data of
            the training, because labels of this kind are not recognised without them.
        cell_settings: settings that read labels from cells as :meth:`Task.to_cell` writes them.
        has_boxes: whether a label is the :class:`headstart.tasks.detection.Boxes` of an image.
        default_threshold: the probability or score from which a class is predicted, where no threshold was chosen.
        min_classes: fewest classes that can be trained on.
        min_train: fewest training examples of each class; with 0, a class without any is named and not learned.
        needs_absence: whether a class is learned from examples without it, too.
        allows_no_class: whether an example may have no class at all.
        allows_new_classes: whether classes can be added to a run, because no old example can be of a new one.
        imbalance_ratio: ratio of the largest to the smallest class from which an audit warns; None where their sizes
            do not mislead.
        predicts_most_probable: whether the answer is always the most probable class; otherwise a list of probabilities
            marks what is predicted.
        no_confidence_reason: why an answer has no single confidence, which can be calibrated and compared with a
            threshold; empty if it has one.
        has_label_probability: whether one probability tells how well the given label of an example fits.
        trains_on: what a head is trained on: vectors of features, or the feature maps of the base.
        needs_frames: whether answers say where something is in an image, so that :meth:`read_values` needs frames.
        relabel_control: how a person corrects the label of an example on the page: chooses one class, ticks several, or
            accepts what is suggested as a whole.
        openvino_info: what OpenVINO's Model API needs to know about an exported model.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    deciding_metric: ClassVar[str]
    wording: ClassVar[Wording] = Wording()
    split_figures: ClassVar[tuple[str, ...]] = ()
    class_figures: ClassVar[tuple[str, ...]] = ()
    class_metrics: ClassVar[tuple[Metric, ...]] = ()
    label_settings: ClassVar[tuple[str, ...]] = ()
    cell_settings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    has_boxes: ClassVar[bool] = False
    default_threshold: ClassVar[float] = 0.5
    min_classes: ClassVar[int] = 2
    min_train: ClassVar[int] = 2
    needs_absence: ClassVar[bool] = True
    allows_no_class: ClassVar[bool] = False
    allows_new_classes: ClassVar[bool] = True
    imbalance_ratio: ClassVar[float | None] = None
    predicts_most_probable: ClassVar[bool] = True
    no_confidence_reason: ClassVar[str] = ""
    has_label_probability: ClassVar[bool] = True
    trains_on: ClassVar[Literal["features", "maps"]] = "features"
    needs_frames: ClassVar[bool] = False
    relabel_control: ClassVar[Literal["choose one", "tick several", "accept"]] = "choose one"
    openvino_info: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def metric(self, name: str) -> Metric:
        """One of ``metrics`` by its name."""
        return next(metric for metric in self.metrics if metric.name == name)

    @property
    def deciding(self) -> Metric:
        """The metric that decides between two models."""
        return self.metric(self.deciding_metric)

    # ---- labels

    @abstractmethod
    def matches(self, labels: Sequence[Label]) -> bool:
        """Whether labels, as read from data, are of this kind."""

    @abstractmethod
    def encode(self, labels: Sequence[Label], classes: Sequence[str]) -> np.ndarray:
        """Labels as numbers, an array (n, …); names that are none of the classes are left out or refused."""

    @abstractmethod
    def names(self, label: Any, classes: Sequence[str]) -> list[str]:
        """Class names of one encoded example."""

    def to_cell(self, label: Any, classes: Sequence[str]) -> str:
        """One encoded example as it stands in the tables of a run."""
        return self.cell_of(self.names(label, classes))

    def cell_of(self, names: Iterable[str]) -> str:
        """The class names of an example as they stand in one cell."""
        return SEPARATOR.join(names)

    @abstractmethod
    def from_cell(self, cell: str) -> Label:
        """The inverse of :meth:`to_cell`, as a label that :meth:`encode` takes.

        Raises:
            ValueError: the cell is not of the form that :meth:`to_cell` gives.
        """

    def corrected(self, old: Any, label: Label, classes: Sequence[str]) -> Any:
        """The encoded label of one example after a correction.

        Args:
            old: the encoded label before.
            label: as the correction has it.
            classes: class names.
        """
        return self.encode([label], classes)[0]

    def differs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether two labels of each example differ: bool (n,)."""
        return (first != second).reshape(len(first), -1).any(1)

    def to_json(self, label: Any, classes: Sequence[str]) -> Any:
        """One encoded example as plain data for JSON."""
        return self.from_cell(self.to_cell(label, classes))

    def from_json(self, value: Any) -> Label:
        """The inverse of :meth:`to_json`, as a label that :meth:`encode` takes."""
        label: Label = value
        return label

    def is_usable(self, label: Label, classes: Collection[str]) -> bool:
        """Whether an example with this label can be used if only some classes are."""
        return not isinstance(label, str) or label in classes

    @abstractmethod
    def members(self, labels: np.ndarray, number: int) -> np.ndarray:
        """Mask of the examples of a class, or that have it among their labels: bool (n,)."""

    def counts(self, labels: np.ndarray, n_classes: int) -> np.ndarray:
        """Number of examples of each class: int (n_classes,)."""
        return np.array([np.count_nonzero(self.members(labels, number)) for number in range(n_classes)], np.int64)

    def class_counts(self, labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
        """Class name -> number of examples, for all classes in order."""
        return dict(zip(classes, self.counts(labels, len(classes)).tolist(), strict=True))

    @abstractmethod
    def strata(self, labels: np.ndarray) -> list[np.ndarray]:
        """Positions of the examples of each stratum, which a stratified sample draws from."""

    @abstractmethod
    def assign_groups(
        self, labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray
    ) -> np.ndarray:
        """The split or fold of each example, int (n,), so that each has about its fraction of every class.

        Args:
            labels: encoded, of n examples.
            groups: int (n,); examples of one group go to the same split.
            fractions: float (splits,), adding up to 1.
            order: int (groups,), the rank in which groups are assigned.
        """

    def label_fault(self, names: Iterable[str]) -> str | None:
        """Why class names cannot be used; None if they can."""
        return None

    # ---- outputs

    @abstractmethod
    def read_values(
        self, values: np.ndarray, n_classes: int, frames: Sequence[Frame | None]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What the values that a finished model gives mean.

        Args:
            values: float32 (n, …), as the engine gives them.
            n_classes: number of classes.
            frames: of the n examples; None where :attr:`needs_frames` is False.

        Returns:
            The outputs of the examples; and their features, float32 (n, d), if the engine gives them as well.
        """

    @abstractmethod
    def model_values(self, values: np.ndarray, n_classes: int) -> np.ndarray:
        """Those values that golden samples compare, and that exported models give: (n, …), between 0 and 1."""

    @abstractmethod
    def stack_outputs(self, outputs: Sequence[Any], n_classes: int) -> np.ndarray:
        """The outputs of some examples as one array; there may be none."""

    # ---- evaluation

    @abstractmethod
    def evaluate(
        self,
        labels: np.ndarray,
        outputs: np.ndarray,
        classes: Sequence[str],
        thresholds: np.ndarray | None,
        *,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Compute every figure of one split.

        Returns:
            ``examples``, ``resamples``, each of ``metrics`` as ``{value, low, high}``, ``per_class`` with ``support``,
            ``precision``, ``recall`` and ``f1`` in this form, and other figures that :meth:`report_sections` shows.
        """

    def choose_thresholds(self, labels: np.ndarray, outputs: np.ndarray, n_classes: int) -> np.ndarray | None:
        """The probability or score from which each class is predicted, float (classes,), from validation examples.

        None means that the most probable class is predicted.
        """
        return None

    @abstractmethod
    def decide(self, outputs: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        """The predicted labels, encoded as :meth:`encode` does."""

    def changes(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Whether what is predicted for each example is something else after a change of the model: bool (n,)."""
        return self.differs(before, after)

    @abstractmethod
    def class_examples(self, labels: np.ndarray, number: int) -> np.ndarray:
        """Mask of the examples on which two models are compared for a class, bool (n,)."""

    def confusions(self, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Number of the class that is predicted in place of the true one, int (n,); -1 where no class is.

        Args:
            labels: encoded, of n examples.
            predicted: as :meth:`decide` gives them.
        """
        return np.full(len(labels), -1)

    @abstractmethod
    def compare(self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> Comparison:
        """Compare two models by their outputs for the same examples."""

    @abstractmethod
    def worst_mistakes(
        self, labels: np.ndarray, outputs: np.ndarray, thresholds: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The wrong answer about each example that the model was surest of.

        Returns:
            Number of the class, int (n,), -1 where nothing is wrong; and the confidence in it, float (n,).
        """

    @abstractmethod
    def find_label_issues(
        self, labels: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Labels that look wrong.

        Args:
            labels: encoded, of n examples.
            outputs: for each example by a model that was trained without it.

        Returns:
            Positions of the examples, int (k,); the labels that they more likely have, encoded; the probability that
            the given label is wrong; and the probability that it is right, both float (k,).
        """

    @property
    def has_confidence(self) -> bool:
        """Whether an answer has one confidence, which can be calibrated and compared with a threshold."""
        return not self.no_confidence_reason

    # ---- answers and tables

    @abstractmethod
    def table_columns(self, classes: Sequence[str]) -> list[str]:
        """Names of the columns that ``predictions.csv`` has for this task, beside those of every task."""

    @abstractmethod
    def table(
        self, labels: np.ndarray, outputs: np.ndarray, thresholds: np.ndarray | None, classes: Sequence[str]
    ) -> list[Iterable[str]]:
        """The cells of :meth:`table_columns`, n of each."""

    @abstractmethod
    def read_row(self, cells: Cells, labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Scores:
        """What the columns of :meth:`table_columns` say about one example.

        Args:
            cells: of the row.
            labels: its class names.
            predicted: names of the predicted classes.
            classes: of the run.
        """

    @abstractmethod
    def outputs_of_table(
        self, scores: Sequence[Scores], predicted_cells: Sequence[str], classes: Sequence[str]
    ) -> np.ndarray:
        """The outputs of a model as far as a table tells, which is enough to decide again.

        Args:
            scores: of n examples, as :meth:`read_row` gives them.
            predicted_cells: what is predicted for each, as :meth:`to_cell` writes it.
            classes: of the run.
        """

    def told_by_table(self, outputs: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        """Outputs with as much in them as those of :meth:`outputs_of_table`, to compare both."""
        return outputs

    @abstractmethod
    def answer(self, name: str, output: Any, decision: Decision, top_k: int | None) -> Answer:
        """The answer about one example from what a model gives for it, one of the outputs."""

    # ---- what people see

    def describe(self, figures: Mapping[str, Any], n_classes: int, examples: str) -> str:
        """The most important figures of a split, for the terminal.

        Args:
            figures: from :meth:`evaluate`.
            n_classes: number of classes.
            examples: how many examples there are, in words.
        """
        metric = self.metrics[0]
        return f"{metric.title} {metric.format(figures[metric.name])} on {examples}"

    def remarks(self, classes: Sequence[str], thresholds: Mapping[str, float] | None) -> list[str]:
        """What the terminal says beside the figures."""
        return []

    def class_remark(self, figures: Mapping[str, Any]) -> str:
        """What the report says below the name of a class, from the figures of the class; may be empty."""
        return ""

    def regions(
        self, label_cell: str, predicted_cell: str, classes: Sequence[str], below_cell: str = ""
    ) -> list[Region]:
        """What is marked in an image: where answers are right and where they are wrong.

        Args:
            label_cell: the labels of the image, as :meth:`to_cell` writes them.
            predicted_cell: what is predicted for it, in the same way.
            classes: class names.
            below_cell: what was found below the thresholds, which is marked as if it were predicted.
        """
        return []

    def report_sections(self, figures: Mapping[str, Any], classes: Sequence[str]) -> list[ReportSection]:
        """Sections that are added to the report, from the figures of the split that counts."""
        return []
