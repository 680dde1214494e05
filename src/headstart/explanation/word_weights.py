"""Which words of a text mattered for an answer: by how much its log-odds fall when they are left out.

Not by how much its probability falls, for a model that is sure remains so whatever single word is missing.

Source: Li et al., "Understanding neural networks through representation erasure", arXiv 1612.08220.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from headstart.data.examples import TextExample
from headstart.data.readers import decode_examples
from headstart.data.segmenter import Segmenter
from headstart.runs.predictor import Predictor
from headstart.training.outputs import log_odds

_FEWEST_SPANS, _MOST_SPANS = 12, 60  # of a text, neighbouring words together; each costs an answer
_WORDS_READ = 6_000  # in all answers for one text, if that leaves enough spans

# Thai, Lao, Burmese, Khmer, kana and Han: written without spaces between words, so that each character is a piece.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PIECE = re.compile(rf"(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)\s*")

Weights = list[tuple[str, float]]


def weigh_words(predictor: Predictor, text: str, answer: str) -> Weights:
    """The words of a text, each with what it adds to the log-odds of a class.

    Args:
        predictor: of a run on texts.
        text: the text.
        answer: name of the class.

    Returns:
        (word or neighbouring words, by how much the log-odds fall without it), in order; negative where they rise.
        All words together are the text, the spaces between them included.
    """
    words = _words(text, getattr(predictor.reader, "segmenter", None))
    most = min(max(_WORDS_READ // max(len(words), 1), _FEWEST_SPANS), _MOST_SPANS)
    size = -(-len(words) // most)
    spans = ["".join(words[i : i + size]) for i in range(0, len(words), size)]
    if len(spans) < 2:
        return [(text, 1.0)]
    without = ["".join(spans[:i] + spans[i + 1 :]) for i in range(len(spans))]
    place = predictor.classes.index(answer)
    whole, *rest = log_odds(_probabilities(predictor, [text, *without]), place, predictor.activation)
    return [(span, round(float(whole - one), 4)) for span, one in zip(spans, rest, strict=True)]


def _words(text: str, segmenter: Segmenter | None) -> list[str]:
    """The words of a text, each with the spaces behind it."""
    if segmenter is None:
        return _PIECE.findall(text)
    starts, end = [], 0
    for word in segmenter.words(text):
        found = text.find(word, end)
        if found >= 0:
            starts.append(found)
            end = found + len(word)
    return [text[start:stop] for start, stop in pairwise([0, *starts[1:], len(text)])]


def _probabilities(predictor: Predictor, texts: Sequence[str]) -> np.ndarray:
    pieces = [texts[i : i + 16] for i in range(0, len(texts), 16)]
    return np.concatenate(
        [predictor.probabilities(decode_examples(predictor.reader, map(TextExample, piece))) for piece in pieces]
    )
