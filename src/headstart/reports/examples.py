"""Images and texts as pages show them: small, shortened, and with marks on what mattered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from headstart.data.examples import Example
from headstart.data.images import Box, Decoder
from headstart.data.modalities import Modality
from headstart.data.resizing import ResizeRule
from headstart.data.thumbnails import address
from headstart.errors import IntegrityError
from headstart.explanation.heat import HeatMap
from headstart.explanation.mistakes import HEAT, WORDS
from headstart.runs.files import ADVICE, checked_file
from headstart.runs.records import Record, decode
from headstart.runs.schema import BaseFacts, RunFacts

_THUMBNAIL_PX = 240  # of the longer side; shown at 160 and less, so that they are sharp on fine screens too
_STEPS = (0.2, 0.4, 0.6, 0.8)  # of the largest weight in a text, from which on a word is marked more strongly
_LEAST_WEIGHT = 0.1
_TEXT_CHARACTERS = 600  # of a text that is shown

Weights = Sequence[tuple[str, float]]
"""Words with the spaces behind them, and what each adds to the log-odds of a class."""


T = TypeVar("T")


class HeatFacts(Record):
    """``heat.json``.

    Attributes:
        cells: where the cells of the feature map lie in the input, as shares of its width and height.
        evidence: image -> what each cell adds, rows of the map.
    """

    cells: tuple[float, float, float, float]
    evidence: dict[str, list[list[float]]]


@dataclass(frozen=True)
class Evidence:
    """What mattered in the mistakes of a run.

    Attributes:
        words: text -> its words with their weights; empty for images.
        heat: image -> what the cells of its feature map add; empty where the base has none.
        cells: where the cells lie in the input, as shares of its width and height.
        base: of the run.
    """

    words: Mapping[str, Weights]
    heat: Mapping[str, Any]
    cells: Box
    base: BaseFacts


def read_evidence(folder: Path, facts: RunFacts) -> Evidence:
    """Read what :func:`headstart.explanation.mistakes.explain_mistakes` wrote into a folder, if it did.

    Raises:
        IntegrityError: it is damaged.
    """
    for name in {HEAT, WORDS} & facts.files.keys():
        checked_file(folder, facts, name)
    words = _read(folder / WORDS, dict[str, list[tuple[str, float]]], {})
    heat = _read(folder / HEAT, HeatFacts, HeatFacts(cells=(0, 0, 1, 1), evidence={}))
    maps = {file: [len(row) for row in rows] for file, rows in heat.evidence.items()}
    for file, widths in maps.items():
        if not widths or not widths[0] or len(set(widths)) > 1:
            raise IntegrityError(f"{folder / HEAT}: evidence.{file}: expected rows of one length. {ADVICE}")
    return Evidence(words, {file: np.array(rows) for file, rows in heat.evidence.items()}, heat.cells, facts.base)


def show_example(
    modality: Modality,
    example: Example,
    file: str = "",
    evidence: Evidence | None = None,
    most_characters: int = _TEXT_CHARACTERS,
) -> dict[str, Any]:
    """An example for a page: its beginning as ``text``, and an ``image``.

    Args:
        modality: of the example.
        example: the example.
        file: its name in the evidence.
        evidence: what mattered in it.
        most_characters: of a text.

    Returns:
        An empty text if tables do not hold it; None as the image if it is not an image, or can no longer be read.
    """
    return {"image": _page_image(modality, example, file, evidence), "text": shortened(example.text, most_characters)}


def _page_image(modality: Modality, example: Example, file: str, evidence: Evidence | None) -> dict[str, Any] | None:
    """An image and, where that is known, what speaks for the answer in it, as addresses for a page."""
    small = modality.thumbnail(example, _THUMBNAIL_PX)
    if small is None:
        return None
    thumbnail = {"address": address(small.pixels), "tiny": max(small.pixels.shape) < _THUMBNAIL_PX // 3}
    thumbnail["view"] = (0, 0, small.size[1], small.size[0])
    if evidence and file in evidence.heat and evidence.base.input_size and evidence.base.resize:
        details = evidence.base.resize_rule
        rule = ResizeRule.from_json(details.to_json() if details else None)
        visible_box = Decoder(evidence.base.input_size, evidence.base.resize, rule).visible_box(small.size)
        heat_map = HeatMap(evidence.heat[file], visible_box, small.size, evidence.cells)
        thumbnail["heat"] = address(heat_map.overlay(small.pixels))
    return thumbnail


def marked_words(weights: Weights | None) -> list[tuple[str, str, str]] | None:
    """Words, each with the class of its mark, and the spaces behind it.

    ``for2`` speaks for the answer, ``against2`` against it.
    """
    if weights is None:
        return None
    largest = max([_LEAST_WEIGHT, *(abs(weight) for _, weight in weights)])
    steps = [sum(abs(weight) >= step * largest for step in _STEPS) for _, weight in weights]
    marks = [
        ("for" if weight > 0 else "against") + str(n) if n else ""
        for (_, weight), n in zip(weights, steps, strict=True)
    ]
    words = [word.rstrip() for word, _ in weights]
    gaps = [whole[len(word) :] for word, (whole, _) in zip(words, weights, strict=True)]
    return list(zip(words, marks, gaps, strict=True))


def shortened(text: str, most_characters: int = _TEXT_CHARACTERS) -> str:
    """As much of a text as is shown."""
    return text if len(text) <= most_characters else text[:most_characters].rsplit(" ", 1)[0] + " …"


def _read(path: Path, kind: type[T], default: T) -> T:
    if not path.is_file():
        return default
    try:
        return decode(kind, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as exc:
        raise IntegrityError(f"{path} cannot be read: {exc}. {ADVICE}") from exc
