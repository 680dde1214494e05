"""Outliers: examples whose features are far from those of all others."""

import numpy as np

from headstart.data.audit import Finding, Occurrence
from headstart.data.dataset import Dataset
from headstart.data.neighbours import unit
from headstart.errors import counted
from headstart.features.extraction import FeatureSet

_NEIGHBOUR = 5
_FAR = 3.0  # robust standard deviations from the middle
_MOST = 20
_FEWEST = 50  # examples; with fewer there is no typical distance
_SAMPLE = 1000  # others that each is compared with
_BLOCK = 2048


def outliers(dataset: Dataset, features: FeatureSet, usable: np.ndarray) -> Finding:
    """Find examples whose fifth nearest neighbour is much farther away than that of others, the farthest first.

    Args:
        dataset: the examples.
        features: of them.
        usable: int (m,), indices of those to look at; what has no features is passed over.

    Source: Ramaswamy, Rastogi and Shim, "Efficient algorithms for mining outliers from large data sets", SIGMOD 2000.
    """
    check = "outliers"
    present = usable[features.computed_for[usable]]
    if len(present) < _FEWEST:
        return Finding(check, "skipped", f"It takes {_FEWEST} examples with features.")
    score = _similarity(features, present)
    middle = np.median(score)
    spread = 1.4826 * np.median(np.abs(score - middle)) + 1e-6
    order = np.argsort(score, kind="stable")[:_MOST]
    far_examples = order[(middle - score[order]) / spread > _FAR]
    if not far_examples.size:
        return Finding(check, "clean", "No example is far from all others.")
    summary = (
        f"{counted(far_examples.size, 'example')} {'is' if far_examples.size == 1 else 'are'} far from all others."
    )
    examples = [
        Occurrence((dataset.files[present[i]],), f"cosine {score[i]:.2f}, usually {middle:.2f}") for i in far_examples
    ]
    return Finding(check, "found", summary, examples)


def _similarity(features: FeatureSet, present: np.ndarray) -> np.ndarray:
    """Cosine of each example and its fifth nearest among a sample of the others: float32 (n,)."""
    sample = np.sort(np.random.default_rng(0).choice(len(present), min(len(present), _SAMPLE), replace=False))
    sampled_vectors = unit(features.rows(present[sample])).T
    score = np.empty(len(present), np.float32)
    for start in range(0, len(present), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(present)))
        cosines = unit(features.rows(present[block])) @ sampled_vectors
        cosines[np.equal.outer(block, sample)] = -1
        score[block] = np.partition(cosines, -_NEIGHBOUR, axis=1)[:, -_NEIGHBOUR]
    return score
