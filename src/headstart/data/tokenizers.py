"""Tokenizers: text -> int32 token ids, the one path for training, evaluation and prediction.

Three kinds: words looked up in a list (word vectors), the subwords of a transformer (by the package ``tokenizers``) and
characters. They are saved beside the model of a run, so that predicting needs no original files and no framework.
"""

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart.data.examples import check_pointer
from headstart.data.segmenter import Segmenter
from headstart.data.words import MAX_WORDS, forms, look_up, split, straightened
from headstart.errors import BadExample, IntegrityError
from headstart.system.extras import require

TOKENS_VERSION = 1
"""Part of every cache key: raise it when the same text would give other ids."""

MAX_CHARACTERS = 2_000
"""Of one text, for character models, which read one after the other."""

_SEGMENTER = "segmenter.pt"
_UNKNOWN_CHARACTER = "<UNK>"


class Tokenizer(ABC):
    """A :class:`~headstart.data.readers.Reader` of texts."""

    kind: ClassVar[str]
    """``words``, ``subwords`` or ``characters``."""
    pad: int = 0
    """Id of the padding."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Identifies the ids, for cache keys."""

    @property
    @abstractmethod
    def n_ids(self) -> int:
        """A number that all ids are below."""

    @abstractmethod
    def decode(self, data: bytes, suffix: str | None = None) -> np.ndarray:
        """Ids, int32 (t,), of one text in UTF-8.

        Raises:
            BadExample: it is no text.
        """

    @abstractmethod
    def coverage(self, text: str) -> tuple[int, int]:
        """How many tokens of a text the base sees, and how many there are."""

    @abstractmethod
    def save(self, folder: Path) -> dict[str, Any]:
        """Write its files into a folder; gives what :func:`open_tokenizer` needs beside them."""

    def check(self, data: bytes, suffix: str | None = None) -> None:
        """Whether it can be used; raises BadExample as :meth:`decode` would."""
        text_of(data)

    def batch(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Ids (n, t), padded to the longest; t is at least 1."""
        out = np.full((len(arrays), max([1, *map(len, arrays)])), self.pad, np.int32)
        for row, ids in zip(out, arrays, strict=True):
            row[: len(ids)] = ids
        return out


def open_tokenizer(folder: Path, facts: dict[str, Any]) -> Tokenizer:
    """Open a saved tokenizer.

    Raises:
        IntegrityError: its file is missing or damaged.
    """
    try:
        tokenizer: Tokenizer = _KINDS[facts["kind"]].open(folder, facts)
    except (OSError, ValueError) as exc:
        raise IntegrityError(f"the tokenizer in {folder} cannot be opened ({exc}): copy the run again.") from exc
    return tokenizer


def text_of(data: bytes) -> str:
    """The text in some bytes.

    Raises:
        BadExample: they are not UTF-8, or hold no text.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BadExample(
            f"it is not UTF-8: byte 0x{data[exc.start]:02x} at position {exc.start + 1:,}; save it as UTF-8"
        ) from exc
    if not text.strip():
        raise BadExample("it has no text")
    check_pointer(data)
    return text


@dataclass(frozen=True)
class WordTokenizer(Tokenizer):
    """Looks words up in a list; those that are not in it are passed over.

    A word is looked up as it is written, then in lower case, then in what it is made of (``can't``: ``ca n't``), then
    with its digits as ``#``, which is how the word lists of GloVe and word2vec write them.

    Args:
        words: the list; the id of a word is its position plus one, 0 is padding.
        segmenter: what divides a text into words; None where spaces and punctuation do.
    """

    kind = "words"

    words: Sequence[str] = field(repr=False)
    segmenter: Segmenter | None = None

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, 1)}

    @cached_property
    def key(self) -> str:
        """Identifies the ids, for cache keys."""
        divided = f"-{self.segmenter.sha256}" if self.segmenter else ""
        return f"words-v{TOKENS_VERSION}-{hashlib.sha256(chr(10).join(self.words).encode()).hexdigest()}{divided}"

    @property
    def n_ids(self) -> int:
        """A number that all ids are below."""
        return len(self.words) + 1

    def decode(self, data: bytes, suffix: str | None = None) -> np.ndarray:
        """Ids of one text; none of a text without a known word."""
        known_ids = (id_ for _, id_ in self._tokens(text_of(data)) if id_ is not None)
        return np.fromiter(known_ids, np.int32)[:MAX_WORDS]

    def unknown(self, text: str) -> list[str]:
        """The words of a text that are in the list in no form."""
        return [word for word, id_ in self._tokens(text) if id_ is None]

    def coverage(self, text: str) -> tuple[int, int]:
        """How many words of a text are in the list, and how many there are."""
        is_known = [id_ is not None for _, id_ in self._tokens(text)]
        return sum(is_known), len(is_known)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``words.txt``, and the segmenter's file beside it."""
        folder.mkdir(exist_ok=True)
        (folder / "words.txt").write_bytes("".join(f"{word}\n" for word in self.words).encode())
        if self.segmenter is None:
            return {"kind": self.kind, "segmenter": None}
        shutil.copyfile(self.segmenter.path, folder / _SEGMENTER)
        return {"kind": self.kind, "segmenter": self.segmenter.sha256}

    @classmethod
    def open(cls, folder: Path, facts: dict[str, Any]) -> "WordTokenizer":
        """Read it back."""
        segmenter = None
        if facts.get("segmenter"):
            path = Path(os.path.abspath(folder / _SEGMENTER))
            segmenter = Segmenter(path, hashlib.sha256(path.read_bytes()).hexdigest())
            if segmenter.sha256 != facts["segmenter"]:
                raise ValueError(f"{_SEGMENTER} is not the file that was saved")
        return cls((folder / "words.txt").read_bytes().decode().split("\n")[:-1], segmenter)

    def _tokens(self, text: str) -> Iterable[tuple[str, int | None]]:
        return look_up(_split(text, self.segmenter), self._ids)


def candidates(text: str, segmenter: Segmenter | None = None) -> Iterable[str]:
    """Every word that a vocabulary may need for this text."""
    for word in _split(text, segmenter):
        for form in forms(word):
            yield from form


def _split(text: str, segmenter: Segmenter | None) -> Sequence[str]:
    return segmenter.words(straightened(text)) if segmenter else split(text)


@dataclass(frozen=True)
class SubwordTokenizer(Tokenizer):
    """A transformer's own tokenizer.

    Args:
        content: of its ``tokenizer.json``.
        max_length: longer texts are cut, special tokens included, on the side that ``content`` states (by default at
            their end).
        pad: id of the padding token.
    """

    kind = "subwords"

    content: str = field(repr=False)
    max_length: int
    pad: int

    @cached_property
    def key(self) -> str:
        """Identifies the ids, for cache keys."""
        return f"subwords-v{TOKENS_VERSION}-{self.max_length}-{hashlib.sha256(self.content.encode()).hexdigest()}"

    @cached_property
    def _cut(self) -> Any:
        tokenizers = require("tokenizers", extra="text", purpose="reading texts for a transformer")
        tokenizer = tokenizers.Tokenizer.from_str(self.content)
        tokenizer.no_padding()
        side = (tokenizer.truncation or {}).get("direction", "right")
        tokenizer.enable_truncation(self.max_length, direction=side)
        return tokenizer

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = type(self._cut).from_str(self._cut.to_str())
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def n_ids(self) -> int:
        """A number that all ids are below."""
        return 1 + max(self.pad, *self._cut.get_vocab(with_added_tokens=True).values())

    def decode(self, data: bytes, suffix: str | None = None) -> np.ndarray:
        """Ids of one text, special tokens included."""
        return np.array(self._cut.encode(text_of(data)).ids, np.int32)

    def coverage(self, text: str) -> tuple[int, int]:
        """How many tokens of a text are within the maximum length, and how many there are."""
        n = len(self._tokenizer.encode(text).ids)
        return min(n, self.max_length), n

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``tokenizer.json``."""
        folder.mkdir(exist_ok=True)
        (folder / "tokenizer.json").write_bytes(self.content.encode())
        facts = asdict(self)
        del facts["content"]
        return {"kind": self.kind, **facts}

    @classmethod
    def open(cls, folder: Path, facts: dict[str, Any]) -> "SubwordTokenizer":
        """Read it back."""
        content = (folder / "tokenizer.json").read_bytes().decode()
        json.loads(content)
        return cls(content, facts["max_length"], facts["pad"])


@dataclass(frozen=True)
class CharacterTokenizer(Tokenizer):
    """Reads a text character by character, between a mark for its beginning and one for its end.

    Args:
        characters: the list; the id of a character is its position plus one, 0 is padding, and the two marks follow.
    """

    kind = "characters"

    characters: tuple[str, ...] = field(repr=False)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters, 1)}

    @cached_property
    def key(self) -> str:
        """Identifies the ids, for cache keys."""
        content = "\0".join(self.characters).encode("utf-8", "surrogatepass")
        return f"characters-v{TOKENS_VERSION}-{MAX_CHARACTERS}-{hashlib.sha256(content).hexdigest()}"

    @property
    def n_ids(self) -> int:
        """A number that all ids are below."""
        return len(self.characters) + 3

    def decode(self, data: bytes, suffix: str | None = None) -> np.ndarray:
        """Ids of one text, its words divided by single spaces."""
        text, n = " ".join(text_of(data).split())[:MAX_CHARACTERS], len(self.characters)
        unknown = self._ids.get(_UNKNOWN_CHARACTER, 0)
        return np.array([n + 1, *(self._ids.get(character, unknown) for character in text), n + 2], np.int32)

    def coverage(self, text: str) -> tuple[int, int]:
        """How many characters of a text are known and within the maximum length, and how many there are."""
        text = " ".join(text.split())
        return sum(character in self._ids for character in text[:MAX_CHARACTERS]), len(text)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``characters.json``."""
        folder.mkdir(exist_ok=True)
        (folder / "characters.json").write_text(json.dumps(self.characters), encoding="utf-8")
        return {"kind": self.kind}

    @classmethod
    def open(cls, folder: Path, facts: dict[str, Any]) -> "CharacterTokenizer":
        """Read it back."""
        return cls(tuple(json.loads((folder / "characters.json").read_text(encoding="utf-8"))))


_KINDS: dict[str, Any] = {kind.kind: kind for kind in (WordTokenizer, SubwordTokenizer, CharacterTokenizer)}
