"""fastText's own binary format (``.bin``), its matrix left in the file: 7 GB of it need no 7 GB of memory.

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
_BLOCK = 1 << 20


def open_fasttext(path: Path) -> WordTable:
    """The words of such a file, and their vectors where they lie in it.

    Raises:
        ValueError: it is quantized, of an unknown version or damaged.
        EOFError: it is cut short.
    """
    with open(path, "rb") as file:
        _magic, version = _unpack(file, "<2i")
        if version not in _VERSIONS:
            raise ValueError(f"it is of version {version} of fastText's binary format, and 11 and 12 are known")
        dim, _ws, _epoch, _min_count, _neg, _ngrams, _loss, model, bucket, shortest, longest, _rate, _t = _unpack(
            file, "<12id"
        )
        if version == 11 and model == _SUPERVISED:  # classifiers did not use n-grams then, whatever they say
            longest = 0
        entries, n_words, _n_labels, _n_tokens, pruned = _unpack(file, "<3i2q")
        words = list(_words(file, entries))[:n_words]  # labels come after them
        (quantized,) = _unpack(file, "<?")
        if quantized or pruned >= 0:
            raise ValueError("it is quantized, so its vectors are not in it: take the .bin or .vec that it was made of")
        n, d = _unpack(file, "<2q")
        if (n, d) != (n_words + bucket, dim):
            raise ValueError(f"it has {n:,} vectors of {d} numbers where {n_words + bucket:,} of {dim} were expected")
        start = file.tell()
        file.seek(start + 4 * n * d)
        _quantized, outputs, width = _unpack(file, "<?2q")  # what follows is of no use here, but tells of the end
        if file.tell() + 4 * outputs * width > path.stat().st_size:
            raise EOFError("it is cut short")
    rows = np.memmap(path, "<f4", "r", start, (n, d))
    ngrams = NGrams(shortest, longest, rows[n_words:]) if longest and bucket else None
    return WordTable(words, rows[:n_words], ngrams)


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    content = file.read(struct.calcsize(form))
    if len(content) < struct.calcsize(form):
        raise EOFError("it is cut short")
    return struct.unpack(form, content)


def _words(file: BinaryIO, count: int) -> Iterator[str]:
    """Words that end with a zero byte, each followed by how often it occurred and what kind it is."""
    block, at, behind = b"", 0, struct.calcsize("<qb")
    for _ in range(count):
        while (end := block.find(b"\0", at)) < 0 or end + behind >= len(block):
            more = file.read(_BLOCK)
            if not more:
                raise EOFError("it is cut short")
            block, at = block[at:] + more, 0
        yield block[at:end].decode("utf-8", "replace")
        at = end + 1 + behind
    file.seek(at - len(block), 1)
