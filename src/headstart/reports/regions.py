"""Regions of images that a report marks: on whole images, and the worst mistakes of each kind from nearby."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.examples import Example
from headstart.data.images import Box
from headstart.data.modalities import Modality
from headstart.data.thumbnails import address, closeup
from headstart.runs.schema import RunFacts
from headstart.runs.tables import PredictionRow
from headstart.tasks import Region, Task
from headstart.tasks.detection import Detections
from headstart.tasks.detection.thresholds import DEFAULT_THRESHOLD

_SHOWN = 6  # mistakes of a kind
_CLOSEUP_PX = 200
_MARGIN = 0.6  # around a mistake, as a share of its longer side
_LEAST_SHARE = 0.1  # of the longer side of an image that a closeup shows

_EXAMPLES = 12  # whole images
_EXAMPLE_PX = 320  # of their longer sides
_STEPS = 101  # of scores from 0 to 1, at which all boxes are counted


class MarkedRow(NamedTuple):
    """A row of a table of predictions, and the regions of its image.

    Attributes:
        row: of the table.
        regions: of what is predicted.
        all_regions: the same with what is below the thresholds, too.
    """

    row: PredictionRow
    regions: list[Region]
    all_regions: list[Region]


def marked_rows(rows: Sequence[PredictionRow], facts: RunFacts, task: Task) -> list[MarkedRow]:
    """The rows with their regions; empty where the task has no boxes."""
    if not task.has_boxes:
        return []
    return [_marked_row(row, facts.classes, task) for row in rows]


def _marked_row(row: PredictionRow, classes: Sequence[str], task: Task) -> MarkedRow:
    below_cells = ("", row.scores.below_cell)
    return MarkedRow(row, *(task.regions(row.label_cell, row.predicted_cell, classes, cell) for cell in below_cells))


def marks(regions: Iterable[Region], predicted_regions: Iterable[Region] | None = None) -> list[dict[str, Any]]:
    """Rectangles with the kind of their style: where something is first, then what was predicted.

    It is ``right``, ``wrong``, ``true`` for where something predicted should be, or ``missed``. Each has the ``score``
    of what was predicted; one that is ``true`` the highest score of what is about it, below which it is missed. Those
    that are not among what is predicted are marked as ``is_below``.

    Args:
        regions: of an image.
        predicted_regions: those of what is predicted; None for all.
    """
    regions = [*regions]
    visible_regions = regions if predicted_regions is None else [*predicted_regions]
    visible = {(region.box, region.score) for region in visible_regions}
    visible_true = {region.true_box for region in visible_regions}
    drawn_marks = [
        {**_mark("true", "", box, score), "is_below": box not in visible_true}
        for box, score in _true_scores(regions).items()
    ]
    for region in regions:
        title = f"{region.kind}: {region.text}" if region.kind else region.text
        kind = "right" if not region.kind else "wrong" if region.is_predicted else "missed"
        is_below = region.is_predicted and (region.box, region.score) not in visible
        drawn_marks.append({**_mark(kind, title, region.box, region.score), "is_below": is_below})
    return drawn_marks


def box_examples(rows: Sequence[MarkedRow], facts: RunFacts) -> dict[str, Any] | None:
    """Some whole images with all their boxes, evenly indices from the one with most mistakes to the one with fewest.

    Returns:
        ``shown`` images; ``start``, the lowest score of a box; and for ``right``, ``wrong`` and ``missed`` how many
        there are in all images at the thresholds of the run, and if boxes below each score of 0, .01, … 1 are left out.
        None without rows.
    """
    if not rows:
        return None
    ranked = sorted(rows, key=lambda marked_row: (-_mistakes(marked_row.regions), marked_row.row.file))
    indices = np.unique(np.linspace(0, len(ranked) - 1, min(_EXAMPLES, len(ranked))).round().astype(int)).tolist()
    scores = [region.score for marked_row in rows for region in marked_row.all_regions if region.score is not None]
    at_thresholds = [_counts(marked_row.regions) for marked_row in rows]
    by_score = _counts_by_score([marked_row.all_regions for marked_row in rows])
    return {
        "shown": [_marked_example(ranked[i], facts) for i in indices],
        "images": len(rows),
        "start": int(100 * min(scores, default=0.0)) / 100,
        **{
            kind: {"at_thresholds": sum(counts[kind] for counts in at_thresholds), "by_score": by_score[kind]}
            for kind in by_score
        },
    }


def boxes_on_image(
    modality: Modality, example: Example, drawn_marks: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """An image with marks for a page; None if it can no longer be read."""
    small = modality.thumbnail(example, _EXAMPLE_PX)
    if small is None:
        return None
    return {"address": address(small.pixels), "view": (0, 0, small.size[1], small.size[0]), "marks": drawn_marks}


def labelled_image(
    modality: Modality, example: Example, labelled_boxes: Sequence[tuple[str, Box]], doubted_boxes: Sequence[Box]
) -> dict[str, Any] | None:
    """An image with its labelled boxes for a page.

    Args:
        modality: of the example.
        example: the image.
        labelled_boxes: class and edges of each.
        doubted_boxes: those that look wrong, which are shown from nearby.

    Returns:
        None if the image can no longer be read.
    """
    drawn_marks = [_mark("true", name, box, None) for name, box in labelled_boxes if box not in doubted_boxes]
    drawn_marks += [_mark("wrong", name, box, None) for name, box in labelled_boxes if box in doubted_boxes]
    if not doubted_boxes:
        return boxes_on_image(modality, example, drawn_marks)
    view = closeup(example, _around(doubted_boxes), _LEAST_SHARE, _CLOSEUP_PX)
    return view and {"address": address(view.pixels), "view": view.box, "marks": drawn_marks}


def labelled_boxes(dataset: Dataset, position: int) -> list[tuple[str, Box]]:
    """Class and edges of each box of an image, in pixels of the upright image."""
    boxes = dataset.labels[position]
    names = (dataset.classes[number] for number in boxes.classes.tolist())
    return [*zip(names, map(tuple, boxes.coordinates.tolist()), strict=True)]


def class_marks(dataset: Dataset, position: int, class_name: str) -> list[dict[str, Any]]:
    """The labelled boxes of an image: those of one class as ``right``, the others as ``true``."""
    boxes = labelled_boxes(dataset, position)
    return [_mark("right" if name == class_name else "true", name, box, None) for name, box in boxes]


def detection_marks(
    detections: Detections, classes: Sequence[str], thresholds: np.ndarray | None, least_score: float
) -> list[dict[str, Any]]:
    """The detections in an image with at least a score: ``right`` ones, with their ``name``.

    Those below the threshold of their class are marked as ``is_below``.
    """
    least = np.broadcast_to(DEFAULT_THRESHOLD if thresholds is None else thresholds, len(classes))
    drawn_marks = []
    for number, score, edges in zip(
        detections.classes.tolist(), detections.scores.tolist(), detections.coordinates.tolist(), strict=True
    ):
        if score >= least_score:
            mark = _mark("right", f"{classes[number]} {score:.2f}", tuple(edges), score)
            drawn_marks.append({**mark, "name": classes[number], "is_below": bool(score < least[number])})
    return drawn_marks


def worst_by_kind(rows: Sequence[MarkedRow], facts: RunFacts) -> list[dict[str, Any]]:
    """The kinds of mistakes, the most frequent first, each with its worst ones from nearby; empty without regions."""
    by_kind: dict[tuple[str, str], list[tuple[Region, PredictionRow]]] = {}
    for row, regions, _ in rows:
        for region in regions:
            if region.kind:
                by_kind.setdefault((region.kind, region.meaning), []).append((region, row))
    kinds = []
    for (kind, meaning), mistakes in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        mistakes.sort(key=lambda mistake: -mistake[0].rank)
        views = (_closeup(region, row, facts) for region, row in mistakes)
        shown_views = [*islice((view for view in views if view), _SHOWN)]
        kinds.append({"kind": kind, "meaning": meaning, "total": len(mistakes), "shown": shown_views})
    return kinds


def _true_scores(regions: Iterable[Region]) -> dict[Box, float | None]:
    """Where something is -> the highest score of what was predicted about it; None where that has no score."""
    scores: dict[Box, float | None] = {}
    for region in regions:
        if region.true_box is None:
            continue
        earlier_score = scores.get(region.true_box)
        scores[region.true_box] = (
            region.score if earlier_score is None or region.score is None else max(earlier_score, region.score)
        )
    return scores


def _mistakes(regions: Iterable[Region]) -> int:
    return sum(bool(region.kind) for region in regions)


def _counts(regions: Sequence[Region]) -> dict[str, int]:
    n_wrong = sum(bool(region.kind) and region.is_predicted for region in regions)
    n_mistakes = _mistakes(regions)
    return {"right": len(regions) - n_mistakes, "wrong": n_wrong, "missed": n_mistakes - n_wrong}


def _marked_example(marked_row: MarkedRow, facts: RunFacts) -> dict[str, Any]:
    row, regions, all_regions = marked_row
    example = facts.modality.example_in(Path(facts.data_root), row.file, row.text)
    image = boxes_on_image(facts.modality, example, marks(all_regions, regions))
    return {"file": row.file, "image": image, **_counts(regions)}


def _counts_by_score(regions_by_image: Sequence[Sequence[Region]]) -> dict[str, list[int]]:
    regions = [region for of_image in regions_by_image for region in of_image]
    right = [region.score for region in regions if region.score is not None and not region.kind]
    wrong = [region.score for region in regions if region.score is not None and region.kind]
    true = [score for of_image in regions_by_image for score in _true_scores(of_image).values() if score is not None]
    n_missed = sum(not region.is_predicted for region in regions)
    return {
        "right": (len(right) - _number_below(right)).tolist(),
        "wrong": (len(wrong) - _number_below(wrong)).tolist(),
        "missed": (n_missed + _number_below(true)).tolist(),
    }


def _number_below(scores: Sequence[float]) -> np.ndarray:
    """How many scores lie below each of 0, .01, … 1."""
    return np.searchsorted(np.sort(scores), np.linspace(0, 1, _STEPS))


def _closeup(region: Region, row: PredictionRow, facts: RunFacts) -> dict[str, Any] | None:
    """A mistake from nearby; None if its image can no longer be read."""
    example = facts.modality.example_in(Path(facts.data_root), row.file, row.text)
    view = closeup(example, _around([region.box, *filter(None, [region.true_box])]), _LEAST_SHARE, _CLOSEUP_PX)
    if view is None:
        return None
    image = {"address": address(view.pixels), "view": view.box, "marks": marks([region])}
    return {"image": image, "text": region.text, "file": row.file, "label": region.kind}


def _around(boxes: Sequence[Box]) -> Box:
    """A box around boxes, with a margin."""
    x1, y1 = (min(box[i] for box in boxes) for i in (0, 1))
    x2, y2 = (max(box[i] for box in boxes) for i in (2, 3))
    margin = _MARGIN * max(x2 - x1, y2 - y1)
    return x1 - margin, y1 - margin, x2 + margin, y2 + margin


def _mark(kind: str, title: str, box: Box, score: float | None) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    edges = {"x": x1, "y": y1, "width": max(x2 - x1, 0), "height": max(y2 - y1, 0)}
    return {"kind": kind, "title": title, "score": score, **{name: round(value, 1) for name, value in edges.items()}}
