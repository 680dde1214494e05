"""Files of word vectors: of millions of words only those that are wanted are ever in memory.

Read as a stream: word2vec's binary (``.bin``), the text of word2vec and fastText (``.vec``, a header with the two
sizes) and the text of GloVe (no header), each also compressed (``.gz``). Read where they lie: fastText's own binary
(``.bin``) and gensim's ``.kv``.
"""

import gzip
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.fasttext_file import MAGIC, open_fasttext
from headstart.bases.keyed_vectors import PICKLE, open_keyed_vectors
from headstart.bases.word_table import Words, WordTable
from headstart.errors import InputError
from headstart.system import console

_BLOCK = 8 << 20
_EXPECTED = (
    "expected word2vec's or fastText's .bin, gensim's .kv, or lines of a word and its numbers, as GloVe and fastText "
    "write them"
)
_SHOWN_EVERY = 20_000  # words


def read_words(path: Path, wanted: Collection[str], first: int) -> Words:
    """Read the first words of a file, and those that are wanted wherever they stand.

    Args:
        path: the file.
        wanted: words.
        first: how many words to take from the start, whatever they are.

    Raises:
        InputError: this is no file of word vectors, or a damaged one.
    """
    try:
        table = _open_table(path)
        words = _stream(path, set(wanted), first) if table is None else table.take(set(wanted), first)
    except (EOFError, OSError, ValueError, IndexError) as exc:
        raise InputError(f"{path} is not a file of word vectors, or is damaged ({exc}): {_EXPECTED}.") from exc
    if not words.words:
        raise InputError(f"{path} holds no word vectors: {_EXPECTED}.")
    return words


def _open_table(path: Path) -> WordTable | None:
    """The words of a file whose vectors can be left in it; None where it has to be read from end to end."""
    with open(path, "rb") as file:
        start = file.read(len(MAGIC))
    if start == MAGIC:
        return open_fasttext(path)
    return open_keyed_vectors(path) if start.startswith(PICKLE) else None


def _stream(path: Path, wanted: set[str], first: int) -> Words:
    chosen: dict[str, None] = {}
    values = bytearray()  # it grows in place: a list of arrays would need twice the memory once they are put together
    with open(path, "rb") as raw, console.progress("word vectors", total=path.stat().st_size >> 20, unit="MB") as bar:
        shown = 0

        def takes(number: int, word: str) -> bool:
            nonlocal shown
            if number % _SHOWN_EVERY == 0:
                place = raw.tell() >> 20
                bar.advance(place - shown)
                shown = place
            return (number < first or word in wanted) and word not in chosen

        file: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        for word, vector in _records(file, takes):
            chosen[word] = None
            values += vector.tobytes()
    return Words(list(chosen), np.frombuffer(values, np.float32).reshape(len(chosen), -1))


_Takes = Callable[[int, str], bool]
_Records = Iterator[tuple[str, np.ndarray]]


def _records(file: Any, takes: _Takes) -> _Records:
    if file.peek(len(MAGIC)).startswith((MAGIC, PICKLE)):
        raise ValueError("in this format it cannot be used compressed: unpack it")
    line = file.readline(1 << 20)
    header = line.split()
    if len(header) != 2:
        yield from _text(file, line, len(header) - 1, None, takes)
        return
    count, d = map(int, header)
    if _is_text(file.peek(1 << 16), d):
        yield from _text(file, b"", d, count, takes)
    else:
        yield from _binary(file, count, d, takes)


def _is_text(sample: bytes, d: int) -> bool:
    """Whether a word is followed by numbers that one can read."""
    try:
        float(sample.split(maxsplit=2)[1])
    except (ValueError, IndexError):
        return False
    return True


def _text(file: Any, first: bytes, d: int, count: int | None, takes: _Takes) -> _Records:
    if d < 2:
        raise ValueError("its first line is not a word and its numbers")
    number = 0
    for line in _lines(first, file):
        parts = line.rstrip().rsplit(b" ", d)  # a few words of GloVe have spaces in them
        if len(parts) != d + 1:
            raise ValueError(f"line {number + 1:,} does not have {d} numbers")
        word = parts[0].decode("utf-8", "replace")
        if takes(number, word):
            yield word, np.array(parts[1:], np.float32)
        number += 1
    if count is not None and number < count:
        raise EOFError(f"it ends after {number:,} of {count:,} words")


def _lines(first: bytes, file: Any) -> Iterator[bytes]:
    if first:
        yield first
    yield from (line for line in file if line.strip())


def _binary(file: Any, count: int, d: int, takes: _Takes) -> _Records:
    block, at, size = b"", 0, 4 * d
    for number in range(count):
        end = block.find(b" ", at)
        while end < 0 or end + size >= len(block):
            more = file.read(_BLOCK)
            if not more:
                raise EOFError(f"it ends after {number:,} of {count:,} words")
            block, at = block[at:] + more, 0
            end = block.find(b" ")
        word = block[at:end].lstrip(b"\n").decode("utf-8", "replace")
        if takes(number, word):
            yield word, np.frombuffer(block, "<f4", d, end + 1).astype(np.float32)
        at = end + 1 + size
