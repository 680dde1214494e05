"""How texts become words of a list. Only the standard library is used: an exported run takes this file along."""

import re
from collections.abc import Iterable, Iterator, Mapping

MAX_WORDS = 5_000
"""Of one text, for word vectors: beyond it the mean hardly moves."""

_WORDS = re.compile(r"[^\W_]+(?:['’.\-][^\W_]+)*['’]?|[^\w\s]|_", re.UNICODE)
_PARTS = re.compile(r"[^\W_]+|[^\w\s]|_", re.UNICODE)
_CONTRACTION = re.compile(r"(.+?)(n't|'s|'re|'ve|'ll|'d|'m)$")
_DIGITS = re.compile(r"\d")


def straightened(text: str) -> str:
    """A text with the apostrophe that word lists know."""
    return text.replace("’", "'")


def split(text: str) -> list[str]:
    """The words of a text, divided by spaces and punctuation, which are words of their own."""
    return _WORDS.findall(straightened(text))


def forms(word: str) -> Iterator[tuple[str, ...]]:
    """Ways to look a word up, the most faithful first."""
    lower = word.lower()
    yield (word,)
    yield (lower,)
    for spelled in dict.fromkeys((word, lower)):
        contraction = _CONTRACTION.match(spelled)
        if contraction:
            yield contraction.groups()
    if _DIGITS.search(word):
        yield (_DIGITS.sub("#", word),)
        yield (_DIGITS.sub("#", lower),)
    parts = tuple(_PARTS.findall(word))
    if len(parts) > 1:
        yield parts
        yield tuple(part.lower() for part in parts)


def look_up(words: Iterable[str], ids: Mapping[str, int]) -> Iterator[tuple[str, int | None]]:
    """Every word with its id, in parts where only its parts are known; None for what is in the list in no form."""
    for word in words:
        for form in forms(word):
            if all(part in ids for part in form):
                yield from ((part, ids[part]) for part in form)
                break
        else:
            yield word, None
