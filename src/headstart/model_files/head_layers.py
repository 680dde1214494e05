"""The Dense layers of a head and what they compute: all that a model file needs to know of a head."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

Activation = Literal["softmax", "sigmoid"]
Layers = tuple[tuple[np.ndarray, np.ndarray], ...]
"""Kernel, float32 (inputs, outputs), and bias, float32 (outputs,), of each Dense layer."""


@dataclass(frozen=True)
class HeadLayers:
    """Dense layers with ReLU between them, and softmax or sigmoid at the end.

    Attributes:
        layers: kernel and bias of each.
        activation: turns the logits of the last layer into probabilities: ``sigmoid`` for multi-label data.
    """

    layers: Layers
    activation: Activation = "softmax"

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Probabilities, float32 (n, classes), for features (n, d)."""
        x = features
        for kernel, bias in self.layers[:-1]:
            x = np.maximum(x @ kernel + bias, 0)
        return activate(x @ self.layers[-1][0] + self.layers[-1][1], self.activation)


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


def save_layers(layers: Iterable[Sequence[np.ndarray]], path: Path) -> None:
    """Write kernel and bias of Dense layers as ``.npz``."""
    arrays: dict[str, Any] = {}
    for i, (kernel, bias) in enumerate(layers):
        arrays[f"kernel{i}"], arrays[f"bias{i}"] = kernel.astype(np.float32), bias.astype(np.float32)
    np.savez(path, **arrays)


def load_layers(path: Path) -> Layers:
    """The inverse of :func:`save_layers`."""
    with np.load(path) as saved:
        return tuple((saved[f"kernel{i}"], saved[f"bias{i}"]) for i in range(len(saved.files) // 2))
