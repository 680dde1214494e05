"""Texts that can be used and yet may not be what they were meant to be, and what of them a base does not see."""

import re
from collections.abc import Sequence

import numpy as np

from headstart.data.audit.checks import Finding, Occurrence, State, has_have, is_are
from headstart.data.tokenizers import MAX_CHARACTERS, SubwordTokenizer, Tokenizer
from headstart.errors import counted

_SHOWN_CHARACTERS = 80
_MANY_UNKNOWN = 0.1  # of all words
_CONTEXT = 20

# UTF-8 that was read as Latin-1 or Windows-1252: é became Ã©, ’ became â€™, п became Ð¿. Then what stands for bytes
# that could not be read, and control characters, which Windows-1252 read as Latin-1 is full of.
_MOJIBAKE = re.compile("[ÃÂÐÑ][\u0080-\u00bf]|â€.|ï»¿|ï¿½|\ufffd|[\u0080-\u009f]|[\0-\u0008\u000e-\u001f]")


def mojibake(names: Sequence[str], texts: Sequence[str]) -> Finding:
    """Texts that were read in another encoding than they were written in.

    Args:
        names: of the texts.
        texts: themselves.
    """
    occurrences = [Occurrence((name,), _around(text, hit)) for name, text in zip(names, texts, strict=True)
             if (hit := _MOJIBAKE.search(text))]  # fmt: skip
    if not occurrences:
        return Finding("mojibake", "clean", "No text looks as if it had been read in a wrong encoding.")
    n = counted(len(occurrences), "text")
    return Finding(
        "mojibake", "found", f"{n} {has_have(len(occurrences))} characters of a wrong encoding.", occurrences
    )


def coverage(names: Sequence[str], texts: Sequence[str], reader: Tokenizer) -> Finding:
    """What of the texts a base will not see: words it does not know, or what is beyond its maximum length.

    Args:
        names: of the texts.
        texts: themselves.
        reader: the base's.
    """
    n_known, n_tokens = np.array([reader.coverage(text) for text in texts], np.int64).reshape(-1, 2).T
    share = 1 - n_known.sum() / max(n_tokens.sum(), 1)
    if isinstance(reader, SubwordTokenizer):
        cut = np.flatnonzero(n_known < n_tokens)
        if not cut.size:
            return Finding("too-long", "clean", f"No text has more than {reader.max_length:,} tokens.")
        summary = (
            f"{counted(cut.size, 'text')} of {len(texts):,} {is_are(cut.size)} cut at {reader.max_length:,} tokens: "
            f"{share:.1%} of all tokens are not seen."
        )
        longest = cut[np.argsort(-n_tokens[cut], kind="stable")]
        return Finding("too-long", "found", summary, _examples(names, texts, longest))
    if reader.kind == "characters":
        summary = f"{share:.1%} of all characters are unknown to the base, or beyond the {MAX_CHARACTERS:,} it reads."
        state: State = "found" if share > _MANY_UNKNOWN else "clean"
        return Finding("unknown-characters", state, summary)
    without = np.flatnonzero(n_known == 0)
    summary = f"{share:.1%} of all words have no vector" + (
        f"; {counted(without.size, 'text')} {has_have(without.size)} none that does." if without.size else "."
    )
    state = "found" if share > _MANY_UNKNOWN or without.size else "clean"
    return Finding("unknown-words", state, summary, _examples(names, texts, without))


def _examples(names: Sequence[str], texts: Sequence[str], indices: np.ndarray) -> list[Occurrence]:
    return [Occurrence((names[i],), _beginning(texts[i])) for i in indices.tolist()]


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"


def _around(text: str, hit: re.Match[str]) -> str:
    """What stands around a place in a text, with what cannot be seen written out."""
    start, end = max(0, hit.start() - _CONTEXT), hit.end() + _CONTEXT
    part = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text[start:end])
    return ("…" if start else "") + " ".join(part.split()) + ("…" if end < len(text) else "")
