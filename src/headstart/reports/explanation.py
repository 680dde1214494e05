"""A page that shows explanations: complete in itself, fetching nothing and running no script, as a report is."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headstart.data.examples import FileExample, example_in
from headstart.data.labels import NO_LABEL
from headstart.data.readers import NOUNS
from headstart.data.thumbnails import address, jpeg, thumbnail
from headstart.errors import counted
from headstart.explanation.explain import Explainer, Explanation
from headstart.explanation.heat import COLOURS, HeatMap, place_of
from headstart.explanation.neighbours import Neighbour
from headstart.reports.examples import marked_words, shortened
from headstart.reports.page import open_template, percent
from headstart.runs.folder import write_folder

PAGE = "explanation.html"
_SHOWN_PX, _ALIKE_PX, _FILE_PX = 720, 240, 1600  # of the longer side of a picture on the page, and in a file
_CHANCES = 6  # probabilities
_ON_PAGE = 60  # explanations
_QUALITY = 90


def write_explanations(explainer: Explainer, explained: Sequence[Explanation], parent: Path, name: str) -> Path:
    """Write a folder with the page, and of pictures with each heat map as a JPEG file over its picture.

    Args:
        explainer: the run that they are of.
        explained: what to show, in this order.
        parent: folder that the new one goes into; made if missing.
        name: of the new one; ``NAME-2`` and so on where it is there already.

    Returns:
        The page.
    """

    def fill(folder: Path, final_name: str) -> None:
        page = open_template("explanation.html.j2").render(_content(explainer, explained))
        (folder / PAGE).write_bytes(page.encode("utf-8", errors="replace"))
        for one in explained:
            if one.heat_map is not None and (picture := thumbnail(FileExample(one.file), _FILE_PX)):
                path = _free(folder, Path(one.file).stem)
                path.write_bytes(jpeg(one.heat_map.over(picture.pixels), _QUALITY))

    return write_folder(parent, name, fill) / PAGE


def where(heat_map: HeatMap, class_name: str) -> str:
    """Where the heat of a class is, in a sentence."""
    if not heat_map.regions:
        return f"Nothing in this picture speaks for {class_name}."
    places = [
        f"{place_of(region, heat_map.size)}, {percent(region.share, 0)} of it on {percent(region.area, 0)} of the area"
        for region in heat_map.regions
    ]
    return f"What speaks for {class_name}: {'; '.join(places)}."


def _content(explainer: Explainer, explained: Sequence[Explanation]) -> dict[str, Any]:
    predictor, training = explainer.predictor, explainer.training
    root = Path(predictor.facts.data_root)
    noun = NOUNS[predictor.modality]
    name = predictor.facts.name
    verb = "sees in" if predictor.modality == "image" else "reads in"
    is_one_file = len(explained) == 1 and predictor.modality == "image"
    what = Path(explained[0].file).name if is_one_file else counted(len(explained), noun)
    first = explained[0].heat_map
    return {
        "facts": predictor.facts,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "modality": predictor.modality,
        "multi_label": predictor.thresholds is not None,
        "noun": noun,
        "title": f"What {name} {verb} {what}",
        "colours": COLOURS,
        "methods": {one.method for one in explained},
        "cells": first.evidence.shape if first is not None else None,
        "explained": [shown(one, root) for one in explained[:_ON_PAGE]],
        "notes": [*_left_out(len(explained), noun), *filter(None, [training and training.note(noun)])],
    }


def _left_out(n: int, noun: str) -> list[str]:
    return [f"These are the first {_ON_PAGE} of {n:,} {noun}s that were explained."] if n > _ON_PAGE else []


def shown(one: Explanation, root: Path) -> dict[str, Any]:
    """What the template of an explanation is given.

    Args:
        one: the explanation.
        root: folder that the names of training pictures start from.
    """
    predicted, probabilities = one.answer.predicted, one.answer.probabilities
    chances = list(probabilities.items())
    likeliest = [chance for i, chance in enumerate(chances) if i < _CHANCES or chance[0] == one.class_name]
    content: dict[str, Any] = {
        "file": one.file,
        "title": Path(one.file).name if one.heat_map is not None else None,
        "predicted": predicted if isinstance(predicted, str) else ", ".join(predicted) or NO_LABEL,
        "out_of_distribution": one.answer.out_of_distribution,
        "chances": likeliest,
        "more": len(chances) - len(likeliest),
        "class_name": one.class_name,
        "nearest": [_alike(neighbour, one.class_name, root) for neighbour in one.nearest],
        "agreeing": sum(one.class_name in neighbour.labels for neighbour in one.nearest),
        "words": marked_words(one.words),
    }
    picture = thumbnail(FileExample(one.file), _SHOWN_PX) if one.heat_map is not None else None
    if picture is not None and one.heat_map is not None:
        content["photo"] = address(picture.pixels)
        content["over"] = address(one.heat_map.over(picture.pixels))
        content["where"] = where(one.heat_map, one.class_name)
    return content


def _alike(neighbour: Neighbour, class_name: str, root: Path) -> dict[str, Any]:
    picture = None if neighbour.text is not None else thumbnail(example_in(root, neighbour.file), _ALIKE_PX)
    return {
        "file": neighbour.file,
        "label": ", ".join(neighbour.labels) or NO_LABEL,
        "agrees": class_name in neighbour.labels,
        "similarity": neighbour.similarity,
        "is_same": neighbour.is_same,
        "text": shortened(neighbour.text) if neighbour.text is not None else None,
        "address": address(picture.pixels) if picture else None,
    }


def _free(folder: Path, stem: str) -> Path:
    """A name for a picture of which there may be several, from folders of their own."""
    number = 1
    while (path := folder / (f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg")).exists():
        number += 1
    return path
