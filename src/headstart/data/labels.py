"""Labels of examples: a class of each, int (n,); or any number of labels for each, 0 or 1 in (n, classes).

Data of the second kind are called multi-label. What differs between the two kinds is decided by the number of
dimensions, here and in :mod:`headstart.training.outputs`.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

SEPARATOR = ";"
"""Stands between labels in the tables of a run."""

NO_LABEL = "none"
"""How an empty list of labels is shown."""

Label = str | list[str]
"""The class of an example, or the list of its labels."""


def is_multi_label(labels: np.ndarray) -> bool:
    """Whether an example may have any number of labels."""
    return labels.ndim == 2


def names_in(labels: Sequence[Label]) -> set[str]:
    """All names that occur."""
    return set(chain.from_iterable([label] if isinstance(label, str) else label for label in labels))


def encode_labels(labels: Sequence[Label], classes: Sequence[str]) -> np.ndarray:
    """Labels as numbers; of lists, what is none of the classes is left out.

    Returns:
        int64 (n,), or uint8 (n, classes) if the labels are lists.
    """
    number = {name: i for i, name in enumerate(classes)}
    if all(isinstance(label, str) for label in labels):
        return np.array([number[label] for label in labels if isinstance(label, str)], np.int64)
    matrix = np.zeros((len(labels), len(classes)), np.uint8)
    for row, names in zip(matrix, labels, strict=True):
        row[[number[name] for name in names if name in number]] = 1
    return matrix


def has(labels: np.ndarray, number: int) -> np.ndarray:
    """Which examples are of a class, or have it among their labels: bool (n,)."""
    return labels[:, number] == 1 if is_multi_label(labels) else labels == number


def counts(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """How many examples have each label: int (classes,)."""
    return labels.sum(0, dtype=np.int64) if is_multi_label(labels) else np.bincount(labels, minlength=n_classes)


def names_of(label: Any, classes: Sequence[str]) -> list[str]:
    """Class names of one example: of a class number one, of 0s and 1s as many as there are 1s."""
    return [classes[i] for i in np.flatnonzero(label).tolist()] if np.ndim(label) else [classes[int(label)]]


def cell(label: Any, classes: Sequence[str]) -> str:
    """The labels of one example as they stand in the tables of a run."""
    return SEPARATOR.join(names_of(label, classes))


def label_name(label: Any, classes: Sequence[str]) -> str:
    """The labels of one example in words."""
    return ", ".join(names_of(label, classes)) or NO_LABEL
