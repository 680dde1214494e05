"""What a head is trained on, and how."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headstart.bases.blocks import check_form
from headstart.errors import InputError, field_name
from headstart.features.augmentation import PIPELINES, Pipeline
from headstart.features.extraction import FeatureSet
from headstart.system.settings import Precision

HeadKind = Literal["auto", "linear", "mlp"]
ClassWeights = Literal["auto", "balanced", "none"]
Keep = Literal["better", "fine-tuned"]
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


@dataclass(frozen=True)
class HeadConfig:
    """How to train a head.

    Args:
        head: ``auto`` is ``mlp`` when hidden layers are asked for, else ``linear``.
        dense: sizes of the hidden layers of an mlp.
        dropout: rate before each layer of an mlp.
        epochs: at most, of an mlp; training stops early when the validation loss stops falling.
        class_weights: ``balanced`` makes every class count the same, ``auto`` does so when the largest class has at
            least three times the examples of the smallest; not for multi-label data.
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
            raise InputError(
                f"a linear head has no hidden layers: leave this out, or set {field_name('head', 'mlp')}.",
                field="dense",
            )
        if any(size < 1 for size in self.dense):
            sizes = ",".join(map(str, self.dense))
            raise InputError(f"expected sizes of at least 1, such as 256,128, got {sizes}.", field="dense")
        if not 0 <= self.dropout < 1:
            raise InputError(f"expected a rate from 0 to below 1, got {self.dropout:g}.", field="dropout")
        if self.epochs < 1:
            raise InputError(f"expected at least 1, got {self.epochs}.", field="epochs")

    @property
    def kind(self) -> Literal["linear", "mlp"]:
        """The kind of head that this recipe gives."""
        return "mlp" if self.head == "mlp" or self.dense else "linear"

    @property
    def units(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return (self.dense or (256,)) if self.kind == "mlp" else ()


@dataclass(frozen=True)
class FineTuneConfig:
    """How to fine-tune.

    Args:
        blocks: which blocks of the base to train: ``auto``, ``none``, ``all``, ``last:N`` or ``from:NAME``.
        epochs: at most; None takes what suits the base, or what few texts ask for.
        learning_rate: at its height, of the head; None takes what suits the base.
        rate_decay: by how much the rate falls from the head to the uppermost block, and from block to block downwards.
        batch_size: examples in a step.
        weight_decay: of AdamW.
        label_smoothing: share of each label that is spread over all classes; none is for multi-label data, where rare
            labels must be able to have small probabilities.
        train_batch_norm: train the BatchNormalization layers of these blocks as well, and let their statistics follow
            the new pictures. For large batches of pictures unlike those of the source task only.
        lora: train only a change of this rank of each Dense kernel, by low-rank adaptation; None trains all weights.
        gradual: let the blocks begin to learn one after the other, from the head down, over the first half.
        patience: epochs without a lower validation loss after which training stops.
        augment: the augmentation pipeline; see :mod:`headstart.features.augmentation`.
        views: augmented versions of each training picture that are cached; where all of the base is trained, every
            epoch has new ones instead.
        time_limit_s: seconds after which training stops, with the best epoch's weights, counted from the caching of
            the views on. None means 15 minutes for ``auto``, and none otherwise.
        precision: of the arithmetic; ``auto`` is mixed bfloat16 where a few steps show it to be faster here.
        keep: ``better`` keeps whatever a paired test on the validation data, or in cross-validation, favours;
            ``fine-tuned`` overrides it.
    """

    blocks: str = "auto"
    epochs: int | None = None
    learning_rate: float | None = None
    rate_decay: float = 0.9
    batch_size: int = 32
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    train_batch_norm: bool = False
    lora: int | None = None
    gradual: bool = False
    patience: int = 4
    augment: Pipeline = field(default_factory=lambda: PIPELINES["standard"])
    views: int = 3
    time_limit_s: float | None = None
    precision: Precision = "auto"
    keep: Keep = "better"

    def __post_init__(self) -> None:
        check_form(self.blocks)
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"expected at least 1, got {self.epochs}.", field="fine_tune_epochs")
        if self.batch_size < 1:
            raise InputError(f"expected at least 1, got {self.batch_size}.", field="batch_size")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise InputError(f"expected a rate such as 0.001, got {self.learning_rate:g}.", field="learning_rate")
        if self.lora is not None and self.lora < 1:
            raise InputError(f"expected a rank of at least 1, such as 8, got {self.lora}.", field="lora")
        if not 0 < self.rate_decay <= 1:
            raise InputError(
                f"expected a factor above 0 and up to 1, such as 0.9, got {self.rate_decay:g}.", field="rate_decay"
            )
        if not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"expected a share from 0 to below 1, such as 0.1, got {self.label_smoothing:g}.",
                field="label_smoothing",
            )
        if self.views < 0:
            raise InputError(f"expected 0 or more, got {self.views}.", field="views")
        if self.time_limit_s is not None and self.time_limit_s <= 0:
            raise InputError(
                f"expected a time above 0, such as 90s, 10m or 1h, got {self.time_limit_s:g} s.", field="time_limit"
            )


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
