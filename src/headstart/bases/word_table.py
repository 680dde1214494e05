"""Words with vectors, and inferred vectors for unlisted words from their character n-grams.

Source: Bojanowski et al., arXiv 1607.04606: a word is the mean of its own vector and those of its character n-grams,
which share a fixed number of rows by their hashes.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headstart.system.progress import NO_PROGRESS, Progress

_FNV_START, _FNV_PRIME = 2166136261, 16777619
_END_OF_SENTENCE = "</s>"  # a word of fastText without n-grams
_PROGRESS_INTERVAL = 1_000  # words


class Words(NamedTuple):
    """Words and their vectors, float32 (n, d), in the order of the file: usually the most frequent first.

    ``infer`` returns the vector of any other word, float32 (d,), or None if the word has no n-grams. ``infer`` is None
    for vectors without n-grams.
    """

    words: list[str]
    vectors: np.ndarray
    infer: Callable[[str], np.ndarray | None] | None = None


@dataclass(frozen=True)
class NGrams:
    """Vectors of character n-grams.

    Args:
        shortest: characters of the shortest n-gram, including the marks for the word's start and end.
        longest: characters of the longest n-gram.
        rows: float32 (buckets, d), possibly mapped from a file.
    """

    shortest: int
    longest: int
    rows: np.ndarray

    def of(self, word: str) -> np.ndarray:
        """The vectors of a word's n-grams, float32 (n, d)."""
        indices = [value % len(self.rows) for value in self._hashes(word)] if len(self.rows) else []
        return np.asarray(self.rows[indices], np.float32)

    def _hashes(self, word: str) -> Iterator[int]:
        """FNV-1a of each n-gram, as fastText computes it: with the sign extension of every byte."""
        if word == _END_OF_SENTENCE:
            return
        characters = [character.encode("utf-8", "replace") for character in f"<{word}>"]
        for start in range(len(characters)):
            value = _FNV_START
            for end in range(start + 1, min(start + self.longest, len(characters)) + 1):
                for byte in characters[end - 1]:
                    value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * _FNV_PRIME) & 0xFFFFFFFF
                is_mark = end - start == 1 and (start == 0 or end == len(characters))
                if end - start >= self.shortest and not is_mark:
                    yield value


@dataclass(frozen=True)
class WordTable:
    """The words of a file and their vectors.

    Args:
        words: in the order of the file.
        rows: (n, d), one per word; possibly mapped from a file, so that only the used rows are in memory.
        ngrams: which a word's vector is computed from, together with its own row; None for vectors without n-grams.
    """

    words: list[str]
    rows: np.ndarray
    ngrams: NGrams | None = None

    def take(self, selected: Collection[str], first: int, progress: Progress = NO_PROGRESS) -> Words:
        """The first words, and the selected words at any position."""
        rows = [row for row, word in enumerate(self.words) if row < first or word in selected]
        words = [self.words[row] for row in rows]
        if self.ngrams is None:
            return Words(words, np.asarray(self.rows[rows], np.float32))
        vectors = np.empty((len(rows), self.rows.shape[1]), np.float32)
        with progress.start("word vectors", len(rows), unit="words") as bar:
            for i, (row, word) in enumerate(zip(rows, words, strict=True)):
                vectors[i] = _mean(np.concatenate([self.rows[row : row + 1], self.ngrams.of(word)]))
                if i % _PROGRESS_INTERVAL == 0:
                    bar.advance(_PROGRESS_INTERVAL)
        return Words(words, vectors, self._infer)

    def _infer(self, word: str) -> np.ndarray | None:
        ngram_rows = self.ngrams.of(word) if self.ngrams else np.empty((0, 0))
        return _mean(ngram_rows) if len(ngram_rows) else None


def _mean(rows: np.ndarray) -> np.ndarray:
    """The mean in float32, with the operations in the order of fastText."""
    return rows.sum(axis=0, dtype=np.float32) * np.float32(1 / len(rows))
