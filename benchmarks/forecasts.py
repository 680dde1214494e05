"""Do learning curves foretell what more data bring? Forecasts from a part of real data against what came true.

    python benchmarks/forecasts.py flowers/ reviews.csv [--seeds 4] [--base HANDLE]

A part of the data is drawn, the learning curve on it is carried on to twice as many, and a head is solved on twice as
many. Both are judged by the same examples that neither has seen. Prints a Markdown table.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from headstart.evaluation.learning_curve import forecast
from headstart.training.head.linear import solve
from label_errors import usable
from measure import markdown

_PARTS = (0.08, 0.16, 0.32)  # of the examples, to foretell twice as many from; what is left is what judges


def rows(data: str, base: str | None, seeds: int) -> list[tuple[str, ...]]:
    """A line of the table for each part: means over the seeds."""
    dataset, features, there, groups = usable(data, base)
    labels, k = dataset.labels[there], len(dataset.classes)
    lines: list[tuple[str, ...]] = []
    for part in _PARTS:
        found = []
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(there))
            n = round(part * len(order))
            judges = order[2 * n :]
            heads = []
            for size in (n, 2 * n):
                mine = order[:size]
                fold_groups = np.unique(groups[mine], return_inverse=True)[1]
                options: dict[str, Any] = {
                    "task": dataset.task,
                    "groups": fold_groups,
                    "class_weights": np.ones(k),
                    "seed": seed,
                }
                heads.append(solve(features.rows, there[mine], labels[mine], k, class_weights=np.ones(k), **options))
            told = [(features.rows(there[judges]) @ head.kernel + head.bias).argmax(1) for head in heads]
            now, then = ((said == labels[judges]).mean() for said in told)
            if heads[0].curve is None:
                raise SystemExit(f"{data} has too few examples of a class")
            foretold = forecast(heads[0].curve, n, dataset.classes, more_per_class=round(n / k)).gain
            found.append([now, then - now, *foretold, foretold[1] <= then - now <= foretold[2]])
        now, gain, middle, low, high, inside = np.mean(found, 0)
        points = [f"{100 * share:+.1f}" for share in (gain, middle, low, high)]
        band = f"{points[2]} to {points[3]}"
        share = f"{inside * seeds:.0f} of {seeds}"
        lines.append((Path(data).stem, f"{n:,} to {2 * n:,}", f"{now:.3f}", *points[:2], band, share))
    return lines


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--base")
    options = parser.parse_args()
    header = ("data", "examples", "accuracy", "gain, points", "foretold", "band", "inside the band")
    print(markdown(header, [line for data in options.data for line in rows(data, options.base, options.seeds)]))


if __name__ == "__main__":
    main()
