"""Explanations of the mistakes that a report shows: words of texts, cells of the feature map of images."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.examples import Example
from headstart.data.readers import decode_examples
from headstart.errors import BadExample
from headstart.explanation.activations import Activations, evidence_cells, open_activations
from headstart.explanation.grad_cam import grad_cam
from headstart.explanation.word_weights import weigh_words
from headstart.runs.answers import Answers
from headstart.runs.predictor import Predictor

WORDS = "words.json"
"""File in a run on texts: weights of the words of its mistakes, see :mod:`headstart.explanation.word_weights`."""

HEAT = "heat.json"
"""File in a run on images: evidence of the cells in its mistakes, see :mod:`headstart.explanation.grad_cam`."""

_DECIMALS = 6  # of probabilities in predictions.csv, by which the report sorts them
_STEPS = 100  # the largest value of an image is stored as this integer


def explain_mistakes(answers: Answers, predictor: Predictor, split: str, folder: Path) -> None:
    """Explain the mistakes of one split with the highest probability.

    Writes ``words.json`` for texts. Writes ``heat.json`` for images if the base ends in a feature map, because
    Grad-CAM needs only one more forward pass per image; occlusion would need many. Detected objects are
    not explained: the report marks where each mistake is.

    Args:
        answers: predictions of the run.
        predictor: the finished run.
        split: name of the split.
        folder: folder to write into.
    """
    classes, confidence = answers.task.worst_mistakes(answers.labels, answers.outputs, answers.thresholds)
    wrong = np.flatnonzero((answers.splits == split) & (classes >= 0))
    ranked = wrong[np.argsort(-confidence[wrong].astype(np.float64).round(_DECIMALS), kind="stable")]
    ranked = ranked[: predictor.modality.mistakes_shown]
    if predictor.modality.has_words:
        words = {
            answers.files[i]: weigh_words(predictor, answers.examples[i].text, predictor.classes[classes[i]])
            for i in ranked.tolist()
        }
        _write(folder / WORDS, words)
    elif predictor.modality.has_pixels and not predictor.task.has_boxes and len(ranked):
        activations = open_activations(predictor)
        if activations.pooled_maps:
            examples = {answers.files[i]: (answers.examples[i], int(classes[i])) for i in ranked.tolist()}
            evidence = _evidence(predictor, activations, examples)
            _write(folder / HEAT, {"cells": evidence_cells(activations), "evidence": evidence})


def _evidence(
    predictor: Predictor, activations: Activations, examples: dict[str, tuple[Example, int]]
) -> dict[str, list[list[int]]]:
    """File -> evidence of its cells for a class, in percent of the largest absolute value; see :func:`grad_cam`."""
    by_file = {}
    for file, (example, number) in examples.items():
        try:
            pixels = decode_examples(predictor.reader, [example])
        except BadExample:
            continue
        evidence = grad_cam(activations, activations(pixels), np.array([number]))[0]
        by_file[file] = (_STEPS * evidence / max(float(np.abs(evidence).max()), 1e-12)).round().astype(int).tolist()
    return by_file


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
