"""The interface of tasks whose heads are trained on feature vectors: each example has a probability for every class."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from headstart.config import ClassWeights
from headstart.errors import InputError
from headstart.tasks.answers import Frame, Scores
from headstart.tasks.outputs import Activation
from headstart.tasks.task import Task


class ClassificationTask(Task):
    """A task whose outputs are probabilities, float (n, classes), of a head on feature vectors.

    Attributes:
        activation: turns the logits of a head into probabilities.
        has_learning_curve: whether the share of right answers tells how much further examples would help; labels are
            int (n,) then.
    """

    activation: ClassVar[Activation]
    has_learning_curve: ClassVar[bool] = False
    openvino_info: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"model_type": "Classification", "multilabel": "False"}
    )

    def read_values(
        self, values: np.ndarray, n_classes: int, frames: Sequence[Frame | None]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities (n, classes), and behind them the features."""
        probabilities, features = np.split(values, [n_classes], axis=1)
        return probabilities, features if features.shape[1] else None

    def model_values(self, values: np.ndarray, n_classes: int) -> np.ndarray:
        """The probabilities."""
        return values[:, :n_classes]

    def stack_outputs(self, outputs: Sequence[Any], n_classes: int) -> np.ndarray:
        """Float32 (n, classes)."""
        return np.stack(outputs) if len(outputs) else np.empty((0, n_classes), np.float32)

    @abstractmethod
    def class_weights(self, labels: np.ndarray, n_classes: int, choice: ClassWeights) -> np.ndarray:
        """Weight of an example of each class in training, float (n_classes,), with mean 1 over the examples.

        Raises:
            InputError: the choice is not possible.
        """

    @abstractmethod
    def example_weights(self, labels: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
        """Weight of each example in training, float (n,)."""

    @abstractmethod
    def cross_entropy(self, logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss of several problems on the same examples, and its gradient.

        Args:
            logits: float (n, problems, classes).
            labels: encoded, of n examples.

        Returns:
            The loss (n, problems), and its derivatives by the logits, in their shape.
        """

    @abstractmethod
    def log_losses(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Log loss of each example, float64 (n,), from probabilities (n, classes)."""

    @abstractmethod
    def mistakes(self, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Mask of the examples with a wrong answer, bool (n,), before thresholds are chosen."""

    @abstractmethod
    def targets(self, labels: np.ndarray, n_classes: int) -> np.ndarray:
        """Labels as the loss of Keras takes them: float32 (n, classes)."""

    @abstractmethod
    def keras_loss(self, label_smoothing: float) -> tuple[Any, list[str]]:
        """A Keras loss on logits and :meth:`targets`, and names of Keras metrics. In a Keras process."""

    def contrastive_groups(self, labels: np.ndarray) -> np.ndarray | None:
        """Number of the group of each example, int (n,), for contrastive fine-tuning, which draws groups together.

        None means that labels of this kind form no such groups.
        """
        return None

    def scores(self, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Figures that training reports beside the loss, as columns of ``history.csv`` without ``val_``."""
        return {}

    def outputs_of_table(
        self, scores: Sequence[Scores], predicted_cells: Sequence[str], classes: Sequence[str]
    ) -> np.ndarray:
        """Probabilities, float64 (n, classes); 0 for classes that the table does not tell of."""
        numbers = {name: number for number, name in enumerate(classes)}
        probabilities = np.zeros((len(scores), len(classes)))
        for row, of_example in zip(probabilities, scores, strict=True):
            for name, probability in of_example.probabilities.items():
                row[numbers[name]] = probability
        return probabilities


def classification_task(task: Task) -> ClassificationTask:
    """A task as one whose heads are trained on feature vectors.

    Raises:
        InputError: it is another.
    """
    if not isinstance(task, ClassificationTask):
        raise InputError(
            "expected data with one class or any number of labels for each example, got "
            f"{task.wording.labels_of_example} ({task.name}).",
            field="task",
        )
    return task
