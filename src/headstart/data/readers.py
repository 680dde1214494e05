"""Readers: what turns the content of an example into what a base takes. One for images, one for texts."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

Modality = Literal["image", "text"]
Resize = Literal["stretch", "crop", "pad"]
"""How an image of another shape becomes the input size of a base."""

Example = Path | str
"""An image file, or a text itself."""

NOUNS: dict[Modality, str] = {"image": "picture", "text": "text"}
"""What people call one of them."""

UNITS: dict[Modality, str] = {"image": "images", "text": "texts"}
"""What progress counts."""


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


def open_reader(base: dict[str, Any], folder: Path) -> Reader:
    """The reader of a finished run.

    Args:
        base: what ``run.json`` says about the base.
        folder: the run's, where a tokenizer lies.

    Raises:
        IntegrityError: the tokenizer is missing or damaged.
    """
    if base["modality"] == "text":
        from headstart.data.tokenizers import open_tokenizer

        return open_tokenizer(folder / "tokenizer", base["tokenizer"])
    from headstart.data.images import Decoder

    return Decoder(tuple(base["input_size"]), base["resize"])


def read_content(example: Example) -> tuple[bytes, os.stat_result | None]:
    """The content of an example, and of a file its stat, taken before it was read.

    Raises:
        BadExample: it cannot be read.
    """
    if isinstance(example, str):
        return example.encode("utf-8", "surrogateescape"), None
    from headstart.data.images import read_file

    return read_file(example)


def read_example(reader: Reader, example: Example) -> np.ndarray:
    """The array of one example.

    Raises:
        BadExample: it cannot be used.
    """
    return reader.decode(read_content(example)[0], suffix_of(example))


def decoded(reader: Reader, examples: Sequence[Example]) -> np.ndarray:
    """A few examples as one array."""
    return reader.batch([read_example(reader, example) for example in examples])


def suffix_of(example: Example) -> str | None:
    """The extension of a file; None for a text."""
    return example.suffix if isinstance(example, Path) else None
