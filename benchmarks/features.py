"""The base's own features against those of all its blocks: the head alone, and what the blocks cost.

    python benchmarks/features.py DATA [--base embedded:all-minilm-l6-v2] [--input-size 128]

In turn, each in a process of its own: ``headstart train`` with either kind of features in an empty cache; the same with
the base prepared; and once more on the same data. The second counts for the comparison.
"""

import argparse

from contest import Bench, picture_options, read, read_once, run_contest, test_accuracy
from measure import machine, markdown


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    del options
    read_once(bench.data)
    rows = []
    for features in ("own", "auto"):
        settings = ("--fine-tune", "none", "--features", features)
        first, _ = bench.train(f"{features}-first", features, *settings)
        cache = bench.work / "caches" / features
        for path in [path for path in cache.iterdir() if path.name != "engines"]:  # the prepared base stays
            path.rename(path.with_name(f"old-{path.name}"))
        cost, folder = bench.train(features, features, *settings)
        again, _ = bench.train(f"{features}-again", features, *settings)
        choice = read(folder / "run.json")["head"]["features"] or {"kind": "own", "gain": None}
        gain = "" if choice["gain"] is None else f"{choice['gain']:.4f} ± {choice['standard_error']:.4f}"
        seconds = [f"{each:.1f}" for each in (first.wall_s, cost.wall_s, cost.cpu_s, again.wall_s)]
        rows.append((features, choice["kind"], gain, f"{test_accuracy(folder):.3f}", *seconds))
    header = (
        "--features", "taken", "log loss lower by", "test accuracy", "first run, wall s", "base prepared, wall s",
        "base prepared, CPU s", "same data again, wall s",
    )  # fmt: skip
    return f"{bench.data.name}, {bench.base}, seed {bench.seed}.\n\n{markdown(header, rows)}\n\n{machine()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    picture_options(parser)
    run_contest(parser, compare)


if __name__ == "__main__":
    main()
