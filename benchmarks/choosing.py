"""What choosing a base costs: a race of many bases against one pass of one base over all the data.

    python benchmarks/choosing.py flowers/ [--bases 20] [--folder build/bases]

The bases are Keras Applications with random weights, saved as files: their features are worth little, but they cost
what such bases cost. One that needs no network is among them, and should win. No features are cached; but for the first
line, the bases have been prepared for this machine before. Prints a Markdown table.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import headstart as hs
from headstart.system.keras_worker import import_keras
from measure import markdown

_GOOD = "embedded:efficientnet-lite0"
_KINDS: tuple[tuple[str, tuple[float | None, ...]], ...] = (
    ("MobileNetV2", (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)),
    ("MobileNet", (0.25, 0.5, 0.75, 1.0)),
    ("MobileNetV3Small", (0.75, 1.0)),
    ("MobileNetV3Large", (0.75, 1.0)),
    ("EfficientNetB0", (None,)),
    ("EfficientNetV2B0", (None,)),
    ("NASNetMobile", (None,)),
    ("DenseNet121", (None,)),
    ("ResNet50V2", (None,)),
)


def save(folder: Path, count: int) -> list[str]:
    """Handles of so many bases, saved as files unless they are there."""
    chosen = [(name, alpha) for name, alphas in _KINDS for alpha in alphas][:count]
    paths = {pair: folder / f"{pair[0]}-{pair[1] or 1}.keras" for pair in chosen}
    for (name, alpha), path in paths.items():
        if not path.exists():
            keras = import_keras()
            options: dict[str, Any] = {"weights": None, "include_top": False, "pooling": "avg"}
            options |= {} if alpha is None else {"alpha": alpha}
            options |= {"include_preprocessing": False} if "V3" in name or "V2B" in name else {}
            inputs = keras.Input((224, 224, 3))
            x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
            network = getattr(keras.applications, name)(input_tensor=x, **options)
            keras.Model(inputs, network.output).save(path)
    return [f"file:{path}" for path in paths.values()]


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call gives, its wall seconds and its processor seconds."""
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    found = call()
    return found, time.perf_counter() - wall, sum(os.times()[:4]) - cpu


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--bases", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("build/bases"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    bases = [_GOOD, *save(options.folder, options.bases - 1)]
    dataset = hs.load_dataset(options.data)
    lines = []
    with tempfile.TemporaryDirectory() as cache:

        def race() -> Any:
            return hs.compare(options.data, bases=bases, cache=cache)

        def forget() -> None:
            shutil.rmtree(Path(cache, "features"), ignore_errors=True)

        for what, call in (
            (f"{len(bases)} bases, first time here", race),
            (f"{len(bases)} bases, prepared", race),
            (
                "the best of them, over everything",
                lambda: hs.extract(hs.load_base(_GOOD), dataset.examples, cache=cache),
            ),
        ):
            forget()
            found, wall, cpu = timed(call)
            told = f"{found.best}, {found.format_figure(found.best_row)}" if hasattr(found, "best") else ""
            lines.append((what, f"{wall:.0f} s", f"{cpu:.0f} s", told))
    print(markdown(("what", "wall", "processor", "best"), lines))


if __name__ == "__main__":
    main()
