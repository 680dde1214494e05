"""What comparisons of whole runs share: contestants, each started in a process of its own, and one split for all."""

import argparse
import csv
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measure import CommandFailedError, Cost, headstart_command, run

_HERE = Path(__file__).parent
STARTS = 5  # short commands are repeated, and the median counts


@dataclass(frozen=True)
class Bench:
    """One comparison.

    Args:
        data: what ``headstart train`` is given.
        base: base handle.
        input_size: pixels, or None for the base's own.
        seed: of headstart's split and of the guide's shuffling.
        work: folder for caches, runs and logs.
    """

    data: Path
    base: str
    input_size: int | None
    seed: int
    work: Path

    @property
    def base_options(self) -> list[str]:
        """What tells headstart, the guide and bound.py alike which base to take."""
        size = ["--input-size", str(self.input_size)] if self.input_size else []
        return ["--base", self.base, *size]

    def train(self, name: str, cache: str, *options: object) -> tuple[Cost, Path]:
        """Run ``headstart train`` with a cache folder of this name; gives its cost and the run folder."""
        runs = self.work / "runs"
        mine = [*self.base_options, "--name", name, "--runs", runs, "--seed", self.seed]
        return self.measured(name, [headstart_command(), "train", self.data, *mine, *options], cache), runs / name

    def guide(self, split_csv: Path, *options: object) -> tuple[Cost, dict[str, Any]]:
        """Run the guide's loop on a split; gives its cost, seen from outside, and its own figures."""
        out = self.work / "guide.json"
        mine = ["--split-csv", split_csv, "--out", out, "--seed", self.seed]
        command = [sys.executable, _HERE / "keras_guide.py", *self.base_options, *mine, *options]
        cost, figures = self.measured("guide", command, "unused"), read(out)
        return replace(cost, wall_s=cost.wall_s - figures.get("uncounted_s", 0)), figures

    def fastai(self, python: Path, split_csv: Path, epochs: int) -> tuple[Cost, dict[str, Any]]:
        """Run fastai's ``fine_tune`` on a split, with the interpreter of its own environment; gives the same."""
        out = self.work / "fastai.json"
        size = ["--input-size", self.input_size] if self.input_size else []
        mine = ["--split-csv", split_csv, "--out", out, "--seed", self.seed, "--epochs", epochs, *size]
        return self.measured("fastai", [python, _HERE / "fastai_tune.py", *mine], "unused"), read(out)

    def title(self, guide: dict[str, Any], batch: int) -> str:
        """What was compared on what, from the guide's figures."""
        images = guide["images"]
        return (
            f"{self.data.name}: {len(guide['classes'])} classes, {images['train']:,} pictures to train, "
            f"{images['val']:,} to validate, {images['test']:,} to test; {self.base} at "
            f"{' x '.join(map(str, guide['input_size']))} px, seed {self.seed}, batch {batch}."
        )

    def bound(self, files: list[Path], cache: str) -> dict[str, Any]:
        """Measure decoding and engine alone."""
        listing, out = self.work / "files.txt", self.work / "bound.json"
        listing.write_text("\n".join(map(str, files)), encoding="utf-8")
        self.measured("bound", [sys.executable, _HERE / "bound.py", listing, *self.base_options, "--out", out], cache)
        return read(out)

    def start_s(self, name: str, command: Sequence[object], cache: str) -> float:
        """Wall time of a short command: the median of a few runs."""
        return statistics.median(self.measured(name, command, cache).wall_s for _ in range(STARTS))

    def measured(self, name: str, command: Sequence[object], cache: str) -> Cost:
        """Run a command with a cache folder of this name; its talk goes to a log."""
        print(f"{name} …", file=sys.stderr, flush=True)
        return run(command, self.work / f"{name}.log", {"HEADSTART_CACHE": str(self.work / "caches" / cache)})


def split_of(run_folder: Path, csv_path: Path) -> list[Path]:
    """Write the split of a headstart run as a CSV for the guide; gives the files of all its parts."""
    root = Path(read(run_folder / "run.json")["data"]["root"])
    with open(run_folder / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = [(root / row["file"], row["label"], row["split"]) for row in csv.DictReader(file)]
    with open(csv_path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "split"))
        writer.writerows(rows)
    return [path for path, *_ in rows]


def test_accuracy(run_folder: Path) -> float:
    """Of a headstart run."""
    return float(read(run_folder / "metrics.json")["splits"]["test"]["metrics"]["accuracy"]["value"])


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_once(data: Path) -> None:
    """Bring the files into the system's own cache."""
    for path in data.rglob("*") if data.is_dir() else ():
        if path.is_file():
            with open(path, "rb") as file:
                while file.read(1 << 20):
                    pass


def picture_options(parser: argparse.ArgumentParser) -> None:
    """The options of comparisons with the guide's loop."""
    parser.add_argument("--input-size", type=int, help="pixels; default: the base's own")
    parser.add_argument("--batch", type=int, default=32, help="of the guide's loop (default: %(default)s)")


def run_contest(
    parser: argparse.ArgumentParser,
    compare: Callable[[Bench, argparse.Namespace], str],
    base: str = "embedded:efficientnet-lite0",
) -> None:
    """The command line of a comparison: parse, run, print its report."""
    parser.add_argument("data", type=Path, help="what `headstart train` takes: a folder with one folder per class …")
    parser.add_argument("--base", default=base, help="base handle (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--work", type=Path, help="an empty or new folder that keeps caches, runs and logs")
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(f"error: {options.data} does not exist: expected what `headstart train` takes.")
    if options.work and options.work.exists() and any(options.work.iterdir()):
        sys.exit(f"error: {options.work} is not empty: a first run needs an empty cache. Choose another folder.")
    with ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headstart-bench-")))
        work.mkdir(parents=True, exist_ok=True)
        size = getattr(options, "input_size", None)
        bench = Bench(options.data.resolve(), options.base, size, options.seed, work.resolve())
        try:
            print(compare(bench, options))
        except CommandFailedError as exc:
            sys.exit(f"error: {exc}")
