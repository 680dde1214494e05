"""Outputs of a head: probabilities of classes that exclude each other (softmax), or of each label (sigmoid).

The shape of the labels decides which of the two. Everything that training computes differently for them is here, except
the names of Keras's losses.
"""

import numpy as np

from headstart.data.labels import is_multi_label
from headstart.model_files.head_layers import Activation, sigmoid, softmax

_MIN_PROBABILITY = 1e-12  # a probability of 0 for the true class would make the log loss infinite
_MIN_FOR_LOGIT = 1e-30  # the smallest probability whose logarithm is used as a logit
_ODDS_MARGIN = 1e-7  # float32 has few numbers between 1 minus this and 1
_MIN_TEMPERATURE, _MAX_TEMPERATURE = 1e-3, 1e3
_STEPS = 30


def activation_of(labels: np.ndarray) -> Activation:
    """The activation whose outputs are probabilities of such labels."""
    return "sigmoid" if is_multi_label(labels) else "softmax"


def log_odds(probabilities: np.ndarray, class_index: int, activation: Activation) -> np.ndarray:
    """Log-odds of one class, float64 (n,), from the probabilities of all classes, float32 (n, classes).

    They are computed from the probabilities of the other classes, so they differ even where the class has 1 in float32.
    """
    p = probabilities[:, class_index].astype(np.float64)
    if activation == "sigmoid":
        p = np.clip(p, _ODDS_MARGIN, 1 - _ODDS_MARGIN)
        return np.log(p / (1 - p))
    others = np.delete(probabilities, class_index, 1).sum(1, dtype=np.float64)
    return np.log(np.maximum(p, _MIN_PROBABILITY)) - np.log(np.maximum(others, _MIN_PROBABILITY))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of several heads on the same examples, and its gradient.

    Args:
        logits: float (n, heads, classes).
        labels: int (n,), or 0 and 1 (n, classes).

    Returns:
        The cross-entropy (n, heads), of multi-label data the sum over the labels; and its derivatives by the logits,
        in their shape.
    """
    if is_multi_label(labels):
        truth = labels[:, np.newaxis, :]
        losses = np.maximum(logits, 0) - logits * truth + np.log1p(np.exp(-np.abs(logits)))
        return losses.sum(-1), sigmoid(logits) - truth
    log_p = logits - logits.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    rows = np.arange(len(labels))
    losses = -log_p[rows, :, labels]
    gradient = np.exp(log_p)
    gradient[rows, :, labels] -= 1.0
    return losses, gradient


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log loss of each example, float64 (n,); of multi-label data the mean over the labels."""
    if is_multi_label(labels):
        true_p = np.where(labels == 1, probabilities, 1 - probabilities)
        return -np.log(np.maximum(true_p.astype(np.float64), _MIN_PROBABILITY)).mean(1)
    true_p = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(true_p, _MIN_PROBABILITY)).astype(np.float64)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The temperature: the number that logits are divided by to get the lowest log loss.

    The log loss is convex in 1 / temperature; its slope is the mean logit under the model minus that of the true class.
    Where all predictions are right it would be lowest at a temperature of 0. So, as in Platt's scaling, the targets are
    smoothed: as if there were one more example for each class, with the same probability for every class.

    Args:
        labels: int (n,).
        probabilities: float (n, classes) at temperature 1.
        weights: float (n,), of the examples; None where all count the same.

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, arXiv 1706.04599;
    Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    logits = logits_of(probabilities)
    n, n_classes = logits.shape
    smoothing = n_classes / (n + n_classes)
    target_logits = (1 - smoothing) * logits[np.arange(n), labels] + smoothing * logits.mean(1)
    low, high = np.log(1 / _MAX_TEMPERATURE), np.log(1 / _MIN_TEMPERATURE)  # of the logarithm of 1 / temperature
    for _ in range(_STEPS):
        middle = (low + high) / 2
        slope = np.average((softmax(np.exp(middle) * logits) * logits).sum(1) - target_logits, weights=weights)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, classes) whose logits are those of ``probabilities`` divided by a temperature."""
    return softmax(logits_of(probabilities) / temperature).astype(np.float32)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits (n, classes) with these probabilities; they are defined up to a constant in each row."""
    return np.log(np.maximum(probabilities.astype(np.float64), _MIN_FOR_LOGIT))


def wrong(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Which examples are predicted wrongly, bool (n,): in their class, or in any label at a threshold of 0.5."""
    if is_multi_label(labels):
        return ((probabilities >= 0.5) != (labels == 1)).any(1)
    return probabilities.argmax(1) != labels


def weights_of_examples(labels: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
    """Weight of each example, float (n,); in multi-label data all count the same."""
    return np.ones(len(labels)) if is_multi_label(labels) else class_weights[labels]
