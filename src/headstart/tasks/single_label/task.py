"""The task of single-label data."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from headstart.config import ClassWeights
from headstart.tasks.answers import Cells, Decision, Mistake, Prediction, Scores, ranked_probabilities
from headstart.tasks.classification import ClassificationTask
from headstart.tasks.comparison import Comparison
from headstart.tasks.label_issues import find_single_label_issues
from headstart.tasks.labels import Label
from headstart.tasks.single_label.losses import cross_entropy, log_losses
from headstart.tasks.single_label.metrics import evaluate
from headstart.tasks.statistics import mcnemar, n_resamples, percentiles
from headstart.tasks.stratification import assign_single_labels
from headstart.tasks.task import Metric

_SMALLEST = 5e-7  # what a table writes as 0.000000 is at most this


class SingleLabel(ClassificationTask):
    """Each example is of exactly one class; labels are int (n,)."""

    name = "single-label"
    activation = "softmax"
    metrics = (
        Metric("accuracy", "Accuracy", "share of {noun}s that are predicted correctly", is_share=True),
        Metric("balanced_accuracy", "Balanced accuracy", "mean recall: every class has the same weight", is_share=True),
        Metric("macro_f1", "Macro F1", "mean F1: every class has the same weight"),
        Metric(
            "log_loss", "Log loss", "penalty for a low probability of the true class; 0 is best", higher_is_better=False
        ),
        Metric(
            "ece", "ECE", "expected calibration error: confidence against accuracy; 0 is best", higher_is_better=False
        ),
    )
    deciding_metric = "accuracy"
    split_figures = ("confusion_matrix", "reliability")
    imbalance_ratio = 3  # also the one from which classes are balanced by default
    has_learning_curve = True

    def matches(self, labels: Sequence[Label]) -> bool:
        """Whether all labels are single names."""
        return all(isinstance(label, str) for label in labels)

    def encode(self, labels: Sequence[Label], classes: Sequence[str]) -> np.ndarray:
        """Class numbers, int64 (n,)."""
        numbers = {name: number for number, name in enumerate(classes)}
        return np.array([numbers[label] for label in labels if isinstance(label, str)], np.int64)

    def names(self, label: Any, classes: Sequence[str]) -> list[str]:
        """The name of the class, in a list."""
        return [classes[int(label)]]

    def from_cell(self, cell: str) -> Label:
        """The name of the class."""
        return cell

    def members(self, labels: np.ndarray, number: int) -> np.ndarray:
        """Mask of the examples of a class."""
        return labels == number

    def counts(self, labels: np.ndarray, n_classes: int) -> np.ndarray:
        """Number of examples of each class."""
        return np.bincount(labels, minlength=n_classes)

    def strata(self, labels: np.ndarray) -> list[np.ndarray]:
        """One stratum for each class that occurs."""
        return [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def assign_groups(
        self, labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray
    ) -> np.ndarray:
        """See :func:`headstart.tasks.stratification.assign_single_labels`."""
        return assign_single_labels(labels, groups, fractions, order)

    def class_weights(self, labels: np.ndarray, n_classes: int, choice: ClassWeights) -> np.ndarray:
        """Inverse to the sizes of the classes if they are to be balanced."""
        sizes = self.counts(labels, n_classes)
        balanced = choice == "balanced" or (choice == "auto" and sizes.max() >= self.imbalance_ratio * sizes.min())
        return len(labels) / (n_classes * np.maximum(sizes, 1)) if balanced else np.ones(n_classes)

    def example_weights(self, labels: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
        """The weight of the class of each example."""
        return class_weights[labels]

    def cross_entropy(self, logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`headstart.tasks.single_label.losses.cross_entropy`."""
        return cross_entropy(logits, labels)

    def log_losses(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Log loss of each example."""
        return log_losses(labels, probabilities)

    def mistakes(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Mask of the examples whose most probable class is not theirs."""
        return probabilities.argmax(1) != labels

    def targets(self, labels: np.ndarray, n_classes: int) -> np.ndarray:
        """One-hot."""
        return np.eye(n_classes, dtype=np.float32)[labels]

    def keras_loss(self, label_smoothing: float) -> tuple[Any, list[str]]:
        """Categorical cross-entropy, and accuracy."""
        import keras

        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing), ["accuracy"]

    def contrastive_groups(self, labels: np.ndarray) -> np.ndarray:
        """The classes."""
        return labels

    def scores(self, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """The accuracy."""
        return {"accuracy": float(1 - self.mistakes(labels, probabilities).mean())}

    def evaluate(
        self,
        labels: np.ndarray,
        probabilities: np.ndarray,
        classes: Sequence[str],
        thresholds: np.ndarray | None,
        *,
        seed: int = 0,
    ) -> dict[str, Any]:
        """See :func:`headstart.tasks.single_label.metrics.evaluate`."""
        return evaluate(labels, probabilities, classes, seed=seed)

    def decide(self, probabilities: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        """The most probable class of each example."""
        return probabilities.argmax(1)

    def class_examples(self, labels: np.ndarray, number: int) -> np.ndarray:
        """Those of the class."""
        return self.members(labels, number)

    def confusions(self, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """The predicted class where it is wrong."""
        return np.where(predicted != labels, predicted, -1)

    def compare(self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> Comparison:
        """Accuracy by McNemar's exact test, log loss by the bootstrap of the paired differences."""
        n = len(labels)
        is_right = [~self.mistakes(labels, probabilities) for probabilities in (first, second)]
        losses = [self.log_losses(labels, probabilities) for probabilities in (first, second)]
        gain, loss_gain = is_right[1].astype(float) - is_right[0], losses[0] - losses[1]
        rng = np.random.default_rng(seed)
        resampled_indices = np.stack([rng.integers(n, size=n) for _ in range(n_resamples(n))])
        fixed, regressed = int((gain > 0).sum()), int((gain < 0).sum())
        return Comparison(
            examples=n,
            metric=self.deciding_metric,
            value=(float(is_right[0].mean()), float(is_right[1].mean())),
            value_gain=percentiles(gain[resampled_indices].mean(1)),
            log_loss=(float(losses[0].mean()), float(losses[1].mean())),
            loss_gain=percentiles(loss_gain[resampled_indices].mean(1)),
            fixed=fixed,
            regressed=regressed,
            p_value=mcnemar(fixed, regressed),
        )

    def worst_mistakes(
        self, labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The predicted class where it is wrong, and its probability."""
        predicted = probabilities.argmax(1)
        return np.where(predicted != labels, predicted, -1), probabilities.max(1)

    def find_label_issues(
        self, labels: np.ndarray, probabilities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """See :mod:`headstart.tasks.label_issues`."""
        positions, suggested = find_single_label_issues(labels, probabilities)
        return positions, suggested, probabilities[positions, suggested], probabilities[positions, labels[positions]]

    def table_columns(self, classes: Sequence[str]) -> list[str]:
        """The probabilities of the predicted class and of the true one."""
        return ["probability", "label_probability"]

    def table(
        self, labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | None, classes: Sequence[str]
    ) -> list[Iterable[str]]:
        """Both probabilities, with six decimals."""
        rows = np.arange(len(labels))
        columns = probabilities.max(1), probabilities[rows, labels]
        return [[f"{probability:.6f}" for probability in column] for column in columns]

    def read_row(self, cells: Cells, labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Scores:
        """The two classes that the table tells of.

        Rounding could make both probabilities equal: that of the predicted class is then larger by the least step.
        """
        (label,), (answer,) = labels, predicted
        probability, of_label = cells.probability("probability"), cells.probability("label_probability")
        if answer == label:
            return Scores({label: probability}, probability, None)
        scores = {label: max(of_label, _SMALLEST), answer: float(np.nextafter(probability, 1))}
        return Scores(scores, probability, Mistake(answer, probability, probability, of_label))

    def answer(self, name: str, probabilities: np.ndarray, decision: Decision, top_k: int | None) -> Prediction:
        """The most probable class."""
        order, ranked = ranked_probabilities(probabilities, decision.classes, top_k)
        confidence = float(probabilities[order[0]])
        unsure = confidence < decision.min_confidence
        predicted = decision.classes[order[0]]
        return Prediction(name, predicted, confidence, ranked, unsure, decision.out_of_distribution)

    def describe(self, figures: Mapping[str, Any], n_classes: int, examples: str) -> str:
        """The accuracy, and of how many classes."""
        return f"accuracy {self.metrics[0].format(figures['accuracy'])} on {examples} of {n_classes} classes"
