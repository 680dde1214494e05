"""Out-of-distribution detection: whether an example is unlike the training examples, by its nearest neighbours.

The distance of an example is the angle between its features and their k-th nearest neighbour among up to a thousand
training examples. An example is out-of-distribution if this distance is larger than that of 99 % of held-out examples.
The features are a by-product of the answer, so this needs no second pass over the example.

Source: Sun, Ming, Zhu and Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022, arXiv 2204.06507.
benchmarks/RESULTS.md compares it with Mahalanobis distances (Lee et al., arXiv 1807.03888) on images of other data.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
from threadpoolctl import ThreadpoolController

FILE = "out_of_distribution.npz"
"""File in a run folder."""

NEIGHBOUR = 5
MIN_EXAMPLES = 50
"""Held-out examples that a threshold is chosen on."""

SHARE = 0.99
"""Share of these that is within the distribution."""

_REFERENCES = 1000
_HELD_OUT = 10_000

_thread_limit = Lock()  # the number of BLAS threads is that of the whole process
RowReader = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class OutOfDistributionDetector:
    """Reference features of the training examples of a run.

    Attributes:
        references: float32 (m, q), the first q features of some of them, each of length 1: a base's own features come
            before those of its blocks, which differ in scale.
        threshold: the distance above which an example is out-of-distribution.
    """

    references: np.ndarray
    threshold: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """1 minus the cosine of the angle to the k-th nearest reference, float32 (n,), for features (n, d)."""
        cosines = _normalised(features[:, : self.references.shape[1]]) @ self.references.T
        return 1 - np.partition(cosines, -NEIGHBOUR, axis=1)[:, -NEIGHBOUR]

    def is_out_of_distribution(self, features: np.ndarray) -> np.ndarray:
        """Which examples are unlike the training examples: bool (n,), for features (n, d)."""
        # A few rows take a millisecond. Without the limit, NumPy's OpenBLAS wakes all cores for them and lets them spin
        # for a while, which takes time from everything else: 20 ms for every batch on two cores.
        with _thread_limit, _blas().limit(limits=1):
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
        None if there are too few of either.
    """
    if len(val) < MIN_EXAMPLES or len(train) < NEIGHBOUR:
        return None
    rng = np.random.default_rng(seed)
    references = _normalised(rows(rng.permutation(train)[:_REFERENCES])).astype(np.float16)  # as they will be saved
    detector = OutOfDistributionDetector(references.astype(np.float32), np.inf)
    distances = detector.distances(rows(rng.permutation(val)[:_HELD_OUT]))
    return replace(detector, threshold=float(np.quantile(distances, SHARE)))


def _normalised(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
