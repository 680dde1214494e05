"""What the outputs of a head mean: one class of several (softmax), or yes or no for each of several labels (sigmoid).

Which of the two it is follows from the shape of the labels. What training computes differently is here, but for the
names of Keras's losses.
"""

from typing import Literal

import numpy as np

from headstart.data.labels import is_multi_label

Activation = Literal["softmax", "sigmoid"]

_SMALLEST = 1e-12  # a probability of 0 for what is true would make the log loss infinite
_SMALLEST_OF_ALL = 1e-30  # of a probability whose logarithm is a logit
_NEXT_TO_NONE = 1e-7  # float32 has few numbers between this and 1
_COLDEST, _HOTTEST = 1e-3, 1e3  # temperatures
_STEPS = 30


def activation_of(labels: np.ndarray) -> Activation:
    """What turns logits into the probabilities of such labels."""
    return "sigmoid" if is_multi_label(labels) else "softmax"


def activate(logits: np.ndarray, activation: Activation) -> np.ndarray:
    """Probabilities (n, classes) from logits of that shape."""
    return sigmoid(logits) if activation == "sigmoid" else softmax(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities that add up to 1 over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities, each for itself."""
    powers = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, powers) / (1 + powers)


def log_odds(probabilities: np.ndarray, place: int, activation: Activation) -> np.ndarray:
    """Log-odds of one class, float64 (n,), from the probabilities of all, float32 (n, classes).

    They still differ where a probability is 1 in float32, as long as those of the other classes do.
    """
    p = probabilities[:, place].astype(np.float64)
    if activation == "sigmoid":
        p = np.clip(p, _NEXT_TO_NONE, 1 - _NEXT_TO_NONE)
        return np.log(p / (1 - p))
    others = np.delete(probabilities, place, 1).sum(1, dtype=np.float64)
    return np.log(np.maximum(p, _SMALLEST)) - np.log(np.maximum(others, _SMALLEST))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss of several problems on the same examples, and its gradient.

    Args:
        logits: float (n, problems, classes).
        labels: int (n,), or 0 and 1 (n, classes).

    Returns:
        The cross-entropy (n, problems), over all labels added up, and its derivatives by the logits, in their shape.
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
        of_truth = np.where(labels == 1, probabilities, 1 - probabilities)
        return -np.log(np.maximum(of_truth.astype(np.float64), _SMALLEST)).mean(1)
    of_truth = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(of_truth, _SMALLEST)).astype(np.float64)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The number by which logits are to be divided so that their log loss is least.

    The log loss is convex in 1 / temperature; its slope is the mean logit under the model minus that of the truth.
    Where all answers are right it would be least at a temperature of 0. So, as in Platt's scaling, truth is a little
    less than certain: as if there were one more example for each class, which may be of any.

    Sources: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, arXiv 1706.04599;
    Platt, "Probabilistic outputs for support vector machines", 1999.

    Args:
        labels: int (n,).
        probabilities: float (n, classes) at temperature 1.
        weights: float (n,), of the examples; all alike when None.
    """
    logits = logits_of(probabilities)
    n, n_classes = logits.shape
    doubt = n_classes / (n + n_classes)
    of_truth = (1 - doubt) * logits[np.arange(n), labels] + doubt * logits.mean(1)
    low, high = np.log(1 / _HOTTEST), np.log(1 / _COLDEST)  # of the logarithm of 1 / temperature
    for _ in range(_STEPS):
        middle = (low + high) / 2
        slope = np.average((softmax(np.exp(middle) * logits) * logits).sum(1) - of_truth, weights=weights)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, classes) as they are when the logits are divided by a temperature."""
    return softmax(logits_of(probabilities) / temperature).astype(np.float32)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits (n, classes) that give these probabilities; all others that do differ by a constant in each row."""
    return np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST_OF_ALL))


def wrong(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """About which examples anything said is wrong, bool (n,): the class, or any label given from 0.5 on."""
    if is_multi_label(labels):
        return ((probabilities >= 0.5) != (labels == 1)).any(1)
    return probabilities.argmax(1) != labels


def weights_of_examples(labels: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
    """Weight of each example, float (n,); in multi-label data all count the same."""
    return np.ones(len(labels)) if is_multi_label(labels) else class_weights[labels]
