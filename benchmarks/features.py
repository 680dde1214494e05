"""The base's own features, those of all its blocks, and counts of tokens beside them: the head alone, and the cost.

    python benchmarks/features.py DATA [--base embedded:all-minilm-l6-v2] [--input-size 128]

In turn, each in a process of its own: ``headstart train`` with each choice of features in an empty cache; the same with
the base prepared; and once more on the same data. The second counts for the comparison. Counts are for texts only.
"""

import argparse
from typing import Any

from contest import Bench, picture_options, read, read_once, run_contest, test_accuracy
from measure import machine, markdown

CHOICES = (("own", "none"), ("auto", "none"), ("auto", "auto"))
"""Settings of features and counts."""


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    del options
    read_once(bench.data)
    rows = []
    for features, counts in CHOICES:
        name, settings = f"{features}-{counts}", ("--fine-tune", "none", "--features", features, "--counts", counts)
        first, _ = bench.train(f"{name}-first", name, *settings)
        cache = bench.work / "caches" / name
        for path in [path for path in cache.iterdir() if path.name != "engines"]:  # the prepared base stays
            path.rename(path.with_name(f"old-{path.name}"))
        cost, folder = bench.train(name, name, *settings)
        again, _ = bench.train(f"{name}-again", name, *settings)
        facts = read(folder / "run.json")
        seconds = [f"{each:.1f}" for each in (first.wall_s, cost.wall_s, cost.cpu_s, again.wall_s)]
        choices = [_describe(facts["head"][kind]) for kind in ("features", "counts")]
        rows.append((features, counts, *choices, f"{test_accuracy(folder):.3f}", *seconds))
        if counts == "none" and features == "auto" and facts["base"]["modality"] != "text":
            break
    header = (
        "--features", "--counts", "blocks: log loss lower by", "counts: log loss lower by", "test accuracy",
        "first run, wall s", "base prepared, wall s", "base prepared, CPU s", "same data again, wall s",
    )  # fmt: skip
    return f"{bench.data.name}, {bench.base}, seed {bench.seed}.\n\n{markdown(header, rows)}\n\n{machine()}"


def _describe(choice: dict[str, Any] | None) -> str:
    """What was chosen, and by how much the log loss of blocks or counts is lower."""
    if choice is None:
        return ""
    gain = "" if choice["gain"] is None else f", {choice['gain']:.4f} ± {choice['standard_error']:.4f}"
    return f"{choice['kind']}{gain}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    picture_options(parser)
    run_contest(parser, compare)


if __name__ == "__main__":
    main()
