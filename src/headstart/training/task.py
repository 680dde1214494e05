"""What a head is trained on, and how."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.errors import InputError
from headstart.features.extraction import FeatureSet

HeadKind = Literal["auto", "linear", "mlp"]
ClassWeights = Literal["auto", "balanced", "none"]


@dataclass(frozen=True)
class Task:
    """Examples of known class, and which of them may be used for what.

    Attributes:
        features: of all examples.
        labels: int (n,) of all examples.
        n_classes: number of classes.
        train: int (m,), the examples to train on.
        val: int (k,), those that tell an mlp when to stop; a linear head cross-validates on ``train`` instead.
        units: int (n,); examples of one unit stay on one side of every division.
    """

    features: FeatureSet
    labels: np.ndarray
    n_classes: int
    train: np.ndarray
    val: np.ndarray
    units: np.ndarray


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
