"""Whether an example is like those that a run was trained on, by its nearest neighbours among them.

The distance of an example is that of its features to their k-th nearest neighbour among up to a thousand training
examples, by the angle between them. It is out-of-distribution if it lies farther out than 99 % of held-out examples.
The features are a by-product of the answer, so asking costs no second look at the example.

Source: Sun, Ming, Zhu and Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022, arXiv 2204.06507.
Compared on photos of other data sets with Mahalanobis distances (Lee et al., arXiv 1807.03888): see
benchmarks/RESULTS.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
from threadpoolctl import ThreadpoolController

FILE = "out_of_distribution.npz"
NEIGHBOUR = 5
FEWEST = 50
"""Held-out examples that a threshold is chosen on."""

SHARE = 0.99
"""Of these, what is to be familiar."""

_REFERENCES = 1000
_HELD_OUT = 10_000

_limiting = Lock()  # of threads is for the whole process
RowReader = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class OutOfDistributionDetector:
    """What a run remembers of its training examples.

    Attributes:
        references: float32 (m, d), features of some of them, each of length 1.
        threshold: the distance beyond which an example is out-of-distribution.
    """

    references: np.ndarray
    threshold: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """1 minus the cosine of the angle to the k-th nearest reference, float32 (n,), for features (n, d)."""
        cosines = _unit(features) @ self.references.T
        return 1 - np.partition(cosines, -NEIGHBOUR, axis=1)[:, -NEIGHBOUR]

    def is_out_of_distribution(self, features: np.ndarray) -> np.ndarray:
        """Which examples are unlike those that the run was trained on: bool (n,), for features (n, d)."""
        # A few rows take a millisecond. By itself NumPy's OpenBLAS wakes all cores for them and lets them spin for a
        # while, at the cost of whatever else is to be computed: 20 ms for every batch on two cores.
        with _limiting, _blas().limit(limits=1):
            return self.distances(features) > self.threshold

    def save(self, folder: Path) -> None:
        """Write :data:`FILE`."""
        np.savez(folder / FILE, references=self.references.astype(np.float16), threshold=np.float64(self.threshold))


def load_detector(path: Path) -> OutOfDistributionDetector:
    """Open a saved detector."""
    with np.load(path) as saved:
        return OutOfDistributionDetector(saved["references"].astype(np.float32), float(saved["threshold"]))


def fit_detector(rows: RowReader, train: np.ndarray, val: np.ndarray, seed: int) -> OutOfDistributionDetector | None:
    """Choose references and a threshold.

    Args:
        rows: gives the features of the examples at given indices, float32 (k, d).
        train: indices of the training examples.
        val: indices of examples that neither base nor head were trained on.
        seed: of the choice of references.

    Returns:
        None where there are too few of either.
    """
    if len(val) < FEWEST or len(train) < NEIGHBOUR:
        return None
    rng = np.random.default_rng(seed)
    references = _unit(rows(rng.permutation(train)[:_REFERENCES])).astype(np.float16)  # as they will be saved
    untried = OutOfDistributionDetector(references.astype(np.float32), np.inf)
    distances = untried.distances(rows(rng.permutation(val)[:_HELD_OUT]))
    return replace(untried, threshold=float(np.quantile(distances, SHARE)))


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
