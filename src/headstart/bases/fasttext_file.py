"""fastText's own binary format (``.bin``); the vectors stay in the file, so that a 7 GB file needs no 7 GB of memory.

Source: ``FastText::saveModel``, ``Args::save``, ``Dictionary::save`` and ``DenseMatrix::save`` in fastText's ``src/``.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from headstart.bases.word_table import NGrams, WordTable

MAGIC = (793712314).to_bytes(4, "little")
_VERSIONS = (11, 12)
_SUPERVISED = 3  # in Args: a classifier
_BLOCK_BYTES = 1 << 20


def open_fasttext(path: Path) -> WordTable:
    """Read the words of a file, and map its vectors.

    Raises:
        ValueError: the file is quantized, of an unknown version or damaged.
        EOFError: the file is truncated.
    """
    with open(path, "rb") as file:
        _magic, version = _unpack(file, "<2i")
        if version not in _VERSIONS:
            raise ValueError(f"it has version {version} of fastText's binary format; supported are 11 and 12")
        dim, _ws, _epoch, _min_count, _neg, _ngrams, _loss, model, bucket, shortest, longest, _rate, _t = _unpack(
            file, "<12id"
        )
        if version == 11 and model == _SUPERVISED:  # classifiers of version 11 ignore their n-gram settings
            longest = 0
        entries, n_words, _n_labels, _n_tokens, pruned = _unpack(file, "<3i2q")
        words = list(_words(file, entries))[:n_words]  # the labels follow the words
        (is_quantized,) = _unpack(file, "<?")
        if is_quantized or pruned >= 0:
            raise ValueError("it is quantized and does not contain the vectors: use the original .bin or .vec file")
        n, d = _unpack(file, "<2q")
        if (n, d) != (n_words + bucket, dim):
            raise ValueError(f"it has {n:,} vectors of {d} numbers, expected {n_words + bucket:,} of {dim}")
        start = file.tell()
        file.seek(start + 4 * n * d)
        _quantized, outputs, width = _unpack(file, "<?2q")  # read only to find the expected end of the file
        if file.tell() + 4 * outputs * width > path.stat().st_size:
            raise EOFError("it is truncated")
    rows = np.memmap(path, "<f4", "r", start, (n, d))
    ngrams = NGrams(shortest, longest, rows[n_words:]) if longest and bucket else None
    return WordTable(words, rows[:n_words], ngrams)


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    content = file.read(struct.calcsize(form))
    if len(content) < struct.calcsize(form):
        raise EOFError("it is truncated")
    return struct.unpack(form, content)


def _words(file: BinaryIO, count: int) -> Iterator[str]:
    """Words that end with a zero byte; the count and the kind of each word follow it."""
    block, start, trailer_bytes = b"", 0, struct.calcsize("<qb")
    for _ in range(count):
        while (end := block.find(b"\0", start)) < 0 or end + trailer_bytes >= len(block):
            next_block = file.read(_BLOCK_BYTES)
            if not next_block:
                raise EOFError("it is truncated")
            block, start = block[start:] + next_block, 0
        yield block[start:end].decode("utf-8", "replace")
        start = end + 1 + trailer_bytes
    file.seek(start - len(block), 1)
