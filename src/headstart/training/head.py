"""The head: what is trained on the features. Linear (solved) or a few Dense layers (trained by Keras)."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headstart.data.audit import IMBALANCE
from headstart.errors import InputError
from headstart.features.extraction import FeatureSet
from headstart.features.store import cache_folder
from headstart.training import dense
from headstart.training.linear import BLOCK_ROWS, solve

HEAD_VERSION = 1
"""Part of every cache key: raise it when the same features and labels would give another head."""

HeadKind = Literal["auto", "linear", "mlp"]
ClassWeights = Literal["auto", "balanced", "none"]


@dataclass(frozen=True)
class Recipe:
    """How to train a head.

    Args:
        head: ``auto`` is ``mlp`` when hidden layers are asked for, else ``linear``.
        dense: sizes of the hidden layers of an mlp.
        dropout: rate before each layer of an mlp.
        epochs: at most, of an mlp; training stops early when the validation loss stops falling.
        class_weights: ``balanced`` makes every class count the same, ``auto`` does so when the largest class has at
            least three times the examples of the smallest.
        seed: of everything random.
    """

    head: HeadKind = "auto"
    dense: tuple[int, ...] = ()
    dropout: float = 0.2
    epochs: int = 100
    class_weights: ClassWeights = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.head == "linear" and self.dense:
            raise InputError("a linear head has no hidden layers: drop --dense, or use --head mlp.")
        if any(size < 1 for size in self.dense):
            raise InputError(
                f"--dense {','.join(map(str, self.dense))}: expected sizes of at least 1, such as 256,128."
            )
        if not 0 <= self.dropout < 1:
            raise InputError(f"--dropout {self.dropout:g}: expected a rate from 0 up to, but not including, 1.")
        if self.epochs < 1:
            raise InputError(f"--epochs {self.epochs}: expected at least 1.")

    @property
    def kind(self) -> Literal["linear", "mlp"]:
        """The kind of head that this recipe gives."""
        return "mlp" if self.head == "mlp" or self.dense else "linear"

    @property
    def units(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return (self.dense or (256,)) if self.kind == "mlp" else ()


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
        logits = x @ self.layers[-1][0] + self.layers[-1][1]
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def over(self, features: FeatureSet, indices: np.ndarray) -> np.ndarray:
        """Probabilities of the examples at ``indices``, computed in blocks."""
        blocks = [self(features.rows(block)) for block in _blocks(indices)]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.layers[-1][1])), np.float32)


def fit_head(
    features: FeatureSet,
    labels: np.ndarray,
    n_classes: int,
    *,
    train: np.ndarray,
    val: np.ndarray,
    units: np.ndarray,
    recipe: Recipe,
    cache: Path | None = None,
) -> Head:
    """Train a head on cached features, or take it from the cache if just this was trained before.

    Args:
        features: of all examples.
        labels: int (n,) of all examples.
        n_classes: number of classes.
        train: int (m,), the examples to train on.
        val: int (k,), those that tell an mlp when to stop; a linear head cross-validates on ``train`` instead.
        units: int (n,); examples of one unit stay on one side of every division.
        recipe: the kind of head.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: the features are not finite.
        UnavailableError: an mlp is asked for and no Keras backend that can train is installed.
    """
    weights = weights_of_classes(labels[train], n_classes, recipe.class_weights)
    material = hashlib.sha256(f"{HEAD_VERSION} {features.key} {recipe} {n_classes}".encode())
    for indices in (train, val):
        material.update(b"".join(features.digests[i] or b"" for i in indices.tolist()))
        material.update(np.stack([labels[indices], units[indices]]).astype("<i8").tobytes())
    path = (cache or cache_folder()) / "heads" / f"{material.hexdigest()[:32]}.npz"
    if path.exists():
        return _read(path)
    head = _fit(features, labels, n_classes, train, val, units, weights, recipe)
    if np.ptp(weights):
        head = replace(head, class_weights=tuple(weights.tolist()))
    _write(head, path)
    return head


def _fit(
    features: FeatureSet,
    labels: np.ndarray,
    n_classes: int,
    train: np.ndarray,
    val: np.ndarray,
    units: np.ndarray,
    class_weights: np.ndarray,
    recipe: Recipe,
) -> Head:
    if recipe.kind == "mlp":
        layers, history = dense.fit(
            features, labels, n_classes, train=train, val=val, units=units, class_weights=class_weights,
            hidden=recipe.units, dropout=recipe.dropout, epochs=recipe.epochs, seed=recipe.seed,
        )  # fmt: skip
        return Head(layers, history=history)
    solved = solve(
        features.rows, train, labels[train], n_classes,
        units=units[train], class_weights=class_weights, seed=recipe.seed,
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
