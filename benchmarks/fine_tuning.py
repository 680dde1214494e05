"""Head and fine-tuning: headstart against the Keras guide and fastai on one data set, from the same base and split.

    make bench-tuning DATA=folder [ARGS="--fastai PYTHON"]

Everything runs in turn, each in a process of its own, measured from outside with imports and all:

1. ``headstart train`` with its defaults and an empty cache, as the first time ever on a machine; its split is the one
   that all use. By default it fine-tunes only where the validation data could tell whether that helps.
2. Where it did not: ``headstart train --fine-tune last:10 --keep fine-tuned``, for the time and the accuracy that
   fine-tuning has there. It finds features and head in the cache.
3. The guide: 20 epochs of the head, 10 of the whole model (keras_guide.py).
4. fastai's ``fine_tune(4)`` (fastai_tune.py), if an interpreter that has fastai is named.

On a machine that is not quiet the longer runs suffer more: what other processes took meanwhile is shown.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

from contest import Bench, picture_options, read, read_once, run_contest, split_of, test_accuracy
from measure import Cost, machine, markdown


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    read_once(bench.data)
    default, folder = bench.train("default", "first")
    contestants = [("headstart train", default, f"{test_accuracy(folder):.3f}", _epoch_s(folder))]
    if _epoch_s(folder) is None:
        wanted = ("--fine-tune", options.blocks, "--keep", "fine-tuned")
        cost, tuned = bench.train("tuned", "first", *wanted)
        total = default.plus(cost)
        name = f"headstart train, then --fine-tune {options.blocks} --keep fine-tuned"
        contestants.append((name, total, f"{test_accuracy(tuned):.3f}", _epoch_s(tuned)))
    split_of(folder, bench.work / "split.csv")
    epochs = ("--epochs", options.epochs, "--fine-tune-epochs", options.fine_tune_epochs, "--batch", options.batch)
    guide, figures = bench.guide(bench.work / "split.csv", *epochs)
    tuned_figures = figures["fine_tuning"]
    shown = f"{tuned_figures['test_accuracy']:.3f} (best epoch {tuned_figures['best_epoch_test_accuracy']:.3f})"
    name = f"Keras guide, {options.epochs} + {options.fine_tune_epochs} epochs"
    contestants.append((name, guide, shown, statistics.median(tuned_figures["epoch_s"])))
    if options.fastai:
        cost, fastai = bench.fastai(options.fastai, bench.work / "split.csv", options.fastai_epochs)
        name = f"fastai, fine_tune({options.fastai_epochs})"
        contestants.append((name, cost, f"{fastai['test_accuracy']:.3f}", statistics.median(fastai["epoch_s"])))
    return "\n".join(
        [
            bench.title(figures, options.batch),
            f"{machine()}.",
            "",
            markdown(
                ("", "wall s", "of default", "test accuracy", "fine-tuning epoch s", "peak MB", "others' CPU"),
                [_row(*contestant, default) for contestant in contestants],
            ),
            "",
            f"Guide's test accuracy after its head: {figures['test_accuracy']:.3f}; validation accuracy of its "
            f"fine-tuning epochs: {_series(tuned_figures['history']['val_accuracy'])}.",
            "",
            read(folder / "run.json")["fine_tuning"]["reason"],
        ]
    )


def _row(name: str, cost: Cost, accuracy: str, epoch_s: float | None, default: Cost) -> tuple[str, ...]:
    return (
        name,
        f"{cost.wall_s:.1f}",
        f"{cost.wall_s / default.wall_s:.1f}",
        accuracy,
        "–" if epoch_s is None else f"{epoch_s:.1f}",
        f"{cost.peak_mb:,.0f}",
        "–" if cost.others_share is None else f"{cost.others_share:.1%}",
    )


def _epoch_s(run_folder: Path) -> float | None:
    """Seconds of one fine-tuning epoch of a headstart run, validation included; None if it did not fine-tune."""
    process: dict[str, Any] | None = read(run_folder / "run.json")["fine_tuning"]["process"]
    return process["seconds"] / process["epochs"] if process and process["epochs"] else None


def _series(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="of the guide's head (default: %(default)s)")
    parser.add_argument("--fine-tune-epochs", type=int, default=10, help="of the guide (default: %(default)s)")
    parser.add_argument("--blocks", default="last:10", help="where headstart's default does not (default: %(default)s)")
    parser.add_argument("--fastai", type=Path, metavar="PYTHON", help="interpreter of an environment that has fastai")
    parser.add_argument("--fastai-epochs", type=int, default=4, help="of fastai's fine_tune (default: %(default)s)")
    picture_options(parser)
    run_contest(parser, compare)


if __name__ == "__main__":
    main()
