"""Readers: what turns the content of an example into what a base takes. One for images, one for texts."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from headstart.data.examples import Example


class Reader(Protocol):
    """Turns contents into arrays, in training, evaluation and prediction alike."""

    @property
    def key(self) -> str:
        """Identifies what this reader gives for the same bytes, for cache keys."""

    def decode(self, data: bytes, suffix: str | None = None) -> np.ndarray:
        """The array of one example: uint8 pixels (h, w, 3), or int32 token ids (t,).

        Args:
            data: the example's content.
            suffix: the extension it came under; None if it came without a name.

        Raises:
            BadExample: the content cannot be used.
        """

    def check(self, data: bytes, suffix: str | None = None) -> None:
        """Look at it quickly; raises BadExample as :meth:`decode` would."""

    def batch(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Several of them as one array, (n, ...)."""


def decode_example(reader: Reader, example: Example) -> np.ndarray:
    """The array of one example.

    Raises:
        BadExample: it cannot be used.
    """
    return reader.decode(example.read(), example.suffix)


def decode_examples(reader: Reader, examples: Iterable[Example]) -> np.ndarray:
    """A few examples as one array.

    Raises:
        BadExample: one of them cannot be used.
    """
    return reader.batch([decode_example(reader, example) for example in examples])
