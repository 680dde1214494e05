"""The head: what is trained on the features. Linear (solved) or a few Dense layers (trained by Keras)."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.audit import IMBALANCE
from headstart.features.extraction import FeatureSet
from headstart.settings import cache_folder
from headstart.training import dense
from headstart.training.linear import BLOCK_ROWS, solve
from headstart.training.task import ClassWeights, Recipe, Task

HEAD_VERSION = 1
"""Part of every cache key: raise it when the same features and labels would give another head."""


@dataclass(frozen=True)
class Head:
    """Dense layers: ReLU between them, softmax at the end.

    Attributes:
        layers: (kernel float32 (in, out), bias float32 (out,)) of each.
        class_weights: weight of one example of each class in training; None where all count the same.
        strength: of the regularisation, for a solved head.
        history: rows for ``history.csv``.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    class_weights: tuple[float, ...] | None = None
    strength: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Probabilities, float32 (n, classes), for features (n, d)."""
        x = features
        for kernel, bias in self.layers[:-1]:
            x = np.maximum(x @ kernel + bias, 0)
        return softmax(x @ self.layers[-1][0] + self.layers[-1][1])

    def over(self, features: FeatureSet, indices: np.ndarray) -> np.ndarray:
        """Probabilities of the examples at ``indices``, computed in blocks."""
        blocks = [self(features.rows(block)) for block in _blocks(indices)]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.layers[-1][1])), np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) from logits of that shape."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def fit_head(task: Task, recipe: Recipe, cache: Path | None = None) -> Head:
    """Train a head on cached features, or take it from the cache if just this was trained before.

    Args:
        task: the examples to train on.
        recipe: the kind of head.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: the features are not finite.
        UnavailableError: an mlp is asked for and no Keras backend that can train is installed.
    """
    path = (cache or cache_folder()) / "heads" / f"{_key(task, recipe)}.npz"
    if path.exists():
        return _read(path)
    weights = weights_of_classes(task.labels[task.train], task.n_classes, recipe.class_weights)
    head = _fit_dense(task, recipe, weights) if recipe.kind == "mlp" else _solve_linear(task, recipe, weights)
    if np.ptp(weights):
        head = replace(head, class_weights=tuple(weights.tolist()))
    _write(head, path)
    return head


def _fit_dense(task: Task, recipe: Recipe, class_weights: np.ndarray) -> Head:
    layers, history = dense.fit(task, recipe, class_weights)
    return Head(layers, history=history)


def _solve_linear(task: Task, recipe: Recipe, class_weights: np.ndarray) -> Head:
    solved = solve(
        task.features.rows, task.train, task.labels[task.train], task.n_classes,
        units=task.units[task.train], class_weights=class_weights, seed=recipe.seed,
    )  # fmt: skip
    rows = [
        {
            "phase": "cross-validation",
            "strength": step["strength"],
            "val_loss": step["log_loss"],
            "val_accuracy": step["accuracy"],
        }
        for step in solved.path
    ]
    return Head(((solved.kernel, solved.bias),), strength=solved.strength, history=rows)


def _key(task: Task, recipe: Recipe) -> str:
    material = hashlib.sha256(f"{HEAD_VERSION} {task.features.key} {recipe} {task.n_classes}".encode())
    for indices in (task.train, task.val):
        material.update(b"".join(task.features.digests[i] or b"" for i in indices.tolist()))
        material.update(np.stack([task.labels[indices], task.units[indices]]).astype("<i8").tobytes())
    return material.hexdigest()[:32]


def _write(head: Head, path: Path) -> None:
    arrays: dict[str, Any] = {"about": np.array(json.dumps([head.class_weights, head.strength, head.history]))}
    for i, (kernel, bias) in enumerate(head.layers):
        arrays[f"kernel{i}"], arrays[f"bias{i}"] = kernel, bias
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}-{os.getpid()}.partial.npz")
    np.savez(partial, **arrays)
    os.replace(partial, path)


def _read(path: Path) -> Head:
    with np.load(path) as saved:
        class_weights, strength, history = json.loads(str(saved["about"]))
        layers = tuple((saved[f"kernel{i}"], saved[f"bias{i}"]) for i in range(len(saved.files) // 2))
    return Head(layers, tuple(class_weights) if class_weights else None, strength, history)


def weights_of_classes(labels: np.ndarray, n_classes: int, choice: ClassWeights) -> np.ndarray:
    """Weight of one example of each class, float (classes,), with mean 1 over the examples."""
    counts = np.bincount(labels, minlength=n_classes)
    balanced = choice == "balanced" or (choice == "auto" and counts.max() >= IMBALANCE * counts.min())
    if not balanced:
        return np.ones(n_classes)
    return len(labels) / (n_classes * np.maximum(counts, 1))


def _blocks(indices: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), BLOCK_ROWS):
        yield indices[start : start + BLOCK_ROWS]
