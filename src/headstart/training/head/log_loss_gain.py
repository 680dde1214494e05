"""By how much one head is better than another in cross-validation: what chooses between features, and adds counts."""

from typing import NamedTuple

import numpy as np

from headstart.config import HeadConfig
from headstart.training.training_data import TrainingData


class LogLossGain(NamedTuple):
    """A second head against a first one, each training example predicted without its fold.

    Attributes:
        value: by how much the log loss is lower with the second, the mean over the training examples.
        standard_error: of the value.
    """

    value: float
    standard_error: float

    @property
    def is_clear(self) -> bool:
        """Whether it is larger than one standard error: the simpler model is kept otherwise.

        Source: Breiman, Friedman, Olshen and Stone, "Classification and regression trees", 1984, section 3.4.3.
        """
        return self.value > self.standard_error

    def describe(self, first: str) -> str:
        """In words, where ``first`` names the first head."""
        return (
            f"in cross-validation the log loss is {abs(self.value):.3f} {'lower' if self.value > 0 else 'higher'} than "
            f"{first} (standard error {self.standard_error:.3f})"
        )


def log_loss_gain(data: TrainingData, config: HeadConfig, first: np.ndarray, second: np.ndarray) -> LogLossGain:
    """Compare two heads by their out-of-fold probabilities of the training examples, float (n, classes)."""
    labels, weights = data.labels[data.train], example_weights(data, config)
    losses = [data.task.log_losses(labels, probabilities) for probabilities in (first, second)]
    differences = (losses[0] - losses[1]) * weights / weights.mean()
    return LogLossGain(float(differences.mean()), float(differences.std() / np.sqrt(len(differences))))


def example_weights(data: TrainingData, config: HeadConfig) -> np.ndarray:
    """The weights of the training examples, float (n,)."""
    labels = data.labels[data.train]
    return data.task.example_weights(labels, data.task.class_weights(labels, data.n_classes, config.class_weights))
