"""Files of word vectors: of millions of words, only the selected ones are loaded into memory.

Three formats are read as a stream, also compressed (``.gz``): word2vec's binary (``.bin``), the text of word2vec and
fastText (``.vec``, a header with the two sizes) and the text of GloVe (no header). Two formats are mapped: fastText's
own binary (``.bin``) and gensim's ``.kv``.
"""

import codecs
import gzip
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import refuse_pointers
from headstart.bases.fasttext_file import MAGIC, open_fasttext
from headstart.bases.keyed_vectors import PICKLE, open_keyed_vectors
from headstart.bases.word_table import Words, WordTable
from headstart.errors import InputError
from headstart.system.progress import NO_PROGRESS, Progress

_BLOCK_BYTES = 8 << 20
_EXPECTED = (
    "expected word2vec's or fastText's .bin, gensim's .kv, or lines with a word and its numbers, as GloVe and fastText "
    "write them"
)
_PROGRESS_INTERVAL = 20_000  # words


def read_words(path: Path, selected: Collection[str], first: int, progress: Progress = NO_PROGRESS) -> Words:
    """Read the first words of a file, and the selected words at any position.

    Args:
        path: the file.
        selected: words.
        first: how many words to read from the start.
        progress: follows the reading.

    Raises:
        InputError: the file contains no word vectors, or is damaged.
    """
    refuse_pointers([path])
    try:
        table = _open_table(path)
        if table is None:
            words = _stream(path, set(selected), first, progress)
        else:
            words = table.take(set(selected), first, progress)
    except (EOFError, OSError, ValueError, IndexError) as exc:
        raise InputError(f"{path} is not a file of word vectors, or is damaged ({exc}): {_EXPECTED}.") from exc
    if not words.words:
        raise InputError(f"{path} contains no word vectors: {_EXPECTED}.")
    invalid = np.flatnonzero(~np.isfinite(words.vectors).all(1))
    if len(invalid):
        raise InputError(
            f"{path} has {len(invalid):,} words with infinite or undefined numbers, such as "
            f"{words.words[invalid[0]]!r}: remove them from the file."
        )
    return words


def _open_table(path: Path) -> WordTable | None:
    """The words of a file whose vectors can be mapped; None if it must be read as a stream."""
    with open(path, "rb") as file:
        start = file.read(len(MAGIC))
    if start == MAGIC:
        return open_fasttext(path)
    return open_keyed_vectors(path) if start.startswith(PICKLE) else None


def _stream(path: Path, selected: set[str], first: int, progress: Progress) -> Words:
    words: dict[str, None] = {}
    values = bytearray()  # grows in place: a list of arrays would need twice the memory when they are concatenated
    with open(path, "rb") as raw, progress.start("word vectors", total=path.stat().st_size >> 20, unit="MB") as bar:
        shown_mb = 0

        def accepts(number: int, word: str) -> bool:
            nonlocal shown_mb
            if number % _PROGRESS_INTERVAL == 0:
                position_mb = raw.tell() >> 20
                bar.advance(position_mb - shown_mb)
                shown_mb = position_mb
            return (number < first or word in selected) and word not in words

        file: Any = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        for word, vector in _records(file, accepts):
            words[word] = None
            values += vector.tobytes()
    return Words(list(words), np.frombuffer(values, np.float32).reshape(len(words), -1))


_Accepts = Callable[[int, str], bool]
_Records = Iterator[tuple[str, np.ndarray]]


def _records(file: Any, accepts: _Accepts) -> _Records:
    """The accepted words and their vectors, float32 (d,); ``accepts`` gets the number and the text of each word."""
    if file.peek(len(MAGIC)).startswith((MAGIC, PICKLE)):
        raise ValueError("this format cannot be read compressed: unpack the file")
    line = file.readline(1 << 20).removeprefix(codecs.BOM_UTF8)
    header = line.split()
    if len(header) != 2:
        yield from _text_records(file, line, len(header) - 1, None, accepts)
        return
    count, d = map(int, header)
    if _is_text(file.peek(1 << 16)):
        yield from _text_records(file, b"", d, count, accepts)
    else:
        yield from _binary_records(file, count, d, accepts)


def _is_text(sample: bytes) -> bool:
    """Whether a number in text form follows the first word."""
    try:
        float(sample.split(maxsplit=2)[1])
    except (ValueError, IndexError):
        return False
    return True


def _text_records(file: Any, first_line: bytes, d: int, count: int | None, accepts: _Accepts) -> _Records:
    if d < 2:
        raise ValueError("its first line is not a word with its numbers")
    number = 0
    for line in _lines(first_line, file):
        parts = line.rstrip().rsplit(b" ", d)  # a few words of GloVe contain spaces
        if len(parts) != d + 1:
            parts = line.rsplit(None, d)  # tabs, or several spaces
        if len(parts) != d + 1:
            raise ValueError(f"line {number + 1:,} does not have {d} numbers")
        word = parts[0].decode("utf-8", "replace")
        if accepts(number, word):
            yield word, np.array(parts[1:], np.float32)
        number += 1
    if count is not None and number < count:
        raise EOFError(f"it ends after {number:,} of {count:,} words")


def _lines(first_line: bytes, file: Any) -> Iterator[bytes]:
    if first_line:
        yield first_line
    yield from (line for line in file if line.strip())


def _binary_records(file: Any, count: int, d: int, accepts: _Accepts) -> _Records:
    block, start, vector_bytes = b"", 0, 4 * d
    for number in range(count):
        end = block.find(b" ", start)
        while end < 0 or end + vector_bytes >= len(block):
            next_block = file.read(_BLOCK_BYTES)
            if not next_block:
                raise EOFError(f"it ends after {number:,} of {count:,} words")
            block, start = block[start:] + next_block, 0
            end = block.find(b" ")
        word = block[start:end].lstrip(b"\n").decode("utf-8", "replace")
        if accepts(number, word):
            yield word, np.frombuffer(block, "<f4", d, end + 1).astype(np.float32)
        start = end + 1 + vector_bytes
