"""The page of explanations: one self-contained file that loads nothing from the network and runs no script."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.boxes.drawing import draw_boxes
from headstart.data.thumbnails import Thumbnail, address, jpeg
from headstart.errors import counted
from headstart.explanation.explain import Explainer, Explanation
from headstart.explanation.heat import COLOURS, HeatMap, describe_position
from headstart.explanation.neighbours import Neighbour
from headstart.reports.examples import marked_words, shortened
from headstart.reports.page import open_template, percent
from headstart.runs.folder import write_folder
from headstart.runs.predictor import Predictor
from headstart.tasks.detection import PredictedBox
from headstart.tasks.labels import NO_LABEL

PAGE = "explanation.html"
_IMAGE_PX, _NEIGHBOUR_PX, _FILE_PX = 720, 240, 1600  # longer side: on the page, of a neighbour, in a file
_MAX_PROBABILITIES = 6
_MAX_ON_PAGE = 60  # explanations
_QUALITY = 90


def write_explanations(explainer: Explainer, explanations: Sequence[Explanation], parent: Path, name: str) -> Path:
    """Write a folder with the page, and for images a JPEG file of each heat map over its image.

    Args:
        explainer: the explained run.
        explanations: the explanations, in the order of the page.
        parent: folder for the new folder; created if missing.
        name: name of the new folder; ``NAME-2`` and so on if it exists.

    Returns:
        The page.
    """

    def fill(folder: Path, final_name: str) -> None:
        page = open_template("explanation.html.j2").render(_content(explainer, explanations))
        (folder / PAGE).write_bytes(page.encode("utf-8", errors="replace"))
        for explanation in explanations:
            heat_map = explanation.heat_map
            if heat_map is not None and (image := _thumbnail(explanation, explainer.predictor, _FILE_PX)):
                path = _unused_path(folder, explanation.file_stem)
                path.write_bytes(jpeg(_overlay(heat_map, image, explanation), _QUALITY))

    return write_folder(parent, name, fill) / PAGE


def summarize(heat_map: HeatMap, class_name: str) -> str:
    """The positions of the evidence for a class, in a sentence."""
    if not heat_map.regions:
        return f"This image has no evidence for {class_name}."
    positions = [
        f"{describe_position(region, heat_map.size)} ({percent(region.share, 0)} of the evidence, "
        f"{percent(region.area, 0)} of the area)"
        for region in heat_map.regions
    ]
    return f"Evidence for {class_name}: {'; '.join(positions)}."


def _content(explainer: Explainer, explanations: Sequence[Explanation]) -> dict[str, Any]:
    predictor = explainer.predictor
    noun = predictor.modality.noun
    name = predictor.facts.name
    is_one_file = len(explanations) == 1 and not predictor.modality.is_in_tables
    subject = Path(explanations[0].file).name if is_one_file else counted(len(explanations), noun)
    first = explanations[0].heat_map
    return {
        "facts": predictor.facts,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": predictor.task,
        "noun": noun,
        "title": f"{name}: {subject} explained",
        "colours": COLOURS,
        "methods": {explanation.method for explanation in explanations},
        "cells": first.evidence.shape if first is not None else None,
        "explanations": [explanation_content(explanation, predictor) for explanation in explanations[:_MAX_ON_PAGE]],
        "notes": [*_note_on_limit(len(explanations), noun), *filter(None, [explainer.note()])],
    }


def _note_on_limit(n: int, noun: str) -> list[str]:
    return [f"This page shows the first {_MAX_ON_PAGE} of {n:,} explained {noun}s."] if n > _MAX_ON_PAGE else []


def explanation_content(explanation: Explanation, predictor: Predictor) -> dict[str, Any]:
    """The variables of the template ``explanation_body.html.j2``.

    Args:
        explanation: the explanation.
        predictor: the run.
    """
    class_name, heat_map = explanation.class_name, explanation.heat_map
    ranked = list(explanation.answer.probabilities.items())
    probabilities = [pair for i, pair in enumerate(ranked) if i < _MAX_PROBABILITIES or pair[0] == class_name]
    content: dict[str, Any] = {
        "file": explanation.file,
        "title": Path(explanation.file).name if not predictor.modality.is_in_tables else None,
        "predicted": explanation.answer.label(),
        "out_of_distribution": explanation.answer.out_of_distribution,
        "has_pixels": predictor.modality.has_pixels,
        "probabilities": probabilities,
        "more": len(ranked) - len(probabilities),
        "class_name": class_name,
        "nearest": [_neighbour_content(neighbour, class_name, predictor) for neighbour in explanation.nearest],
        "agreeing": sum(class_name in neighbour.labels for neighbour in explanation.nearest),
        "words": marked_words(explanation.words),
    }
    if heat_map is not None and (image := _thumbnail(explanation, predictor, _IMAGE_PX)):
        content["image"] = address(_with_box(image.pixels, image, explanation))
        content["overlay"] = address(_overlay(heat_map, image, explanation))
        content["summary"] = summarize(heat_map, class_name)
    return content


def _overlay(heat_map: HeatMap, image: Thumbnail, explanation: Explanation) -> np.ndarray:
    return _with_box(heat_map.overlay(image.pixels), image, explanation)


def _with_box(pixels: np.ndarray, image: Thumbnail, explanation: Explanation) -> np.ndarray:
    """An image, uint8 (h, w, 3), with the object that is explained, if it is one."""
    box = explanation.box
    if box is None:
        return pixels
    scale = pixels.shape[1] / image.size[1]
    scaled = PredictedBox(box.label, box.score, *(edge * scale for edge in box.edges))
    return np.asarray(draw_boxes(pixels, [scaled], [box.label]))


def _thumbnail(explanation: Explanation, predictor: Predictor, longest_px: int) -> Thumbnail | None:
    return predictor.modality.thumbnail(predictor.modality.example_in(Path(), explanation.file), longest_px)


def _neighbour_content(neighbour: Neighbour, class_name: str, predictor: Predictor) -> dict[str, Any]:
    modality, root = predictor.modality, Path(predictor.facts.data_root)
    example = modality.example_in(root, neighbour.file, neighbour.text or "")
    image = modality.thumbnail(example, _NEIGHBOUR_PX)
    return {
        "file": neighbour.file,
        "label": ", ".join(neighbour.labels) or NO_LABEL,
        "agrees": class_name in neighbour.labels,
        "similarity": neighbour.similarity,
        "is_same": neighbour.is_same,
        "text": shortened(example.text),
        "address": address(image.pixels) if image else None,
    }


def _unused_path(folder: Path, stem: str) -> Path:
    """A path for an image; images from different folders may have the same name."""
    number = 1
    while (path := folder / (f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg")).exists():
        number += 1
    return path
