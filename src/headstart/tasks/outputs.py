"""From the logits of a head to probabilities, and back."""

from typing import Literal

import numpy as np

Activation = Literal["softmax", "sigmoid"]

MIN_PROBABILITY = 1e-12
"""Least probability in a log loss, which a probability of 0 for the true class would make infinite."""

_MIN_FOR_LOGIT = 1e-30  # the smallest probability whose logarithm is used as a logit
_ODDS_MARGIN = 1e-7  # float32 has few numbers between 1 minus this and 1
_MIN_TEMPERATURE = 1e-3
_MAX_TEMPERATURE = 20.0  # a higher one makes probabilities equal in float32, and rounding chooses the class
_STEPS = 30


def activate(logits: np.ndarray, activation: Activation) -> np.ndarray:
    """Probabilities (n, classes) from logits of that shape."""
    return sigmoid(logits) if activation == "sigmoid" else softmax(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities that add up to 1 over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """A probability for each logit by itself."""
    powers = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, powers) / (1 + powers)


def log_odds(probabilities: np.ndarray, class_index: int, activation: Activation) -> np.ndarray:
    """Log-odds of one class, float64 (n,), from the probabilities of all classes, float32 (n, classes).

    They are computed from the probabilities of the other classes, so they differ even where the class has 1 in float32.
    """
    p = probabilities[:, class_index].astype(np.float64)
    if activation == "sigmoid":
        p = np.clip(p, _ODDS_MARGIN, 1 - _ODDS_MARGIN)
        return np.log(p / (1 - p))
    other_probability = np.delete(probabilities, class_index, 1).sum(1, dtype=np.float64)
    return np.log(np.maximum(p, MIN_PROBABILITY)) - np.log(np.maximum(other_probability, MIN_PROBABILITY))


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
