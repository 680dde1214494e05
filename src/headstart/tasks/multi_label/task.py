"""The task of multi-label data."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from headstart.config import ClassWeights
from headstart.errors import InputError, field_name
from headstart.tasks.answers import Cells, Decision, Mistake, MultiLabelPrediction, Scores, ranked_probabilities
from headstart.tasks.classification import ClassificationTask
from headstart.tasks.comparison import Comparison
from headstart.tasks.label_issues import find_label_set_issues
from headstart.tasks.labels import SEPARATOR, Label
from headstart.tasks.multi_label.losses import cross_entropy, log_losses
from headstart.tasks.multi_label.metrics import LabelTable, evaluate, n_label_resamples
from headstart.tasks.multi_label.thresholds import DEFAULT_THRESHOLD, MIN_POSITIVES, choose_thresholds
from headstart.tasks.statistics import percentiles
from headstart.tasks.stratification import assign_label_sets
from headstart.tasks.task import Metric
from headstart.tasks.wording import Wording

_MAX_NAMES = 10  # of labels in one remark


class MultiLabel(ClassificationTask):
    """Each example has any number of labels; labels are 0 and 1, uint8 (n, classes)."""

    name = "multi-label"
    activation = "sigmoid"
    metrics = (
        Metric("micro_f1", "Micro F1", "F1 of all labels together: frequent labels have more weight"),
        Metric("macro_f1", "Macro F1", "mean F1: every label has the same weight"),
        Metric("mean_average_precision", "Mean average precision", "of the labels, independent of thresholds"),
        Metric("subset_accuracy", "Subset accuracy", "share of {noun}s with exactly the right labels", is_share=True),
        Metric("log_loss", "Log loss", "penalty for a low probability of the truth; 0 is best", higher_is_better=False),
    )
    deciding_metric = "mean_average_precision"
    wording = Wording(
        class_noun="label",
        class_plural="labels",
        labels_of_example="any number of labels for each example",
        among="with any of",
        membership="have the label",
        cell_form=f"one of the classes or several separated by {SEPARATOR!r}",
        correction_form=f"all correct labels, separated by “{SEPARATOR}”,",
        columns_advice=(
            f"name several columns of 0 and 1 ({field_name('label_column', 'a,b,c')}) or a column of lists, or set "
            f"{field_name('label_separator')}"
        ),
        explained="the first label",
        issue_counts="labels of {count} of {examined}",
        no_issues="No label of {examined}",
        examined="{noun}",
        class_figures=(
            "A label is predicted if its probability reaches its threshold. Thresholds maximise F1 on the validation "
            "{noun}s; labels with too few of them keep 0.5. AP, the average precision, summarises all thresholds."
        ),
    )
    split_figures = ("label_counts",)
    class_figures = ("threshold", "average_precision")
    class_metrics = (Metric("average_precision", "AP", "average precision, which summarises all thresholds"),)
    label_settings = ("label_column", "label_separator")
    cell_settings = MappingProxyType({"label_separator": SEPARATOR})
    allows_no_class = True
    allows_new_classes = False
    predicts_most_probable = False
    no_confidence_reason = "Every label has its own threshold."
    has_label_probability = False
    relabel_control = "tick several"
    openvino_info = MappingProxyType({"model_type": "Classification", "multilabel": "True"})

    def matches(self, labels: Sequence[Label]) -> bool:
        """Whether all labels are lists."""
        return all(isinstance(label, list) for label in labels)

    def encode(self, labels: Sequence[Label], classes: Sequence[str]) -> np.ndarray:
        """0 and 1, uint8 (n, classes); names that are none of the classes are left out."""
        numbers = {name: number for number, name in enumerate(classes)}
        matrix = np.zeros((len(labels), len(classes)), np.uint8)
        for row, names in zip(matrix, labels, strict=True):
            row[[numbers[name] for name in names if name in numbers]] = 1
        return matrix

    def names(self, label: Any, classes: Sequence[str]) -> list[str]:
        """The names of the labels; may be empty."""
        return [classes[number] for number in np.flatnonzero(label).tolist()]

    def from_cell(self, cell: str) -> Label:
        """The names of the labels."""
        return cell.split(SEPARATOR) if cell else []

    def members(self, labels: np.ndarray, number: int) -> np.ndarray:
        """Mask of the examples with a label."""
        return labels[:, number] == 1

    def counts(self, labels: np.ndarray, n_classes: int) -> np.ndarray:
        """Number of examples with each label."""
        return labels.sum(0, dtype=np.int64)

    def strata(self, labels: np.ndarray) -> list[np.ndarray]:
        """One stratum for each label, and one for examples without any."""
        return [np.flatnonzero(is_member) for is_member in (*labels.T, ~labels.any(1))]

    def assign_groups(
        self, labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray
    ) -> np.ndarray:
        """See :func:`headstart.tasks.stratification.assign_label_sets`."""
        return assign_label_sets(labels, groups, fractions, order)

    def label_fault(self, names: Iterable[str]) -> str | None:
        """A name with ``;`` in it could not be told from two names in the tables of a run."""
        name = next((name for name in names if SEPARATOR in name), None)
        if name is None:
            return None
        return (
            f"has the label {name!r}, and {SEPARATOR!r} separates labels in the tables of a run. Rename the label, or "
            f"set {field_name('label_separator', SEPARATOR)} if these are several."
        )

    def class_weights(self, labels: np.ndarray, n_classes: int, choice: ClassWeights) -> np.ndarray:
        """All 1: every label has its own threshold instead."""
        if choice == "balanced":
            raise InputError(
                "balanced is for single-label data; in multi-label data every label has its own threshold instead. "
                f"Leave out {field_name('class_weights')}.",
                field="class_weights",
            )
        return np.ones(n_classes)

    def example_weights(self, labels: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
        """All 1."""
        return np.ones(len(labels))

    def cross_entropy(self, logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`headstart.tasks.multi_label.losses.cross_entropy`."""
        return cross_entropy(logits, labels)

    def log_losses(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Mean log loss over the labels of each example."""
        return log_losses(labels, probabilities)

    def mistakes(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Mask of the examples with a wrong label at a threshold of 0.5."""
        return ((probabilities >= DEFAULT_THRESHOLD) != (labels == 1)).any(1)

    def targets(self, labels: np.ndarray, n_classes: int) -> np.ndarray:
        """The labels themselves."""
        return labels.astype(np.float32)

    def keras_loss(self, label_smoothing: float) -> tuple[Any, list[str]]:
        """Binary cross-entropy; without smoothing, because rare labels must be able to have small probabilities."""
        import keras

        return keras.losses.BinaryCrossentropy(from_logits=True), []

    def evaluate(
        self,
        labels: np.ndarray,
        probabilities: np.ndarray,
        classes: Sequence[str],
        thresholds: np.ndarray | None,
        *,
        seed: int = 0,
    ) -> dict[str, Any]:
        """See :func:`headstart.tasks.multi_label.metrics.evaluate`."""
        return evaluate(labels, probabilities, classes, _thresholds_or_default(thresholds, len(classes)), seed=seed)

    def choose_thresholds(self, labels: np.ndarray, probabilities: np.ndarray, n_classes: int) -> np.ndarray:
        """See :func:`headstart.tasks.multi_label.thresholds.choose_thresholds`."""
        return choose_thresholds(labels, probabilities)

    def decide(self, probabilities: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        """The labels whose probability reaches their threshold."""
        return (probabilities >= _thresholds_or_default(thresholds, probabilities.shape[1])).astype(np.uint8)

    def class_examples(self, labels: np.ndarray, number: int) -> np.ndarray:
        """All of them: a label may also be wrong on an example without it."""
        return np.ones(len(labels), bool)

    def compare(self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> Comparison:
        """Mean average precision, which needs no thresholds, and log loss, by the bootstrap of paired differences."""
        n, thresholds = len(labels), np.full(labels.shape[1], DEFAULT_THRESHOLD)
        tables = [LabelTable(labels, probabilities, thresholds) for probabilities in (first, second)]
        names = (self.deciding_metric, "log_loss")

        def figures(weights: np.ndarray) -> np.ndarray:
            of_both = [table.figures(weights) for table in tables]
            return np.array([[float(of_one[name]) for of_one in of_both] for name in names])

        rng = np.random.default_rng(seed)
        resamples = range(n_label_resamples(labels))
        resampled_figures = np.stack([figures(np.bincount(rng.integers(n, size=n), minlength=n)) for _ in resamples])
        values, losses = figures(np.ones(n)).tolist()
        return Comparison(
            examples=n,
            metric=self.deciding_metric,
            value=(values[0], values[1]),
            value_gain=percentiles(resampled_figures[:, 0, 1] - resampled_figures[:, 0, 0]),
            log_loss=(losses[0], losses[1]),
            loss_gain=percentiles(resampled_figures[:, 1, 0] - resampled_figures[:, 1, 1]),
        )

    def worst_mistakes(
        self, labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The wrong label that is farthest from the truth, and how far it is; 0 where all labels are right."""
        is_wrong = self.decide(probabilities, thresholds) != labels
        distance = np.where(is_wrong, np.abs(probabilities - labels), 0)
        worst = distance.argmax(1)
        return np.where(is_wrong.any(1), worst, -1), distance[np.arange(len(distance)), worst]

    def find_label_issues(
        self, labels: np.ndarray, probabilities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """See :mod:`headstart.tasks.label_issues`."""
        positions, suggested, of_label = find_label_set_issues(labels, probabilities)
        return positions, suggested, 1 - of_label, of_label

    def table_columns(self, classes: Sequence[str]) -> list[str]:
        """The label of the worst mistake, and the probability of every label."""
        return ["worst", *map(_probability_column, classes)]

    def table(
        self, labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | None, classes: Sequence[str]
    ) -> list[Iterable[str]]:
        """Its name, empty where nothing is wrong; and the probabilities with six decimals."""
        worst, _ = self.worst_mistakes(labels, probabilities, thresholds)
        return [
            [classes[number] if number >= 0 else "" for number in worst],
            *([f"{probability:.6f}" for probability in column] for column in probabilities.T),
        ]

    def read_row(self, cells: Cells, labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Scores:
        """All labels."""
        probabilities = {name: cells.probability(_probability_column(name)) for name in classes}
        worst = cells.one_of("worst", ["", *classes])
        if not worst:
            return Scores(probabilities, None, None)
        probability = probabilities[worst]
        confidence = probability if worst in predicted else 1 - probability
        return Scores(probabilities, None, Mistake(worst, probability, confidence, None))

    def answer(
        self, name: str, probabilities: np.ndarray, decision: Decision, top_k: int | None
    ) -> MultiLabelPrediction:
        """Every label whose probability reaches its threshold."""
        order, ranked = ranked_probabilities(probabilities, decision.classes, top_k)
        is_predicted = self.decide(probabilities[np.newaxis], decision.thresholds)[0]
        predicted = [decision.classes[number] for number in order if is_predicted[number]]
        return MultiLabelPrediction(name, predicted, ranked, decision.out_of_distribution)

    def describe(self, figures: Mapping[str, Any], n_classes: int, examples: str) -> str:
        """Both F1."""
        micro, macro = (metric.format(figures[metric.name]) for metric in self.metrics[:2])
        return f"micro F1 {micro}, macro F1 {macro}, on {examples}"

    def class_remark(self, figures: Mapping[str, Any]) -> str:
        """The threshold of the label."""
        return f"threshold {figures['threshold']:.3f}"

    def remarks(self, classes: Sequence[str], thresholds: Mapping[str, float] | None) -> list[str]:
        """Which labels have the default threshold, and why."""
        default = [name for name, threshold in (thresholds or {}).items() if threshold == DEFAULT_THRESHOLD]
        if not default:
            return []
        names = ", ".join(default[:_MAX_NAMES]) + (", …" if len(default) > _MAX_NAMES else "")
        return [
            f"threshold {DEFAULT_THRESHOLD}: {'all labels' if len(default) == len(classes) else names}; a threshold of "
            f"its own needs {MIN_POSITIVES} validation examples with the label and as many without"
        ]


def _probability_column(name: str) -> str:
    return f"p_{name}"


def _thresholds_or_default(thresholds: np.ndarray | None, n_classes: int) -> np.ndarray:
    return np.full(n_classes, DEFAULT_THRESHOLD) if thresholds is None else thresholds
