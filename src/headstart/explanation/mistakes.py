"""What spoke for the mistakes that a report shows: words of texts, and of pictures the cells of the feature map."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.examples import example_in
from headstart.data.readers import decode_example
from headstart.errors import BadExample
from headstart.explanation.activations import Activations, open_activations
from headstart.explanation.grad_cam import grad_cam
from headstart.explanation.word_weights import weigh_words
from headstart.runs.answers import Answers
from headstart.runs.predictor import Predictor

IMAGES_SHOWN, TEXTS_SHOWN = 24, 12
"""Of the mistakes that the model was surest of."""

WORDS = "words.json"
"""File in a run on texts: which words mattered in its mistakes, see :mod:`headstart.explanation.word_weights`."""

HEAT = "heat.json"
"""File in a run on images: which cells mattered in its mistakes, see :mod:`headstart.explanation.grad_cam`."""

_DECIMALS = 6  # of probabilities in predictions.csv, by which the report puts them in order
_STEPS = 100  # to which the largest value of a picture is rounded


def explain_mistakes(answers: Answers, root: Path, predictor: Predictor, split: str, folder: Path) -> None:
    """Explain the mistakes of one split that the model was surest of.

    Writes ``words.json`` for texts. Writes ``heat.json`` for pictures where the base ends in a feature map, so that
    this takes one more look at each; occlusion would take many.

    Args:
        answers: what the run said.
        root: folder that the names of files start from.
        predictor: the finished run.
        split: the one to look at.
        folder: to write into.
    """
    said, sure = answers.mistakes()
    wrong = np.flatnonzero((answers.splits == split) & (said >= 0))
    surest = wrong[np.argsort(-sure[wrong].astype(np.float64).round(_DECIMALS), kind="stable")]
    if answers.texts is not None:
        shown = surest[:TEXTS_SHOWN].tolist()
        words = {answers.files[i]: weigh_words(predictor, answers.texts[i], predictor.classes[said[i]]) for i in shown}
        _write(folder / WORDS, words)
    elif len(surest):
        files = {answers.files[i]: int(said[i]) for i in surest[:IMAGES_SHOWN].tolist()}
        activations = open_activations(predictor)
        if activations.has_map:
            evidence = _evidence(predictor, activations, files, root)
            _write(folder / HEAT, {"cells": activations.cells, "evidence": evidence})


def _evidence(
    predictor: Predictor, activations: Activations, files: dict[str, int], root: Path
) -> dict[str, list[list[int]]]:
    """File -> what its cells add to the score of a class, relative to the largest; see :func:`grad_cam`."""
    found = {}
    for file, number in files.items():
        try:
            pixels = predictor.reader.batch([decode_example(predictor.reader, example_in(root, file))])
        except BadExample:
            continue
        evidence = grad_cam(activations, activations(pixels), np.array([number]))[0]
        found[file] = (_STEPS * evidence / max(float(np.abs(evidence).max()), 1e-12)).round().astype(int).tolist()
    return found


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
