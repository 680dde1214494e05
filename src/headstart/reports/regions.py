"""Regions of images that a report marks: on whole images, and the worst mistakes of each kind from nearby."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from headstart.data.images import Box
from headstart.data.thumbnails import address, closeup
from headstart.runs.schema import RunFacts
from headstart.runs.tables import PredictionRow
from headstart.tasks import Region, Task

_SHOWN = 6  # mistakes of a kind
_CLOSEUP_PX = 200
_MARGIN = 0.6  # around a mistake, as a share of its longer side
_LEAST_SHARE = 0.1  # of the longer side of an image that a closeup shows


def marks(regions: Iterable[Region]) -> list[dict[str, Any]]:
    """Rectangles with the kind of their style.

    It is ``right``, ``wrong``, ``true`` for where a wrong one should be, or ``missed``.
    """
    drawn_marks = []
    for region in regions:
        if region.true_box is not None:
            drawn_marks.append(_mark("true", "", region.true_box))
        title = f"{region.kind}: {region.text}" if region.kind else region.text
        kind = "right" if not region.kind else "wrong" if region.is_predicted else "missed"
        drawn_marks.append(_mark(kind, title, region.box))
    return drawn_marks


def worst_by_kind(rows: Sequence[PredictionRow], facts: RunFacts, task: Task) -> list[dict[str, Any]]:
    """The kinds of mistakes, the most frequent first, each with its worst ones from nearby; empty without regions."""
    by_kind: dict[tuple[str, str], list[tuple[Region, PredictionRow]]] = {}
    for row in rows:
        for region in task.regions(row.label_cell, row.predicted_cell, facts.classes):
            if region.kind:
                by_kind.setdefault((region.kind, region.meaning), []).append((region, row))
    kinds = []
    for (kind, meaning), mistakes in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        mistakes.sort(key=lambda mistake: -mistake[0].rank)
        views = (_closeup(region, row, facts) for region, row in mistakes)
        shown_views = [*islice((view for view in views if view), _SHOWN)]
        kinds.append({"kind": kind, "meaning": meaning, "total": len(mistakes), "shown": shown_views})
    return kinds


def _closeup(region: Region, row: PredictionRow, facts: RunFacts) -> dict[str, Any] | None:
    """A mistake from nearby; None if its image can no longer be read."""
    example = facts.modality.example_in(Path(facts.data_root), row.file, row.text)
    view = closeup(example, _around(region), _LEAST_SHARE, _CLOSEUP_PX)
    if view is None:
        return None
    image = {"address": address(view.pixels), "view": view.box, "marks": marks([region])}
    return {"image": image, "text": region.text, "file": row.file, "label": region.kind}


def _around(region: Region) -> Box:
    """The region and where it should be, with a margin."""
    boxes = [region.box, *([region.true_box] if region.true_box else [])]
    x1, y1 = (min(box[i] for box in boxes) for i in (0, 1))
    x2, y2 = (max(box[i] for box in boxes) for i in (2, 3))
    margin = _MARGIN * max(x2 - x1, y2 - y1)
    return x1 - margin, y1 - margin, x2 + margin, y2 + margin


def _mark(kind: str, title: str, box: Box) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    edges = {"x": x1, "y": y1, "width": max(x2 - x1, 0), "height": max(y2 - y1, 0)}
    return {"kind": kind, "title": title, **{name: round(value, 1) for name, value in edges.items()}}
