"""Weights of the words of a text: the amount by which the log-odds of a class fall without each word.

Log-odds are used because the probability of a confident prediction hardly changes when one word is missing.

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
from headstart.tasks import classification_task
from headstart.tasks.outputs import log_odds

_MIN_SPANS, _MAX_SPANS = 12, 60  # of neighbouring words in a text; each costs one prediction
_MAX_WORDS_READ = 6_000  # in all predictions for one text, if this allows _MIN_SPANS

# Thai, Lao, Burmese, Khmer, kana and Han: written without spaces between words, so each character is a piece.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PIECE = re.compile(rf"(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)\s*")

Weights = list[tuple[str, float]]


def weigh_words(predictor: Predictor, text: str, class_name: str) -> Weights:
    """The words of a text, each with its contribution to the log-odds of a class.

    Args:
        predictor: a run on texts.
        text: the text.
        class_name: the class.

    Returns:
        (word or neighbouring words, fall of the log-odds without them), in order; negative where they rise. The
        concatenated words are the text, spaces included.
    """
    words = _words(text, getattr(predictor.reader, "segmenter", None))
    n_spans = min(max(_MAX_WORDS_READ // max(len(words), 1), _MIN_SPANS), _MAX_SPANS)
    size = -(-len(words) // n_spans)
    spans = ["".join(words[i : i + size]) for i in range(0, len(words), size)]
    if len(spans) < 2:
        return [(text, 1.0)]
    shortened = ["".join(spans[:i] + spans[i + 1 :]) for i in range(len(spans))]
    class_number = predictor.classes.index(class_name)
    full, *reduced = log_odds(
        _probabilities(predictor, [text, *shortened]), class_number, classification_task(predictor.task).activation
    )
    return [(span, round(float(full - value), 4)) for span, value in zip(spans, reduced, strict=True)]


def _words(text: str, segmenter: Segmenter | None) -> list[str]:
    """The words of a text, each with the spaces after it."""
    if segmenter is None:
        return _PIECE.findall(text)
    starts, end = [], 0
    for word in segmenter.words(text):
        start = text.find(word, end)
        if start >= 0:
            starts.append(start)
            end = start + len(word)
    return [text[start:stop] for start, stop in pairwise([0, *starts[1:], len(text)])]


def _probabilities(predictor: Predictor, texts: Sequence[str]) -> np.ndarray:
    pieces = [texts[i : i + 16] for i in range(0, len(texts), 16)]
    return np.concatenate(
        [predictor.values(decode_examples(predictor.reader, map(TextExample, piece))) for piece in pieces]
    )
