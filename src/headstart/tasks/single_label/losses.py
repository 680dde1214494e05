"""The cross-entropy of one class of several, for training and evaluation."""

import numpy as np

from headstart.tasks.outputs import MIN_PROBABILITY


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss of several problems on the same examples, and its gradient.

    Args:
        logits: float (n, problems, classes).
        labels: int (n,).

    Returns:
        The cross-entropy (n, problems), and its derivatives by the logits, in their shape.
    """
    log_p = logits - logits.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    rows = np.arange(len(labels))
    losses = -log_p[rows, :, labels]
    gradient = np.exp(log_p)
    gradient[rows, :, labels] -= 1.0
    return losses, gradient


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log loss of each example, float64 (n,)."""
    of_truth = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(of_truth, MIN_PROBABILITY)).astype(np.float64)
