"""How many wrong labels does headstart find? Makes some of the labels of real data wrong, and looks for them.

    python benchmarks/label_errors.py flowers/ reviews.csv [--wrong 0.05] [--seeds 3] [--base HANDLE]

Each seed makes other labels wrong, each into any other class. What was wrong already counts as a false alarm. If
cleanlab is installed (pip install cleanlab), it is asked about the same probabilities. Prints a Markdown table.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import headstart as hs
from headstart.bases import load_base, load_default
from headstart.data.audit import audit
from headstart.data.split import group_ids
from headstart.features import FeatureSet
from headstart.tasks import classification_task
from headstart.tasks.label_issues import find_single_label_issues
from headstart.training.head.linear import solve
from measure import markdown


def usable(data: str, base: str | None) -> tuple[hs.Dataset, FeatureSet, np.ndarray, np.ndarray]:
    """Data, features, indices of the examples that can be used, and the groups of these."""
    dataset = hs.load_dataset(data)
    loaded = load_base(base, texts=dataset.texts) if base else load_default(dataset.modality, texts=dataset.texts)
    features = hs.extract(loaded, dataset.examples)
    there = audit(dataset, features.digests, features.problems).usable
    return dataset, features, there, group_ids(None, [features.digests[i] or b"" for i in there.tolist()])


def row(data: str, base: str | None, share: float, seeds: int) -> tuple[str, ...]:
    """One line of the table: means over the seeds."""
    dataset, features, there, groups = usable(data, base)
    truth, k = dataset.labels[there], len(dataset.classes)
    figures = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        planted = rng.permutation(len(truth))[: round(share * len(truth))]
        labels = truth.copy()
        labels[planted] = (labels[planted] + rng.integers(1, k, len(planted))) % k
        head = solve(
            features.rows,
            there,
            labels,
            k,
            task=classification_task(dataset.task),
            groups=groups,
            class_weights=np.ones(k),
            seed=seed,
        )
        if head.out_of_fold is None:
            raise SystemExit(f"{data}: too few examples for cross-validation.")
        is_wrong = np.isin(np.arange(len(labels)), planted)
        found, _ = find_single_label_issues(labels, head.out_of_fold)
        surest = np.argsort(head.out_of_fold[np.arange(len(labels)), labels])[: len(planted)]
        right = (head.out_of_fold.argmax(1) == truth).mean()
        theirs = _cleanlab(labels, head.out_of_fold)
        figures.append(
            [right, len(found), *_quality(is_wrong, found), is_wrong[surest].mean(), *_quality(is_wrong, theirs)]
        )
    accuracy, count, precision, recall, at_count, *of_theirs = np.mean(figures, 0)
    told = [f"{accuracy:.3f}", f"{count:,.0f}", f"{precision:.2f}", f"{recall:.2f}", f"{at_count:.2f}"]
    return (Path(data).stem, f"{len(truth):,}", f"{len(planted):,}", *told, " / ".join(f"{v:.2f}" for v in of_theirs))


def _quality(is_wrong: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Precision and recall."""
    hits = is_wrong[found].sum()
    return float(hits / max(len(found), 1)), float(hits / is_wrong.sum())


def _cleanlab(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    if not find_spec("cleanlab"):
        return np.empty(0, int)
    from cleanlab.filter import find_label_issues

    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    return np.flatnonzero(find_label_issues(labels, exact, filter_by="prune_by_class", n_jobs=1))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--wrong", type=float, default=0.05, help="share of the labels that is made wrong")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base")
    options = parser.parse_args()
    header = ("data", "labels", "made wrong", "accuracy out of fold", "suspected", "precision", "recall",
              "precision of as many", "cleanlab")  # fmt: skip
    print(markdown(header, [row(data, options.base, options.wrong, options.seeds) for data in options.data]))


if __name__ == "__main__":
    main()
