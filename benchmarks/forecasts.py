"""Do learning curves foretell what more data bring? Forecasts from a part of real data against what came true.

    python benchmarks/forecasts.py flowers/ reviews.csv [--seeds 5] [--base HANDLE]

A part of the data is drawn, the learning curve on it is carried on to twice as many, and a head is solved on twice as
many. Both are judged by the same examples that neither has seen. Prints a Markdown table.
"""

import argparse
from pathlib import Path

import numpy as np

from headstart.evaluation.learning_curve import forecast
from headstart.training.linear import solve
from label_errors import usable
from measure import markdown

_PARTS = (0.1, 0.2, 0.35)  # of the examples, to foretell twice as many from
_JUDGES = 0.3


def rows(data: str, base: str | None, seeds: int) -> list[tuple[str, ...]]:
    """A line of the table for each part: means over the seeds."""
    dataset, features, there, units = usable(data, base)
    labels, k = dataset.labels[there], len(dataset.classes)
    lines: list[tuple[str, ...]] = []
    for part in _PARTS:
        found = []
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(there))
            judges, rest = np.split(order, [round(_JUDGES * len(order))])
            n = round(part * len(order))
            heads = []
            for size in (n, 2 * n):
                mine = rest[:size]
                heads.append(solve(features.rows, there[mine], labels[mine], k, units=np.unique(units[mine], return_inverse=True)[1], class_weights=np.ones(k), seed=seed))  # noqa: E501  # fmt: skip
            told = [(features.rows(there[judges]) @ head.kernel + head.bias).argmax(1) for head in heads]
            now, then = ((said == labels[judges]).mean() for said in told)
            if heads[0].curve is None:
                raise SystemExit(f"{data} has too few examples of a class")
            foretold = forecast(heads[0].curve, n, dataset.classes, more_per_class=round(n / k)).gain
            found.append([now, then - now, *foretold, foretold[1] <= then - now <= foretold[2]])
        now, gain, middle, low, high, inside = np.mean(found, 0)
        told_all = (
            f"{now:.3f}",
            f"{100 * gain:+.1f}",
            f"{100 * middle:+.1f}",
            f"{100 * low:+.1f} to {100 * high:+.1f}",
        )
        lines.append((Path(data).stem, f"{n:,} to {2 * n:,}", *told_all, f"{inside * seeds:.0f} of {seeds}"))
    return lines


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--base")
    options = parser.parse_args()
    header = ("data", "examples", "accuracy", "gain, points", "foretold", "band", "inside the band")
    print(markdown(header, [line for data in options.data for line in rows(data, options.base, options.seeds)]))


if __name__ == "__main__":
    main()
