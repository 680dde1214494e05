"""The Dense layers of a head and what they compute: all that a model file needs to know of a head."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.model_files.token_counts import TokenCounts
from headstart.tasks.outputs import Activation, activate

Layers = tuple[tuple[np.ndarray, np.ndarray], ...]
"""Kernel, float32 (inputs, outputs), and bias, float32 (outputs,), of each Dense layer."""


@dataclass(frozen=True)
class HeadLayers:
    """Dense layers with ReLU between them, and softmax or sigmoid at the end.

    Attributes:
        layers: kernel and bias of each.
        activation: turns the logits of the last layer into probabilities; the task of a run defines it.
        counts: adds logits from counts of tokens to these; None where only the features count.
    """

    layers: Layers
    activation: Activation = "softmax"
    counts: TokenCounts | None = None

    def __call__(self, features: np.ndarray, count_logits: np.ndarray | float = 0.0) -> np.ndarray:
        """Probabilities, float32 (n, classes).

        Args:
            features: float32 (n, d).
            count_logits: float32 (n, classes), from the counts of tokens of the same examples, if the head has these.
        """
        x = features
        for kernel, bias in self.layers[:-1]:
            x = np.maximum(x @ kernel + bias, 0)
        return activate(x @ self.layers[-1][0] + self.layers[-1][1] + count_logits, self.activation)


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
