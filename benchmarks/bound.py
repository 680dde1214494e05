"""How fast could the frozen pass be? Measures its two parts alone: decoding on all cores, and the engine on pixels.

    python benchmarks/bound.py FILES.txt --base embedded:efficientnet-lite0 --out bound.json

On a CPU both parts share the cores, so a pass that wastes nothing needs the sum of their times for each image:
bound = 1 / (1 / decode_rate + 1 / engine_rate). A process of its own, because it holds pictures in memory and head.py
must stay small (see measure.run).
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import ImageBase, load_base
from headstart.data.images import Decoder
from headstart.data.modalities import IMAGE
from headstart.features.engines import Engine, open_engine, resolve_precision
from headstart.system.settings import cache_folder

_KEPT = 512  # decoded pictures for the engine to go round: enough that they do not stay in the processor's cache
_MIN_IMAGES = 2048  # a shorter measurement is mostly its start and end


def decode_rate(decoder: Decoder, paths: list[Path]) -> float:
    """Images a second, every file decoded once on all cores and dropped."""
    start = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        count = sum(1 for _ in pool.map(lambda path: decoder.read(path).shape, paths))
    return count / (time.perf_counter() - start)


def engine_rate(engine: Engine, pixels: np.ndarray) -> float:
    """Images a second in full batches that are already decoded, as many at a time as the engine likes."""
    size = engine.batch_size
    full = [pixels[start : start + size] for start in range(0, len(pixels) - size + 1, size)] or [pixels]
    rounds = -(-_MIN_IMAGES // (len(full) * len(full[0])))

    def batches() -> Iterator[tuple[int, np.ndarray]]:
        for _ in range(rounds):
            yield from enumerate(full)

    engine(full[0])  # the first call allocates
    start = time.perf_counter()
    count = sum(len(features) for _, features in engine.stream(batches()))
    return count / (time.perf_counter() - start)


def measure(base: ImageBase, paths: list[Path], repeats: int) -> dict[str, Any]:
    """The best of a few repeats of each part, and the bound that follows from them."""
    decoder = Decoder(base.input_size, base.resize)
    pixels = np.stack([decoder.read(path) for path in paths[:_KEPT]])
    engine = open_engine(base, cache_folder(), pixels[:4], precision=resolve_precision("auto"))
    decoding = max(decode_rate(decoder, paths) for _ in range(repeats))
    computing = max(engine_rate(engine, pixels) for _ in range(repeats))
    return {
        "engine": engine.name,
        "precision": engine.precision,
        "decode_images_per_s": decoding,
        "engine_images_per_s": computing,
        "bound_images_per_s": 1 / (1 / decoding + 1 / computing),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, help="a text file that lists image files, one a line")
    parser.add_argument("--base", default=IMAGE.default_bases[0], help="base handle (default: %(default)s)")
    parser.add_argument("--input-size", type=int, help="pixels; default: the base's own")
    parser.add_argument("--repeats", type=int, default=3, help="the best counts (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    options = parser.parse_args()
    paths = [Path(line) for line in options.files.read_text(encoding="utf-8").splitlines()]
    figures = measure(load_base(options.base, input_size=options.input_size).for_images(), paths, options.repeats)
    options.out.write_text(json.dumps(figures, indent=2))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
