"""Does memory stay flat as the data grow? ``headstart train`` on more and more small pictures, made up here.

    python benchmarks/memory.py [1000 10000 100000]

Pictures are 64x64 px JPEG files of smooth random colours, each one different, in two classes that differ in tint. They
are trained on at 32 px so that the number of examples is what counts. The base is prepared once before, because that
happens in a process of its own whose peak would hide what is asked here. Prints a Markdown table.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from measure import CommandFailedError, Cost, headstart_command, machine, markdown, run

_SIDE_PX, _PATCHES = 64, 8
_TINT = {"cool": (0, 0, 60), "warm": (60, 0, 0)}
_FIRST = 100  # pictures in the run that prepares the base


def write_pictures(folder: Path, count: int) -> None:
    """Write this many JPEG files, half of them in each class folder."""
    import numpy as np  # in a child process only: the one that measures stays small (see measure.run)
    from PIL import Image

    rng = np.random.default_rng(count)
    for name, tint in _TINT.items():
        (folder / name).mkdir(parents=True)
        for i in range(count // 2):
            patches = rng.integers(0, 196, (_PATCHES, _PATCHES, 3)) + np.array(tint)
            picture = Image.fromarray(patches.astype(np.uint8))
            picture.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC).save(folder / name / f"{i:06}.jpg")


def train(work: Path, count: int, cache: Path) -> Cost:
    """Make the pictures, train on them with this cache, and delete both again; gives the cost of the training."""
    data = work / f"pictures-{count}"
    print(f"{count:,} pictures …", file=sys.stderr, flush=True)
    run([sys.executable, __file__, "--write", data, count], work / "write.log")
    options = ["--input-size", "32", "--runs", work / "runs", "--name", f"memory-{count}", "--seed", "0"]
    cost = run([headstart_command(), "train", data, *options], work / "train.log", {"HEADSTART_CACHE": str(cache)})
    shutil.rmtree(data)
    return cost


def table(counts: list[int], work: Path) -> str:
    """Measure every count with a cache of its own that holds the prepared base and nothing else."""
    train(work, _FIRST, work / "first")
    rows = []
    for count in counts:
        cache = work / f"cache-{count}"
        shutil.copytree(work / "first/engines", cache / "engines")
        cost = train(work, count, cache)
        shutil.rmtree(cache)
        own = f"{cost.own_mb:,.0f}" if cost.own_mb else "–"
        rows.append((f"{count:,}", f"{cost.wall_s:.1f}", f"{count / cost.wall_s:,.0f}", f"{cost.peak_mb:,.0f}", own))
    return markdown(("pictures", "wall s", "pictures/s", "peak MB", "without mapped files, MB"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("counts", nargs="*", type=int, default=[1_000, 10_000, 100_000], help="default: %(default)s")
    parser.add_argument("--write", nargs=2, metavar=("FOLDER", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_pictures(Path(options.write[0]), int(options.write[1]))
        return
    with tempfile.TemporaryDirectory(prefix="headstart-memory-") as work:
        try:
            print(f"{machine()}.\n\n{table(options.counts, Path(work))}")
        except CommandFailedError as exc:
            sys.exit(f"error: {exc}")


if __name__ == "__main__":
    main()
