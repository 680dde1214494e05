"""Does a run notice out-of-distribution examples? Runs are tested on other data sets.

    python benchmarks/out_of_distribution.py flowers/ cats-dogs/ face-mask/      # data of one kind

For each data set, a detector is fitted and tested on its own test examples (false alarms) and on all examples of the
other data sets. AUROC is the chance that an example of another data set has a larger distance than an own one. The same
for Mahalanobis distances with a shared covariance (Lee et al., arXiv 1807.03888) on the same features. Prints a
Markdown table.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from headstart.data.split import split_dataset
from headstart.evaluation.out_of_distribution import SHARE, fit_detector
from label_errors import usable
from measure import markdown

Score = Callable[[np.ndarray], np.ndarray]


def scores(own: str, base: str | None) -> tuple[np.ndarray, np.ndarray, dict[str, Score]]:
    """Features of the validation and test examples of a data set, and functions that give distances from them."""
    dataset, features, there, _ = usable(own, base)
    split = split_dataset(dataset, there, features.digests, val=0.15, test=0.15, seed=0)
    train, val, test = (split.index(name) for name in ("train", "val", "test"))
    detector = fit_detector(features.rows, train, val, seed=0)
    if detector is None:
        raise SystemExit(f"{own} has too few examples")
    ways: dict[str, Score] = {
        "nearest neighbours": detector.distances,
        "Mahalanobis": _mahalanobis(features.rows(train), dataset.labels[train]),
    }
    return features.rows(val), features.rows(test), ways


def _mahalanobis(rows: np.ndarray, labels: np.ndarray) -> Score:
    means = np.stack([rows[labels == label].mean(0) for label in np.unique(labels)])
    rest = rows - means[labels]
    variances, directions = np.linalg.eigh(rest.T @ rest / len(rest))
    whitening = directions / np.sqrt(variances + 1e-3 * variances[-1])
    centres = means @ whitening

    def distances(features: np.ndarray) -> np.ndarray:
        return np.min([np.square(features @ whitening - centre).sum(1) for centre in centres], axis=0)

    return distances


def auroc(own: np.ndarray, strange: np.ndarray) -> float:
    """The chance that a score of the second kind is higher than one of the first."""
    rank = np.concatenate([own, strange]).argsort().argsort()[len(own) :] + 1
    return float((rank.sum() - len(strange) * (len(strange) + 1) / 2) / (len(own) * len(strange)))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--base")
    options = parser.parse_args()
    rows = []
    for own in options.data:
        val, test, ways = scores(own, options.base)
        for other in options.data:
            if other == own:
                continue
            _, features, there, _ = usable(other, options.base)
            strange = features.rows(there)
            for name, score in ways.items():
                threshold, mine, theirs = np.quantile(score(val), SHARE), score(test), score(strange)
                shares = (f"{(mine > threshold).mean():.1%}", f"{(theirs > threshold).mean():.1%}")
                rows.append((Path(own).stem, Path(other).stem, name, f"{auroc(mine, theirs):.4f}", *shares))
    print(markdown(("run on", "asked about", "by", "AUROC", "false alarms", "noticed"), rows))


if __name__ == "__main__":
    main()
