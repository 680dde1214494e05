"""headstart against the Keras guide's loop on one data set: same base, same weights, same pictures, same split.

    make bench DATA=folder          or: python benchmarks/run.py folder [--base HANDLE] [--epochs 20]

Everything runs in turn, each in a process of its own, measured from outside with imports and all:

1. ``headstart train`` with an empty cache, as the first time ever on a machine; its split is the one that all use.
2. The guide's loop (keras_guide.py).
3. ``headstart train`` where only the base has been prepared before, by a run on other data.
4. ``headstart train`` once more, on the same data.

Every file is read once beforehand, so that nobody pays for a slow disk. Prints Markdown to stdout, talk to stderr.
"""

import argparse
import csv
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import CommandFailedError, Cost, headstart_command, machine, markdown, run

_HERE = Path(__file__).parent
_STARTS = 5  # short commands are repeated, and the median counts


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

    def train(self, name: str, cache: str) -> tuple[Cost, Path]:
        """Run ``headstart train`` with a cache folder of this name; gives its cost and the run folder."""
        runs = self.work / "runs"
        options = [*self.base_options, "--name", name, "--runs", runs, "--seed", self.seed]
        return self._measured(name, [headstart_command(), "train", self.data, *options], cache), runs / name

    def guide(self, split_csv: Path, epochs: int, batch: int) -> tuple[Cost, dict[str, Any]]:
        """Run the guide's loop on a split; gives its cost, seen from outside, and its own figures."""
        out = self.work / "guide.json"
        options = ["--split-csv", split_csv, "--out", out, "--seed", self.seed, "--epochs", epochs, "--batch", batch]
        command = [sys.executable, _HERE / "keras_guide.py", *self.base_options, *options]
        return self._measured("guide", command, "unused"), _read(out)

    def bound(self, files: list[Path], cache: str) -> dict[str, Any]:
        """Measure decoding and engine alone."""
        listing, out = self.work / "files.txt", self.work / "bound.json"
        listing.write_text("\n".join(map(str, files)), encoding="utf-8")
        self._measured("bound", [sys.executable, _HERE / "bound.py", listing, *self.base_options, "--out", out], cache)
        return _read(out)

    def start_s(self, name: str, command: Sequence[object], cache: str) -> float:
        """Wall time of a short command: the median of a few runs."""
        return statistics.median(self._measured(name, command, cache).wall_s for _ in range(_STARTS))

    def _measured(self, name: str, command: Sequence[object], cache: str) -> Cost:
        print(f"{name} …", file=sys.stderr, flush=True)
        return run(command, self.work / f"{name}.log", {"HEADSTART_CACHE": str(self.work / "caches" / cache)})


def split_of(run_folder: Path, csv_path: Path) -> list[Path]:
    """Write the split of a headstart run as a CSV for the guide; gives the files of all its parts."""
    root = Path(_read(run_folder / "run.json")["data"]["root"])
    with open(run_folder / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = [(root / row["file"], row["label"], row["split"]) for row in csv.DictReader(file)]
    with open(csv_path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "split"))
        writer.writerows(rows)
    return [path for path, *_ in rows]


def compare(bench: Bench, epochs: int, batch: int) -> str:
    """Run everything in turn and give the report as Markdown."""
    _read_once(bench.data)
    cold, cold_run = bench.train("cold", cache="first")
    files = split_of(cold_run, bench.work / "split.csv")
    guide, guide_figures = bench.guide(bench.work / "split.csv", epochs, batch)
    shutil.copytree(bench.work / "caches/first/engines", bench.work / "caches/second/engines")
    warm, warm_run = bench.train("warm-engine", cache="second")
    again, again_run = bench.train("again", cache="second")
    best = f"{guide_figures['test_accuracy']:.3f} (best epoch {guide_figures['best_epoch_test_accuracy']:.3f})"
    rows = [
        _row(f"Keras guide, {epochs} epochs", guide, best, guide),
        _row("headstart, first run on the machine", cold, _accuracy(cold_run), guide),
        _row("headstart, base prepared before", warm, _accuracy(warm_run), guide),
        _row("headstart, same data again", again, _accuracy(again_run), guide),
    ]
    images = guide_figures["images"]
    return "\n".join(
        [
            f"{bench.data.name}: {len(guide_figures['classes'])} classes, {images['train']:,} pictures to train, "
            f"{images['val']:,} to validate, {images['test']:,} to test; {bench.base} at "
            f"{' x '.join(map(str, guide_figures['input_size']))} px, seed {bench.seed}, batch {batch}.",
            f"{machine()}.",
            "",
            markdown(("", "wall s", "CPU s", "peak MB", "test accuracy", "times as fast"), rows),
            "",
            "Wall time is that of the whole process; peak is the largest process's. "
            f"The guide spent {guide_figures['fit_s']:.1f} s of its time in `fit`.",
            "",
            *_stages(("first run", cold_run), ("base prepared", warm_run), ("again", again_run)),
            "",
            *_frozen_pass(bench.bound(files, cache="second"), cold_run, warm_run),
            "",
            *_starts(bench, again_run, files[0]),
        ]
    )


def _row(name: str, cost: Cost, accuracy: str, guide: Cost) -> tuple[str, ...]:
    faster = f"{guide.wall_s / cost.wall_s:.1f}"
    return name, f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{cost.peak_mb:,.0f}", accuracy, faster


def _accuracy(run_folder: Path) -> str:
    return f"{_read(run_folder / 'metrics.json')['splits']['test']['accuracy']['value']:.3f}"


def _stages(*runs: tuple[str, Path]) -> list[str]:
    """Where headstart's time goes: one column per run."""
    seconds = [{s["stage"]: s["seconds"] for s in _read(folder / "run.json")["cost"]["stages"]} for _, folder in runs]
    names = list(dict.fromkeys(name for stages in seconds for name in stages))
    rows = [(name, *(f"{stages[name]:.1f}" if name in stages else "–" for stages in seconds)) for name in names]
    return [markdown(("stage, s", *(title for title, _ in runs)), rows)]


def _frozen_pass(bound: dict[str, Any], cold_run: Path, warm_run: Path) -> list[str]:
    cold, warm = (_read(folder / "run.json")["cost"] for folder in (cold_run, warm_run))
    limit = bound["bound_images_per_s"]
    parts = [
        ("decoding alone, all cores", bound["decode_images_per_s"]),
        (f"engine alone ({bound['engine']}, {bound['precision']})", bound["engine_images_per_s"]),
        ("bound: both on the same cores", limit),
        (f"headstart, base prepared before, {warm['images_computed']:,} pictures", warm["images_per_s"]),
        (f"headstart, first run, {cold['images_computed']:,} pictures", cold["images_per_s"]),
    ]
    rows = [(name, f"{rate:,.0f}", f"{rate / limit:.0%}") for name, rate in parts]
    return [markdown(("frozen pass", "images/s", "of the bound"), rows)]


def _starts(bench: Bench, run_folder: Path, photo: Path) -> list[str]:
    headstart = headstart_command()
    commands: dict[str, Sequence[object]] = {
        "python alone": [sys.executable, "-c", "pass"],
        "import headstart": [sys.executable, "-c", "import headstart"],
        "headstart --help": [headstart, "--help"],
        "headstart predict": [headstart, "predict", run_folder, photo],
    }
    rows = [(name, f"{bench.start_s(name, command, cache='second'):.2f}") for name, command in commands.items()]
    return [markdown((f"whole process, median of {_STARTS}", "wall s"), rows)]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_once(data: Path) -> None:
    """Bring the files into the system's own cache."""
    for path in data.rglob("*") if data.is_dir() else ():
        if path.is_file():
            with open(path, "rb") as file:
                while file.read(1 << 20):
                    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="what `headstart train` takes: a folder with one folder per class …")
    parser.add_argument("--base", default="embedded:efficientnet-lite0", help="base handle (default: %(default)s)")
    parser.add_argument("--input-size", type=int, help="pixels; default: the base's own")
    parser.add_argument("--epochs", type=int, default=20, help="of the guide's loop (default: %(default)s, as it says)")
    parser.add_argument("--batch", type=int, default=32, help="of the guide's loop (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--work", type=Path, help="an empty or new folder that keeps caches, runs and logs")
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(f"error: {options.data} does not exist: expected a folder with one folder of pictures per class.")
    if options.work and options.work.exists() and any(options.work.iterdir()):
        sys.exit(f"error: {options.work} is not empty: a first run needs an empty cache. Choose another folder.")
    with ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headstart-bench-")))
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(options.data.resolve(), options.base, options.input_size, options.seed, work.resolve())
        try:
            print(compare(bench, options.epochs, options.batch))
        except CommandFailedError as exc:
            sys.exit(f"error: {exc}")


if __name__ == "__main__":
    main()
