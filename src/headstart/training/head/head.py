"""The head: the classifier on the features. Linear (solved), or a few Dense layers (trained in NumPy)."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.config import HeadConfig
from headstart.features.extraction import FeatureSet
from headstart.model_files.head_layers import HeadLayers, Layers
from headstart.system.checksums import checked_folder, is_intact
from headstart.system.settings import cache_folder
from headstart.training.head import dense
from headstart.training.head.linear import Curve, in_blocks, solve
from headstart.training.training_data import TrainingData

HEAD_VERSION = 7
"""Part of every cache key: raise it when the same features and labels would give another head."""

_FILE = "head.npz"


@dataclass(frozen=True)
class Head(HeadLayers):
    """A trained head.

    Attributes:
        class_weights: weight of one example of each class in training; None where all count the same.
        l2: the regularisation of a solved head; None for others.
        history: rows for ``history.csv``.
        out_of_fold: float32 (n, classes), of a solved head: probabilities of each training example by a head that was
            solved without it.
        curve: of a solved head, its accuracy with fewer training examples.
        count_logits: float32 (n, classes), what the counts of tokens add to the logits of each example of the data set;
            None where only the features count.
    """

    class_weights: tuple[float, ...] | None = None
    l2: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    out_of_fold: np.ndarray | None = None
    curve: Curve | None = None
    count_logits: np.ndarray | None = None

    def with_layers(self, layers: Layers) -> "Head":
        """The same kind of head with other layers, without counts and cross-validation, which do not hold then."""
        return replace(self, layers=layers, counts=None, count_logits=None, out_of_fold=None, curve=None)

    def at_temperature(self, temperature: float) -> "Head":
        """The head whose logits are those of this one divided by a temperature; see Guo et al., arXiv 1706.04599."""
        kernel, bias = (values / np.float32(temperature) for values in self.layers[-1])
        cooled = replace(self, layers=(*self.layers[:-1], (kernel, bias)))
        if self.counts is None or self.count_logits is None:
            return cooled
        counts, logits = self.counts.scaled(1 / temperature), self.count_logits / np.float32(temperature)
        return replace(cooled, counts=counts, count_logits=logits)

    def over(self, features: FeatureSet, indices: np.ndarray) -> np.ndarray:
        """Probabilities of the examples at ``indices``, computed in blocks."""
        logits = self.count_logits
        blocks = [self(features.rows(block), 0.0 if logits is None else logits[block]) for block in in_blocks(indices)]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.layers[-1][1])), np.float32)


def fit_head(data: TrainingData, config: HeadConfig, cache: Path | None = None) -> Head:
    """Train a head on cached features, or read it from the cache if the same one was trained before.

    Args:
        data: the examples to train on.
        config: the kind of head.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: the features are not finite, or the task has no such class weights.
    """
    folder = (cache or cache_folder()) / "heads" / key_of(data, config)
    if is_intact(folder):
        return _read(folder / _FILE)
    weights = data.task.class_weights(data.labels[data.train], data.n_classes, config.class_weights)
    head = _fit_dense(data, config, weights) if config.kind == "mlp" else _solve_linear(data, config, weights)
    if np.ptp(weights):
        head = replace(head, class_weights=tuple(weights.tolist()))
    _write(head, folder)
    return head


def _fit_dense(data: TrainingData, config: HeadConfig, class_weights: np.ndarray) -> Head:
    layers, history = dense.fit(data, config, class_weights)
    return Head(layers, data.task.activation, history=history)


def _solve_linear(data: TrainingData, config: HeadConfig, class_weights: np.ndarray) -> Head:
    solved = solve(
        data.features.rows, data.train, data.labels[data.train], data.n_classes, task=data.task,
        groups=data.groups[data.train], class_weights=class_weights, seed=config.seed,
    )  # fmt: skip
    rows = [
        {
            "phase": "cross-validation",
            "l2": step["l2"],
            "val_loss": step["log_loss"],
            "val_accuracy": step.get("accuracy", ""),
        }
        for step in solved.path
    ]
    return Head(
        ((solved.kernel, solved.bias),), data.task.activation,
        l2=solved.l2, history=rows, out_of_fold=solved.out_of_fold, curve=solved.curve,
    )  # fmt: skip


def key_of(data: TrainingData, config: HeadConfig) -> str:
    """Identifies everything that a head depends on, hex."""
    config = replace(config, features="auto", counts="auto")  # which choose between finished heads
    material = hashlib.sha256(f"{HEAD_VERSION} {data.features.key} {config} {data.n_classes} {data.task.name}".encode())
    for indices in (data.train, data.val):
        material.update(b"".join(data.features.digests[i] or b"" for i in indices.tolist()))
        material.update(np.column_stack([data.labels[indices], data.groups[indices]]).astype("<i8").tobytes())
    return material.hexdigest()[:32]


def _write(head: Head, folder: Path) -> None:
    arrays: dict[str, Any] = {
        "facts": np.array(json.dumps([head.activation, head.class_weights, head.l2, head.history]))
    }
    for i, (kernel, bias) in enumerate(head.layers):
        arrays[f"kernel{i}"], arrays[f"bias{i}"] = kernel, bias
    if head.out_of_fold is not None:
        arrays["out_of_fold"] = head.out_of_fold
    if head.curve is not None:
        fields = head.curve._asdict().items()
        arrays.update({f"curve_{name}": values for name, values in fields if values is not None})
    with checked_folder(folder, shared=True) as filled:
        np.savez(filled / _FILE, **arrays)


def _read(path: Path) -> Head:
    with np.load(path) as saved:
        activation, class_weights, l2, history = json.loads(str(saved["facts"]))
        n_layers = sum(name.startswith("kernel") for name in saved.files)
        layers = tuple((saved[f"kernel{i}"], saved[f"bias{i}"]) for i in range(n_layers))
        out_of_fold = saved.get("out_of_fold")
        has_curve = "curve_sizes" in saved
        curve = Curve(*(saved.get(f"curve_{name}") for name in Curve._fields)) if has_curve else None
    weights = tuple(class_weights) if class_weights else None
    return Head(layers, activation, class_weights=weights, l2=l2, history=history, out_of_fold=out_of_fold, curve=curve)
