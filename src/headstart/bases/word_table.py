"""Words with vectors, and vectors for words that are in no list, from what they are made of.

Source: Bojanowski et al., arXiv 1607.04606: a word is the mean of its own vector and those of its character n-grams,
which share a fixed number of rows by their hashes.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headstart.system import console

_FNV_START, _FNV_PRIME = 2166136261, 16777619
_END_OF_SENTENCE = "</s>"  # a word of fastText's that is not made of anything
_SHOWN_EVERY = 1_000  # words


class Words(NamedTuple):
    """Words and their vectors, float32 (n, d), in the order of the file: usually the most frequent first.

    ``infer`` gives the vector of any other word, float32 (d,), or None; it is None itself where nothing can.
    """

    words: list[str]
    vectors: np.ndarray
    infer: Callable[[str], np.ndarray | None] | None = None


@dataclass(frozen=True)
class NGrams:
    """Vectors of character n-grams.

    Args:
        shortest: characters of the shortest n-gram, marks for the word's start and end included.
        longest: of the longest.
        rows: float32 (buckets, d); possibly a map of a file.
    """

    shortest: int
    longest: int
    rows: np.ndarray

    def of(self, word: str) -> np.ndarray:
        """The vectors of a word's n-grams, float32 (n, d)."""
        places = [value % len(self.rows) for value in self._hashes(word)] if len(self.rows) else []
        return np.asarray(self.rows[places], np.float32)

    def _hashes(self, word: str) -> Iterator[int]:
        """FNV-1a of each n-gram, as fastText computes it: every byte is extended with its sign."""
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
    """The words of a file and where their vectors are.

    Args:
        words: in the order of the file.
        rows: (n, d), one for each word; possibly a map of a file, so that only what is taken is ever in memory.
        ngrams: of which words are made beside their own row; None where they are not.
    """

    words: list[str]
    rows: np.ndarray
    ngrams: NGrams | None = None

    def take(self, wanted: Collection[str], first: int) -> Words:
        """The first words, and those that are wanted wherever they stand."""
        chosen = [row for row, word in enumerate(self.words) if row < first or word in wanted]
        words = [self.words[row] for row in chosen]
        if self.ngrams is None:
            return Words(words, np.asarray(self.rows[chosen], np.float32))
        vectors = np.empty((len(chosen), self.rows.shape[1]), np.float32)
        with console.progress("word vectors", len(chosen), unit="words") as bar:
            for place, (row, word) in enumerate(zip(chosen, words, strict=True)):
                vectors[place] = _mean(np.concatenate([self.rows[row : row + 1], self.ngrams.of(word)]))
                if place % _SHOWN_EVERY == 0:
                    bar.advance(_SHOWN_EVERY)
        return Words(words, vectors, self._infer)

    def _infer(self, word: str) -> np.ndarray | None:
        parts = self.ngrams.of(word) if self.ngrams else np.empty((0, 0))
        return _mean(parts) if len(parts) else None


def _mean(rows: np.ndarray) -> np.ndarray:
    """In float32 and in this order, as fastText computes it."""
    return rows.sum(axis=0, dtype=np.float32) * np.float32(1 / len(rows))
