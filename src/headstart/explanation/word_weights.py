"""Which words of a text mattered for an answer: by how much its log-odds fall when they are left out.

Not by how much its probability falls, for a model that is sure remains so whatever single word is missing.

Source: Li et al., "Understanding neural networks through representation erasure", arXiv 1612.08220.
"""

from collections.abc import Sequence

import numpy as np

from headstart.predict import Predictor
from headstart.reader import decoded
from headstart.training.outputs import log_odds

_FEWEST_SPANS, _MOST_SPANS = 12, 60  # of a text, neighbouring words together; each costs an answer
_WORDS_READ = 6_000  # in all answers for one text, if that leaves enough spans

Weights = list[tuple[str, float]]


def weigh_words(predictor: Predictor, text: str, answer: str) -> Weights:
    """The words of a text, each with what it adds to the log-odds of a class.

    Args:
        predictor: of a run on texts.
        text: the text.
        answer: name of the class.

    Returns:
        (word or neighbouring words, by how much the log-odds fall without it), in order; negative where they rise.
    """
    words = text.split()
    most = min(max(_WORDS_READ // max(len(words), 1), _FEWEST_SPANS), _MOST_SPANS)
    size = -(-len(words) // most)
    spans = [" ".join(words[i : i + size]) for i in range(0, len(words), size)]
    if len(spans) < 2:
        return [(text, 1.0)]
    without = [" ".join(spans[:i] + spans[i + 1 :]) for i in range(len(spans))]
    place = predictor.classes.index(answer)
    whole, *rest = log_odds(_probabilities(predictor, [text, *without]), place, predictor.activation)
    return [(span, round(float(whole - one), 4)) for span, one in zip(spans, rest, strict=True)]


def _probabilities(predictor: Predictor, texts: Sequence[str]) -> np.ndarray:
    pieces = [texts[i : i + 16] for i in range(0, len(texts), 16)]
    return np.concatenate([predictor.probabilities(decoded(predictor.reader, piece)) for piece in pieces])
