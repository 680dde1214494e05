"""How long the search for near-duplicates takes, and how many of those planted it finds, for any number of pictures.

    python benchmarks/near_duplicates.py 100000

Pictures are fingerprints with the spectrum of photographs (amplitude falls as 1 / frequency) and random phases. One in
twenty is a copy of another: brightened, with noise, every second one in a mirror. Prints a row of the table.
"""

import argparse
import time

import numpy as np

from headstart.cost import Cost
from headstart.data.fingerprints import SIDE
from headstart.data.near_duplicates import near_pictures


def fingerprints(n: int, seed: int = 0) -> np.ndarray:
    """Pictures with the spectrum of photographs: uint8 (n, SIDE, SIDE)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij"))
    frequency[0, 0] = np.inf
    pixels = np.empty((n, SIDE, SIDE), np.uint8)
    for start in range(0, n, 4096):
        part = pixels[start : start + 4096]
        noise = np.fft.rfft2(rng.standard_normal(part.shape)) / frequency
        waves = np.fft.irfft2(noise, s=(SIDE, SIDE))
        part[:] = (127 + 50 * waves / waves.std((1, 2), keepdims=True)).clip(0, 255)
    return pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int, help="how many pictures")
    n: int = parser.parse_args().n
    pixels = fingerprints(n)
    rng = np.random.default_rng(1)
    chosen = rng.choice(n, (n // 20, 2), replace=False)
    copies = pixels[chosen[:, 0]] * 0.8 + 20 + rng.normal(0, 3, (len(chosen), SIDE, SIDE))
    copies[::2] = copies[::2, :, ::-1]
    pixels[chosen[:, 1]] = copies.clip(0, 255)
    everything = [picture.tobytes() for picture in pixels]
    started, cost = time.perf_counter(), Cost()
    pairs = {tuple(pair) for pair in near_pictures(everything).tolist()}
    seconds = time.perf_counter() - started
    planted = {(min(pair), max(pair)) for pair in chosen.tolist()}
    found = len(planted & pairs)
    print(f"| {n:,} | {seconds:.1f} s | {found:,} of {len(planted):,} | {len(pairs - planted):,} |")
    print(f"peak memory {cost.so_far()['peak_memory_mb']:,.0f} MB")


if __name__ == "__main__":
    main()
