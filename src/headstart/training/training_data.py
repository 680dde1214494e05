"""What a head is trained on, and how."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.features.extraction import FeatureSet

Layers = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class TrainingData:
    """The features and labels of examples, and the split.

    Attributes:
        features: of all examples.
        labels: int (n,) of all examples; for multi-label data 0 and 1 (n, n_classes).
        n_classes: number of classes.
        train: int (m,), the examples to train on.
        val: int (k,), those that decide when to stop, and whether fine-tuning helps; a linear head cross-validates on
            ``train`` instead.
        groups: int (n,); examples of one group stay in one split and in one fold.
        test: int (l,), held out: they decide nothing.
    """

    features: FeatureSet
    labels: np.ndarray
    n_classes: int
    train: np.ndarray
    val: np.ndarray
    groups: np.ndarray
    test: np.ndarray = field(default_factory=lambda: np.empty(0, int))


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
