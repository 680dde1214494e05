"""What the report of a run says of detections: precision at some recalls, sizes, kinds of errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.tasks.detection.average_precision import RECALLS
from headstart.tasks.detection.errors import KINDS
from headstart.tasks.detection.metrics import SIZE_RANGES
from headstart.tasks.task import Curve, ReportSection

_RECALLS_SHOWN = (0.25, 0.5, 0.75, 0.9)
_CURVES = 6  # of the classes with most objects


def report_sections(figures: Mapping[str, Any], classes: Sequence[str]) -> list[ReportSection]:
    """The sections, from the figures of :func:`headstart.tasks.detection.metrics.evaluate`."""
    return [_errors(figures), _precision(figures, classes), _sizes(figures)]


def _errors(figures: Mapping[str, Any]) -> ReportSection:
    rows = []
    for kind, (title, meaning) in KINDS.items():
        of_kind = figures["errors"][kind]
        gain = of_kind["map_50_gain"]
        rows.append([f"{title}: {meaning}", f"{of_kind['number']:,}", "–" if gain is None else f"{gain:+.3f}"])
    text = (
        f"Among {figures['objects']:,} objects, at the thresholds of the classes. A detection is correct from an "
        "intersection over union (IoU) of 0.5 with an object of its class."
    )
    return ReportSection("Kinds of errors", text, ("kind", "number", "mAP50 if fixed"), rows)


def _precision(figures: Mapping[str, Any], classes: Sequence[str]) -> ReportSection:
    positions = [round(recall * (len(RECALLS) - 1)) for recall in _RECALLS_SHOWN]
    rows = []
    for name in classes:
        curve = figures["per_class"][name]["curve"]
        points = [(curve["precision"][i], curve["score"][i]) for i in positions]
        cells = [f"{precision:.1%} ({score:.2f})" if precision else "not reached" for precision, score in points]
        rows.append([name, *cells])
    by_support = sorted(classes, key=lambda name: -figures["per_class"][name]["support"])
    text = (
        "How many of the boxes are correct if so many of the objects have to be detected, at an IoU of 0.5. In "
        "brackets: the score from which this is so. The dot is the threshold of the class."
    )
    header = ("class", *(f"recall {recall:.0%}" for recall in _RECALLS_SHOWN))
    curves = [_curve(name, figures["per_class"][name]) for name in by_support[:_CURVES]]
    return ReportSection("Precision and recall", text, header, rows, curves)


def _curve(name: str, figures: Mapping[str, Any]) -> Curve:
    points = [
        (recall, precision)
        for recall, precision in zip(RECALLS.tolist(), figures["curve"]["precision"], strict=True)
        if precision
    ]
    used = figures["recall"]["value"], figures["precision"]["value"]
    return Curve(name, ("recall →", "precision"), points or [(0.0, 0.0)], None if None in used else used)


def _sizes(figures: Mapping[str, Any]) -> ReportSection:
    sides = {name: tuple(round(area**0.5) for area in areas) for name, areas in SIZE_RANGES.items()}
    meanings = {
        "small": f"up to {sides['small'][1]} × {sides['small'][1]} pixels",
        "medium": f"up to {sides['medium'][1]} × {sides['medium'][1]} pixels",
        "large": "above that",
    }
    rows = [
        [f"{name}: {meanings[name]}", f"{row['objects']:,}", _figure(row["map_50_95"]), _figure(row["average_recall"])]
        for name, row in figures["size_buckets"].items()
    ]
    return ReportSection("Sizes of objects", "", ("size", "objects", "mAP50-95", "average recall"), rows)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
