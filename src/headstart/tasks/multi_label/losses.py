"""The binary cross-entropy of any number of labels, for training and evaluation."""

import numpy as np

from headstart.tasks.outputs import MIN_PROBABILITY, sigmoid


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss of several problems on the same examples, and its gradient.

    Args:
        logits: float (n, problems, classes).
        labels: 0 and 1 (n, classes).

    Returns:
        The cross-entropy summed over the labels, (n, problems), and its derivatives by the logits, in their shape.
    """
    truth = labels[:, np.newaxis, :]
    losses = np.maximum(logits, 0) - logits * truth + np.log1p(np.exp(-np.abs(logits)))
    return losses.sum(-1), sigmoid(logits) - truth


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log loss of each example, float64 (n,): the mean over its labels."""
    of_truth = np.where(labels == 1, probabilities, 1 - probabilities)
    return -np.log(np.maximum(of_truth.astype(np.float64), MIN_PROBABILITY)).mean(1)
