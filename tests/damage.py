"""What happens to files on a disk, for tests: each damage changes one file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np


def _flip_bits(path: Path) -> None:
    content = np.fromfile(path, np.uint8)
    places = np.random.default_rng(0).integers(0, len(content), 200)
    content[places] ^= 1 << np.arange(200, dtype=np.uint8) % 8
    path.write_bytes(content.tobytes())


def _flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    path.write_bytes(content)


def _zero_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    start, length = len(content) // 3, min(4096, len(content) // 3)
    content[start : start + length] = bytes(length)
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "other content": lambda path: path.write_bytes(b"<html>the disk quota is exceeded</html>" * 20),
    "bits flipped": _flip_bits,
    "one bit flipped": _flip_one_bit,
    "a zeroed sector": _zero_the_middle,
}
