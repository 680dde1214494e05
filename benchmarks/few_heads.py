"""Heads on a few examples of each class, on the same features: headstart's against scikit-learn's logistic regression.

    python benchmarks/few_heads.py cats-dogs/ reviews.csv [--shots 4 8 16 64] [--seeds 6] [--base HANDLE]

Of each class so many examples are drawn at random; at most 2,000 others judge. scikit-learn's LogisticRegressionCV,
which chooses its strength by cross-validation of the log loss, gets the same features, standardised and as they are.
Prints a Markdown table of accuracy and log loss, means over the draws.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.tasks import classification_task, get_task
from headstart.training.head.linear import solve
from label_errors import usable
from measure import markdown

_MOST_JUDGES = 2000
_FOLDS, _STRENGTHS = 4, 10  # of LogisticRegressionCV, which takes 5 and 10: no class has fewer than 4 examples here

Fitted = Callable[[np.ndarray], np.ndarray]


def ours(rows: np.ndarray, labels: np.ndarray, n_classes: int, seed: int) -> Fitted:
    """Probabilities by headstart's head."""
    head = solve(
        rows.__getitem__, np.arange(len(rows)), labels, n_classes, task=classification_task(get_task("single-label")),
        groups=np.arange(len(rows)), class_weights=np.ones(n_classes), seed=seed,
    )  # fmt: skip
    return lambda others: softmax(others @ head.kernel + head.bias, axis=1)


def by_scikit_learn(standardised: bool) -> Callable[[np.ndarray, np.ndarray, int, int], Fitted]:
    """What gives probabilities by scikit-learn's, the strength chosen by cross-validation."""

    def fit(rows: np.ndarray, labels: np.ndarray, n_classes: int, seed: int) -> Fitted:
        head = LogisticRegressionCV(
            Cs=_STRENGTHS, cv=_FOLDS, scoring="neg_log_loss", max_iter=2000, l1_ratios=(0.0,),
            use_legacy_attributes=False,
        )  # fmt: skip
        steps = [StandardScaler(), head] if standardised else [head]
        return make_pipeline(*steps).fit(rows, labels).predict_proba

    return fit


WAYS = {
    "headstart": ours,
    "scikit-learn, standardised": by_scikit_learn(standardised=True),
    "scikit-learn, as they are": by_scikit_learn(standardised=False),
}


def lines(data: str, base: str | None, shots: list[int], seeds: int) -> list[tuple[str, ...]]:
    """A line of the table for each number of examples."""
    dataset, features, there, _ = usable(data, base)
    labels, n_classes = dataset.labels[there], len(dataset.classes)
    found: list[tuple[str, ...]] = []
    for few in shots:
        if np.bincount(labels).min() < 2 * few:
            continue
        figures: dict[str, list[list[float]]] = {name: [] for name in WAYS}
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(there))
            drawn = np.concatenate([order[labels[order] == number][:few] for number in range(n_classes)])
            judges = np.setdiff1d(order, drawn)[:: max(1, len(order) // _MOST_JUDGES)]
            rows, others = features.rows(there[drawn]), features.rows(there[judges])
            for name, way in WAYS.items():
                given = way(rows, labels[drawn], n_classes, seed)(others)
                of_truth = np.clip(given[np.arange(len(judges)), labels[judges]], 1e-15, 1)
                figures[name].append([(given.argmax(1) == labels[judges]).mean(), -np.log(of_truth).mean()])
        means = [np.mean(each, 0) for each in figures.values()]
        found.append((Path(data).stem, str(few), *(f"{accuracy:.3f} / {loss:.2f}" for accuracy, loss in means)))
    return found


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--shots", type=int, nargs="+", default=[4, 8, 16, 64])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--base")
    options = parser.parse_args()
    header = ("data", "of each class", *WAYS)
    table = [line for data in options.data for line in lines(data, options.base, options.shots, options.seeds)]
    print(markdown(header, table))


if __name__ == "__main__":
    main()
