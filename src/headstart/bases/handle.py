"""Handles: ``source:name``, with constructor options after a question mark, as in ``keras:MobileNetV2?alpha=0.35``."""

import ast
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from headstart.errors import InputError, did_you_mean

SOURCES = {
    "embedded": "headstart.bases.embedded",
    "keras": "headstart.bases.keras_applications",
    "file": "headstart.bases.local",
    "tfhub": "headstart.bases.saved_model",
    "yolo": "headstart.bases.yolo",
    "hf": "headstart.bases.huggingface",
    "kaggle": "headstart.bases.kaggle",
    "preset": "headstart.bases.preset",
    "stanza": "headstart.bases.stanza",
    "glove": "headstart.bases.word_vectors",
    "word2vec": "headstart.bases.word_vectors",
    "fasttext": "headstart.bases.word_vectors",
}
"""Source name -> the module that loads its handles: ``load(spec, progress) -> Base``, and ``names() -> list[str]``.

Another package adds a source, for every process, by an entry point in the group ``headstart.sources``: its name, and
the module.
"""

_PATH_SOURCES = {"file", "tfhub", "yolo", "hf", "kaggle", "preset", "glove", "word2vec", "fasttext"}


def source_module(source: str, handle: str) -> str:
    """The module that loads the handles of a source, of headstart or of an installed package.

    Args:
        source: its name.
        handle: that names it.

    Raises:
        InputError: there is no such source.
    """
    if source in SOURCES:
        return SOURCES[source]
    for entry_point in entry_points(group="headstart.sources", name=source):
        return entry_point.value
    raise InputError(
        f"unknown source {source!r} in base handle {handle!r}: expected one of {', '.join(SOURCES)}."
        + did_you_mean(source, SOURCES)
    )


@dataclass(frozen=True)
class Handle:
    """A parsed handle; ``str(handle)`` is its canonical form."""

    source: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def is_path(self) -> bool:
        """Whether the name may be a path or an address, which is used unchanged."""
        return self.source in _PATH_SOURCES

    def __str__(self) -> str:
        query = "&".join(f"{key}={value}" for key, value in self.options)
        return f"{self.source}:{self.name}" + (f"?{query}" if query else "")


def parse_handle(text: str) -> Handle:
    """Parse ``source:name[?option=value&...]``.

    A local path is never guessed: ``models/my.keras`` without ``file:`` is refused, because a folder with the name
    ``keras`` must not change the meaning of a command.

    Raises:
        InputError: no source, an unknown source, an empty name, or an option that is not ``name=value``.
    """
    source, separator, rest = text.partition(":")
    if not separator:
        path_source = "yolo" if text.endswith(".cfg") else "file"
        hint = f"{path_source}:{text}" if "/" in text or text.endswith((".keras", ".cfg")) else f"keras:{text}"
        raise InputError(
            f"{text!r} is not a base handle: expected source:name, where source is one of {', '.join(SOURCES)}. "
            f"Did you mean {hint!r}? `headstart bases` lists them."
        )
    source_module(source, text)
    name, _, query = rest.partition("?") if source not in _PATH_SOURCES else (rest, "", "")
    if not name:
        raise InputError(
            f"the base handle {text!r} has no name after the colon: expected a handle such as 'keras:Xception'."
        )
    return Handle(source, name, tuple(_parse_option(text, item) for item in query.split("&") if item))


def _parse_option(text: str, item: str) -> tuple[str, Any]:
    key, separator, value = item.partition("=")
    if not (key.isidentifier() and separator and value):
        raise InputError(f"cannot read the option {item!r} in base handle {text!r}: expected name=value.")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
