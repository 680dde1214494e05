"""A frozen base and a new head: headstart against the Keras guide's loop, from the same base, weights and split.

    make bench DATA=folder          or: python benchmarks/head.py folder [--base HANDLE] [--epochs 20]

Everything runs in turn, each in a process of its own, measured from outside with imports and all:

All without fine-tuning, which fine_tuning.py compares:

1. ``headstart train`` with an empty cache, as the first time ever on a machine; its split is the one that all use.
2. The guide's loop (keras_guide.py).
3. ``headstart train`` where only the base has been prepared before, by a run on other data.
4. ``headstart train`` once more, on the same data.

Every file is read once beforehand, so that nobody pays for a slow disk. Prints Markdown to stdout, talk to stderr.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contest import STARTS, Bench, picture_options, read, read_once, run_contest, split_of, test_accuracy
from measure import Cost, headstart_command, machine, markdown


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    read_once(bench.data)
    head_only = ("--fine-tune", "none")
    cold, cold_run = bench.train("cold", "first", *head_only)
    files = split_of(cold_run, bench.work / "split.csv")
    guide, guide_figures = bench.guide(bench.work / "split.csv", "--epochs", options.epochs, "--batch", options.batch)
    shutil.copytree(bench.work / "caches/first/engines", bench.work / "caches/second/engines")
    warm, warm_run = bench.train("warm-engine", "second", *head_only)
    again, again_run = bench.train("again", "second", *head_only)
    best = f"{guide_figures['test_accuracy']:.3f} (best epoch {guide_figures['best_epoch_test_accuracy']:.3f})"
    rows = [
        _row(f"Keras guide, {options.epochs} epochs", guide, best, guide),
        _row("headstart, first run on the machine", cold, f"{test_accuracy(cold_run):.3f}", guide),
        _row("headstart, base prepared before", warm, f"{test_accuracy(warm_run):.3f}", guide),
        _row("headstart, same data again", again, f"{test_accuracy(again_run):.3f}", guide),
    ]
    return "\n".join(
        [
            bench.title(guide_figures, options.batch),
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


def _stages(*runs: tuple[str, Path]) -> list[str]:
    """Where headstart's time goes: one column per run."""
    seconds = [{s["stage"]: s["seconds"] for s in read(folder / "run.json")["cost"]["stages"]} for _, folder in runs]
    names = list(dict.fromkeys(name for stages in seconds for name in stages))
    rows = [(name, *(f"{stages[name]:.1f}" if name in stages else "–" for stages in seconds)) for name in names]
    return [markdown(("stage, s", *(title for title, _ in runs)), rows)]


def _frozen_pass(bound: dict[str, Any], cold_run: Path, warm_run: Path) -> list[str]:
    cold, warm = (read(folder / "run.json")["cost"] for folder in (cold_run, warm_run))
    limit = bound["bound_images_per_s"]
    parts = [
        ("decoding alone, all cores", bound["decode_images_per_s"]),
        (f"engine alone ({bound['engine']}, {bound['precision']})", bound["engine_images_per_s"]),
        ("bound: both on the same cores", limit),
        (f"headstart, base prepared before, {warm['examples_computed']:,} pictures", warm["examples_per_s"]),
        (f"headstart, first run, {cold['examples_computed']:,} pictures", cold["examples_per_s"]),
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
    return [markdown((f"whole process, median of {STARTS}", "wall s"), rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="of the guide's loop (default: %(default)s, as it says)")
    picture_options(parser)
    run_contest(parser, compare)


if __name__ == "__main__":
    main()
