"""How good a run is, as its report shows it: figures, confusions, mistakes, label issues, confidence."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.corrections import DROP
from headstart.reports import plots
from headstart.reports.examples import Evidence, marked_words, read_evidence, show_example
from headstart.reports.regions import marks
from headstart.runs.schema import (
    CalibrationFacts,
    ChangeFacts,
    ClassFigures,
    Figures,
    RunFacts,
    SelectivePredictionFacts,
    SplitFigures,
)
from headstart.runs.tables import LabelIssue, PredictionRow, read_label_issues
from headstart.tasks import Region, Task, get_task
from headstart.tasks.labels import NO_LABEL
from headstart.tasks.statistics import Z

BACKGROUND = "background"
"""In a confusion matrix of boxes: what was not detected, or where nothing is."""

SPLIT_NAMES = {"val": "validation", "train": "training"}
"""Names of splits for people, where they differ."""

_CELLS_WITH_NUMBERS = 12  # a confusion matrix with more classes is drawn
_DEEP, _DEEPEST = 0.63, 0.78  # shades of its cells on which text has to be turned round, in the dark and in the light
_CONFUSIONS = 15
_MOST_SQUARES = 2000
_THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99)


def result(classes: Sequence[str], counts: np.ndarray | None, rows: Sequence[PredictionRow]) -> dict[str, Any] | None:
    """The first lines: how many answers are right, and how many a constant answer would get right."""
    if counts is None or not counts.sum():
        return None
    support = counts.sum(1)
    commonest = int(support.argmax())
    surest_first = sorted(rows, key=lambda row: -_confidence(row))
    right = [row.labels == row.predicted for row in surest_first]
    return {
        "examples": int(counts.sum()),
        "right": int(np.trace(counts)),
        "commonest": classes[commonest],
        "commonest_share": float(support[commonest] / counts.sum()),
        "squares": plots.squares(right) if 0 < len(right) <= _MOST_SQUARES else None,
    }


def found_objects(split: SplitFigures | None, task: Task) -> dict[str, int] | None:
    """The first lines about boxes: how many objects were found, and how many of the predicted boxes are right."""
    if split is None or not task.has_boxes:
        return None
    figures = split.of_task()
    matrix = np.array(figures["confusions"])
    n_found = int(np.trace(matrix))
    return {"objects": figures["objects"], "found": n_found, "predicted": int(matrix[:, :-1].sum())}


def columns(figures: Figures) -> list[dict[str, Any]]:
    """The columns of the table of metrics: the split that counts first."""
    order = sorted(
        figures.splits, key=lambda name: (name != figures.headline, ["test", "val", "train", name].index(name))
    )
    shown_rows = [{"title": SPLIT_NAMES.get(name, name), "figures": figures.splits[name]} for name in order]
    if figures.leak_free and figures.leak_free.metrics:
        shown_rows.insert(1, {"title": "without those seen in training", "figures": figures.leak_free.metrics})
    return shown_rows


def confusion(classes: Sequence[str], split: SplitFigures | None, task: Task) -> dict[str, Any] | None:
    """The confusion matrix, with numbers or drawn, and the most frequent confusions.

    That of boxes has the background as last class, which is no class that a box is confused with.
    """
    matrix = split and (split.of_task()["confusions"] if task.has_boxes else split.confusion_matrix)
    if not matrix:
        return None
    counts = np.array(matrix, np.int64)
    support = counts.sum(1)
    wrong = counts - np.diag(np.diag(counts))
    if task.has_boxes:
        classes = [*classes, BACKGROUND]
        wrong[-1] = wrong[:, -1] = 0
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    cells = [(int(cell) // len(classes), int(cell) % len(classes)) for cell in order]
    pairs = [
        {
            "label": classes[i],
            "predicted": classes[j],
            "count": int(wrong[i, j]),
            "support": int(support[i]),
            "share": float(wrong[i, j] / support[i]),
        }
        for i, j in cells
        if wrong[i, j]
    ]
    content: dict[str, Any] = {"pairs": pairs, "wrong": int(wrong.sum()), "block": plots.block_size(len(classes))}
    if len(classes) > _CELLS_WITH_NUMBERS:
        content["plot"] = plots.matrix(counts)
        return content
    shares = counts / np.maximum(support[:, None], 1)
    content["rows"] = [
        {"name": name, "cells": [_cell(i == j, int(counts[i, j]), float(shares[i, j])) for j in range(len(classes))]}
        for i, name in enumerate(classes)
    ]
    return content


def change(facts: ChangeFacts | None, split: SplitFigures | None) -> dict[str, Any] | None:
    """The old classes of a run that was extended, before and after, the worst changes first; then the new ones."""
    if facts is None or split is None:
        return None
    share = ("value", "low", "high")
    rows = [
        {
            **of_class.to_json(),
            "before": dict(zip(share, of_class.before or (None, None, None), strict=True)),
            "after": dict(zip(share, of_class.after or (None, None, None), strict=True)),
        }
        for of_class in sorted(facts.classes, key=lambda of_class: of_class.fixed - of_class.regressed)
    ]
    added: list[tuple[str, ClassFigures]] = [(name, split.per_class[name]) for name in facts.added_classes]
    new = [{"name": name, "examples": figures.support, "after": figures.recall} for name, figures in added]
    return {"run": facts.run, "verdict": facts.verdict, "rows": rows, "new": new}


def per_class(
    facts: RunFacts, counts: np.ndarray | None, split: SplitFigures | None, task: Task
) -> dict[str, Any] | None:
    """Figures of each class, the worst first; classes without examples last."""
    if split is None:
        return None
    classes, mistaken_for = facts.classes, dict[str, str]()
    few_trained = facts.data.few_trained if facts.data else {}
    if counts is not None:
        wrong = counts - np.diag(np.diag(counts))
        mistaken_for = {classes[i]: classes[int(wrong[i].argmax())] for i in range(len(classes)) if wrong[i].any()}
    rows = [
        {
            "name": name,
            "n_trained": few_trained.get(name),
            "confused_with": mistaken_for.get(name),
            "remark": task.class_remark(figures),
            **figures,
        }
        for name, figures in split.of_task()["per_class"].items()
    ]
    rows.sort(key=lambda row: math.inf if row["f1"]["value"] is None else row["f1"]["value"])
    lows = [row["f1"]["low"] for row in rows if row["f1"]["low"] is not None]
    floor = math.floor(min(lows, default=0.0) * 10 - 1e-9) / 10
    return {"rows": rows, "floor": min(max(floor, 0.0), 0.9)}


def mistakes(folder: Path, facts: RunFacts, rows: Sequence[PredictionRow], task: Task) -> dict[str, Any] | None:
    """The mistakes that the model was surest of, with their images or texts; None of boxes, which are drawn instead."""
    if not rows or task.has_boxes:
        return None
    wrong = [(row, _mistake(row)) for row in rows if row.scores.mistake]
    wrong.sort(key=lambda pair: -pair[1]["confidence"])
    evidence = read_evidence(folder, facts)
    shown_rows = [
        {
            **mistake,
            **_example(facts, row, evidence, ()),
            "words": marked_words(evidence.words.get(row.file)),
        }
        for row, mistake in wrong[: facts.modality.mistakes_shown]
    ]
    with_heat = any(mistake["image"] and "heat" in mistake["image"] for mistake in shown_rows)
    return {"shown": shown_rows, "with_heat": with_heat, "total": len(wrong), "examples": len(rows)}


def label_issues(folder: Path, facts: RunFacts, n_rows: int) -> dict[str, Any] | None:
    """Examples whose label looks wrong, the surest first, with their images or texts."""
    if facts.label_issues is None:
        return None
    issues = read_label_issues(folder, facts)[:n_rows]
    return {
        **facts.label_issues.to_json(),
        "shown": [_label_issue(issue, facts, get_task(facts.task)) for issue in issues],
    }


def confidence(
    split: SplitFigures | None, rows: Sequence[PredictionRow], selective: SelectivePredictionFacts | None
) -> dict[str, Any] | None:
    """How far the confidence can be trusted, and what a threshold on it gains."""
    bins = [one_bin for one_bin in (split.reliability or [] if split else []) if one_bin.count]
    if not bins:
        return None
    total = sum(one_bin.count for one_bin in bins)
    accuracy = sum(one_bin.count * (one_bin.accuracy or 0) for one_bin in bins) / total
    excess = sum(one_bin.count * (one_bin.confidence or 0) for one_bin in bins) / total - accuracy
    smoothed = (accuracy * total + 1) / (total + 2)  # not exactly 0 or 1, where the formula says that nothing varies
    return {
        "by_chance": Z * math.sqrt(smoothed * (1 - smoothed) / total),
        "plot": plots.reliability([one_bin.to_json() for one_bin in bins]),
        "excess": excess,
        "thresholds": _by_threshold(rows, (selective.threshold if selective else None) or None),
        "selective_prediction": selective,
    }


def calibration(facts: CalibrationFacts | None) -> list[dict[str, Any]]:
    """What temperature scaling did to the examples that decide and to those that do not."""
    if facts is None:
        return []
    effects = ((facts.chosen_on, True, facts.on_chosen), ("test", False, facts.on_test))
    return [{"name": name, "decides": decides, **effect.to_json()} for name, decides, effect in effects if effect]


def labels_in_words(names: Iterable[str]) -> str:
    """The labels of an example as people read them."""
    counts = Counter(names).items()
    return ", ".join(name if n == 1 else f"{n:,} {name}" for name, n in counts) or NO_LABEL


def _by_threshold(rows: Sequence[PredictionRow], run_threshold: float | None) -> list[dict[str, Any]]:
    """Coverage and accuracy above some thresholds, the run's own among them."""
    confidences = np.array([_confidence(row) for row in rows])
    right = np.array([row.predicted == row.labels for row in rows], bool)
    shown_rows = []
    for threshold in sorted({*_THRESHOLDS, *([run_threshold] if run_threshold else [])}) if rows else ():
        is_covered = confidences >= threshold
        n, hits = int(is_covered.sum()), int((is_covered & right).sum())
        row = {"threshold": threshold, "kept": n, "share": n / len(rows), "accuracy": hits / n if n else None}
        shown_rows.append({**row, "own": threshold == run_threshold})
    return shown_rows


def _confidence(row: PredictionRow) -> float:
    return row.scores.confidence or 0.0


def _cell(right: bool, count: int, share: float) -> dict[str, Any]:
    shade = 0.12 + 0.73 * (share if right else math.sqrt(share)) if count else 0.0  # a few errors must be seen
    depth = " deep deepest" if shade > _DEEPEST else " deep" if shade > _DEEP else ""
    return {"right": right, "count": count, "share": share, "shade": round(shade, 2), "depth": depth}


def _mistake(row: PredictionRow) -> dict[str, Any]:
    """What was predicted, what is true, and the confidence in the worst wrong answer."""
    mistake = row.scores.mistake
    return {
        "file": row.file,
        "text": row.text,
        "predicted": labels_in_words(row.predicted),
        "label": labels_in_words(row.labels),
        "confidence": mistake.confidence if mistake else 0.0,
        "class_name": mistake.class_name if mistake else "",
        "is_predicted": mistake is not None and mistake.class_name in row.predicted,
        "probability": mistake.probability if mistake else None,
        "label_probability": mistake.label_probability if mistake else None,
    }


def _label_issue(issue: LabelIssue, facts: RunFacts, task: Task) -> dict[str, Any]:
    """An example whose label looks wrong, with its ``current_labels`` and the ``doubted_labels``."""
    current_labels, suggested_labels = set(issue.labels), set(issue.suggested)
    is_dropped = issue.label_cell == DROP
    regions = [] if is_dropped else task.regions(issue.label_cell, issue.suggested_cell, facts.classes)
    return {
        "file": issue.file,
        "label": labels_in_words(issue.labels),
        "suggested": labels_in_words(issue.suggested),
        "probability": issue.probability,
        "label_probability": issue.label_probability,
        "current_labels": current_labels,
        "doubted_labels": sorted(current_labels ^ suggested_labels),
        **_example(facts, issue, None, regions),
    }


def _example(
    facts: RunFacts, row: PredictionRow | LabelIssue, evidence: Evidence | None, regions: Sequence[Region]
) -> dict[str, Any]:
    example = facts.modality.example_in(Path(facts.data_root), row.file, row.text)
    shown_example = show_example(facts.modality, example, row.file, evidence)
    if shown_example["image"] and regions:
        shown_example["image"]["marks"] = marks(regions)
    return shown_example
