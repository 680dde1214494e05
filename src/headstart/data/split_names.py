"""Names of splits, as folders and cells of tables have them: ``Train``, ``test_set``, ``seg_val``, ``train2017``."""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

SPLITS = ("train", "val", "test")

_WORDS = {
    "train": "train", "training": "train", "trn": "train", "trainval": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val", "development": "val",
    "devel": "val", "eval": "val", "evaluation": "val",
    "test": "test", "testing": "test", "tst": "test", "holdout": "test", "heldout": "test",
}  # fmt: skip
_UNLABELLED = {
    "pred", "predict", "prediction", "predictions", "inference", "unlabeled", "unlabelled", "unsup", "unsupervised",
    "submission",
}  # fmt: skip
_NO_MEANING = {
    "set", "sets", "data", "dataset", "datasets", "folder", "dir", "split", "subset", "part", "images", "image", "imgs",
    "img", "pics", "pictures", "photos", "texts", "text", "docs", "files", "samples", "examples", "jpg", "jpeg", "png",
    "raw", "seg", "new", "the", "of", "for",
}  # fmt: skip
_SUFFIXES = ("set", "data", "images", "imgs", "split", "ing")
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+")


class SplitName(NamedTuple):
    """A name that has the word of a split in it.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        rest: what else is in the name and has a meaning; empty if nothing is.
    """

    split: str
    rest: str


def split_of(name: str) -> str:
    """The split that a name stands for: ``test`` for ``Test_Set``; empty where it stands for none."""
    parsed = _parse(name)
    return parsed.split if parsed and not parsed.rest else ""


def splits_of(names: Iterable[str]) -> dict[str, str]:
    """Name -> split, of the names among some that stand for splits.

    With other words in them only names that belong together do: ``xray_train`` and ``xray_test``, but not
    ``bullet_train`` and ``bus``.
    """
    names = list(names)
    parsed_names = {name: parsed for name in names if (parsed := _parse(name))}
    splits = {name: parsed.split for name, parsed in parsed_names.items() if not parsed.rest}
    with_rest = sorted(((parsed.rest, name) for name, parsed in parsed_names.items() if parsed.rest))
    for _, members in groupby(with_rest, key=lambda member: member[0]):
        group = {name: parsed_names[name].split for _, name in members}
        if len(set(group.values())) > 1 and "train" in group.values():
            splits |= group
    return {name: splits[name] for name in names if name in splits}


def is_unlabelled(name: str) -> bool:
    """Whether a name says that what is in it has no labels: ``seg_pred``, ``unlabeled``."""
    pieces = _pieces(name)
    return any(piece in _UNLABELLED for piece in pieces) and not [
        piece for piece in pieces if piece not in _UNLABELLED | _NO_MEANING
    ]


def is_wrapper(name: str) -> bool:
    """Whether the name of a folder says nothing about what is in it: ``images``, ``data``."""
    words = [piece for piece in _pieces(name) if not piece.isdecimal()]
    return bool(words) and all(word in _NO_MEANING for word in words)


def _pieces(name: str) -> list[str]:
    """The words of a name, in lower case: those between separators, at changes of case, and numbers."""
    joined = re.sub(r"(?i)\bhold[\W_]?out|held[\W_]?out", "holdout", name.strip())
    return [piece.lower() for piece in _PIECES.findall(joined)]


def _parse(name: str) -> SplitName | None:
    pieces = _pieces(name)
    splits = [_split_of_word(piece) for piece in pieces]
    if len({split for split in splits if split}) != 1:
        return None
    rest = [
        piece
        for piece, split in zip(pieces, splits, strict=True)
        if not split and piece not in _NO_MEANING and not piece.isdecimal()
    ]
    return SplitName(next(filter(None, splits)), " ".join(rest))


def _split_of_word(word: str) -> str:
    if word in _WORDS:
        return _WORDS[word]
    stems = (word.removesuffix(suffix) for suffix in _SUFFIXES if word.endswith(suffix))
    return next((_WORDS[stem] for stem in stems if stem in _WORDS), "")
