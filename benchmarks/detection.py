"""Object detection: what a detector costs and finds, with and without cached views, again, and from a cold start.

    python benchmarks/detection.py blood-cells/ [--quick-epochs 3] [--uncached-epochs 6]

DATA is a folder in the form of Pascal VOC with lists of train, val and test images in ImageSets/Main. In turn, each in
a process of its own, measured from outside with its child processes:

1. ``headstart train`` with its defaults and an empty cache, as the first time on a machine;
2. the same data again with fewer epochs: images, base and views are in the cache;
3. the quick mode, fewer epochs from an empty cache;
4. the same head without the cache of views (uncached_detector.py): the frozen base computes each view in each epoch;
5. ``headstart predict`` of one image, a few times; the median counts.

On a machine that is not quiet, wall seconds say little, and processor seconds are what to compare. They are higher
there, too: cores that others use have cold caches.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from contest import Bench, read, read_once, run_contest
from measure import Cost, headstart_command, machine, markdown

_HERE = Path(__file__).parent


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    read_once(bench.data)
    quick = ("--detector-epochs", options.quick_epochs)
    rows = []
    first, folder = bench.train("default", "first")
    rows.append(_row("headstart train", first, folder, first))
    again, again_folder = bench.train("again", "first", *quick)
    rows.append(_row(f"the same data again, --detector-epochs {options.quick_epochs}", again, again_folder, first))
    cost, quick_folder = bench.train("quick", "quick", *quick)
    rows.append(_row(f"--detector-epochs {options.quick_epochs}, empty cache", cost, quick_folder, first))
    if options.uncached_epochs:
        cost, uncached = _without_cache(bench, options.uncached_epochs)
        rows.append(_row(f"the same head without cache, {options.uncached_epochs} epochs", cost, uncached, first))
    image = next(path for path in sorted((bench.data / "JPEGImages").iterdir()))
    predict_s = bench.start_s("predict", [headstart_command(), "predict", folder, image], "first")
    facts = read(folder / "run.json")["detector"]
    return "\n".join(
        [
            f"{bench.data.name}, {bench.base}, seed {bench.seed}. {machine()}.",
            "",
            markdown(("", "CPU s", "of default", "mAP50", "mAP50-95", "peak MB", "wall s", "others' CPU"), rows),
            "",
            f"{facts['views']} views, {facts['epochs']} epochs by default; {facts['parameters']:,} trained parameters; "
            f"{facts['cached_mb']:,.0f} MB of views. One image in a new process: {predict_s:.2f} s wall.",
        ]
    )


def _without_cache(bench: Bench, epochs: int) -> tuple[Cost, Path]:
    runs = bench.work / "runs"
    command = [sys.executable, __file__, "--train-uncached", bench.data, bench.base, epochs, bench.seed, runs]
    return bench.measured("uncached", command, "uncached"), runs / "uncached"


def _train_uncached(data: str, base: str, epochs: str, seed: str, runs: str) -> None:
    """In a process of its own: train with the other trainer."""
    import os

    import headstart as hs
    from headstart.system import keras_worker

    os.environ["PYTHONPATH"] = os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])
    original = keras_worker.call

    def call(function: str, *arguments: Any, **keywords: Any) -> Any:
        name = function.replace("headstart.training.detection.trainer:", "uncached_detector:")
        return original(name, *arguments, **keywords)

    keras_worker.call = call
    hs.train(data, base=base, detector_epochs=int(epochs), seed=int(seed), name="uncached", runs=runs)


def _row(name: str, cost: Cost, run_folder: Path, default: Cost) -> tuple[str, ...]:
    metrics = read(run_folder / "metrics.json")["splits"]["test"]["metrics"]
    return (
        name,
        f"{cost.cpu_s:.0f}",
        f"{cost.cpu_s / default.cpu_s:.0%}",
        f"{metrics['map_50']['value']:.3f}",
        f"{metrics['map_50_95']['value']:.3f}",
        f"{cost.peak_mb:,.0f}",
        f"{cost.wall_s:.0f}",
        "–" if cost.others_share is None else f"{cost.others_share:.0%}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick-epochs", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--uncached-epochs", type=int, default=6, help="0 leaves it out (default: %(default)s)")
    run_contest(parser, compare)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train-uncached"]:
        _train_uncached(*sys.argv[2:])
    else:
        main()
