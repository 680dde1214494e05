"""Examples that are far from all others by their features: rare ones, or such as do not belong here."""

import numpy as np

from headstart.data.audit import Finding, Occurrence
from headstart.data.dataset import Dataset
from headstart.data.neighbours import unit
from headstart.errors import counted
from headstart.features.extraction import FeatureSet

_NEIGHBOUR = 5
_FAR = 3.0  # robust standard deviations from the middle
_MOST = 20
_FEWEST = 50  # examples, below which nothing is usual
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
    there = usable[features.computed_for[usable]]
    if len(there) < _FEWEST:
        return Finding(check, "skipped", f"It takes {_FEWEST} examples with features.")
    score = _similarity(features, there)
    middle = np.median(score)
    spread = 1.4826 * np.median(np.abs(score - middle)) + 1e-6
    order = np.argsort(score, kind="stable")[:_MOST]
    found = order[(middle - score[order]) / spread > _FAR]
    if not found.size:
        return Finding(check, "clean", "No example is far from all others.")
    summary = f"{counted(found.size, 'example')} {'is' if found.size == 1 else 'are'} far from all others."
    examples = [Occurrence((dataset.files[there[i]],), f"cosine {score[i]:.2f}, usually {middle:.2f}") for i in found]
    return Finding(check, "found", summary, examples)


def _similarity(features: FeatureSet, there: np.ndarray) -> np.ndarray:
    """Cosine of each example and its fifth nearest among a sample of the others: float32 (n,)."""
    sample = np.sort(np.random.default_rng(0).choice(len(there), min(len(there), _SAMPLE), replace=False))
    others = unit(features.rows(there[sample])).T
    score = np.empty(len(there), np.float32)
    for start in range(0, len(there), _BLOCK):
        here = np.arange(start, min(start + _BLOCK, len(there)))
        cosines = unit(features.rows(there[here])) @ others
        cosines[np.equal.outer(here, sample)] = -1
        score[here] = np.partition(cosines, -_NEIGHBOUR, axis=1)[:, -_NEIGHBOUR]
    return score
