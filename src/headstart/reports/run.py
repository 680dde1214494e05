"""Stage 7 of 7, report: takes a run folder, writes the one page in it that a person reads.

The text is in ``templates/report.html.j2``, the style in ``templates/report.css``, the plots are in ``plots.py``; this
module computes their content. The page is one self-contained file: it fetches nothing and runs no script, names of
classes and files are escaped, and its Content-Security-Policy forbids everything else.

An evaluation of a run is a folder with fewer facts, so every section may be missing.
"""

import csv
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from headstart.data.audit import Occurrence
from headstart.data.examples import example_in
from headstart.data.images import Decoder
from headstart.data.labels import NO_LABEL, SEPARATOR
from headstart.data.run_examples import EXAMPLES
from headstart.data.thumbnails import address, thumbnail
from headstart.evaluation.learning_curve import NOTICEABLE
from headstart.explanation.heat import HeatMap
from headstart.explanation.mistakes import HEAT, IMAGES_SHOWN, TEXTS_SHOWN, WORDS
from headstart.reports import plots
from headstart.runs.predictor import read_facts
from headstart.system.durations import format_duration

TEMPLATES = Path(__file__).parent / "templates"

_LONG_TABLE = 30  # rows of a table of classes that are shown at once
_CELLS_WITH_NUMBERS = 12  # a confusion matrix with more classes is drawn
_DEEP, _DEEPEST = 0.63, 0.78  # shades of its cells on which text has to be turned round, in the dark and in the light
_CONFUSIONS, _SKIPPED = 15, 50
_MOST_SQUARES = 2000
_THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99)
_THUMBNAIL_PX = 240  # of the longer side; shown at 160 and less, so that they are sharp on fine screens too
_NOUNS = {"image": "photo", "text": "text"}
_IMAGE_EXAMPLES = {"example_shell": "photo.jpg", "example": '"photo.jpg"', "labelled": "folder/"}
_TEXT_EXAMPLES = {"example_shell": '"some text"', "example": '"some text"', "labelled": "table.csv"}
_MEANINGS = {
    "accuracy": ("Accuracy", "share of {noun}s it got right"),
    "balanced_accuracy": ("Balanced accuracy", "mean recall: every class counts the same"),
    "micro_f1": ("Micro F1", "F1 of all labels together: frequent ones count more"),
    "macro_f1": ("Macro F1", "mean F1: every class counts the same"),
    "mean_average_precision": ("Mean average precision", "of the labels, whatever their thresholds"),
    "subset_accuracy": ("Subset accuracy", "share of {noun}s with all labels right and none too many"),
    "log_loss": ("Log loss", "penalty for doubting what is true; 0 is best"),
    "ece": ("ECE", "expected calibration error: confidence against accuracy; 0 is best"),
}
_STEPS = (0.2, 0.4, 0.6, 0.8)  # of the largest weight in a text, from which on a word is marked more strongly
_LEAST_WEIGHT = 0.1
_TEXT_CHARACTERS = 600  # of a text that is shown
_SPLIT_NAMES = {"val": "validation", "train": "training"}
_BREAKS = re.compile(r"(?<=[_\-./\\])(?=[^_\-./\\])")  # where a long name may go on in the next line
_THIN = "\u202f"  # narrow no-break space, between a number and its unit

Row = dict[str, str]


def write_report(folder: Path) -> Path:
    """Write ``report.html`` of a run or of an evaluation, anew if it is there.

    Args:
        folder: with ``run.json`` and ``metrics.json``, and the tables beside them.

    Returns:
        The page.

    Raises:
        InputError: the folder is not a run.
        IntegrityError: its ``run.json`` is damaged.
    """
    page = open_template("report.html.j2").render(content(folder))
    path = folder / "report.html"
    path.write_bytes(page.encode("utf-8", errors="replace"))  # a file name may hold bytes that are no text
    return path


def open_template(name: str, *folders: Path) -> Any:
    """A page's template, with the filters that write figures and names.

    Args:
        name: of its file.
        folders: searched for it, and for what it includes, before the templates of the reports.
    """
    return _environment(folders).get_template(name)


@cache
def _environment(folders: tuple[Path, ...]) -> Any:
    import jinja2  # here, because every command imports this module and few write a report

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,  # an evaluation lacks whole groups of facts
    )
    environment.filters.update(
        percent=percent, metric=metric, duration=format_duration, count=_count, breakable=_breakable, told=_example
    )
    return environment


def content(folder: Path, suspects_shown: int = 16) -> dict[str, Any]:
    """What the template of a report is given.

    Args:
        folder: as for :func:`write_report`, which names the errors, too.
        suspects_shown: of the labels in doubt.
    """
    facts = read_facts(folder)
    figures = _json(folder / "metrics.json")
    headline = str(figures.get("headline"))
    split = figures.get("splits", {}).get(headline, {})
    classes = facts.get("classes") or list(split.get("per_class", {}))
    answers = [row for row in _rows(folder / "predictions.csv") if row["split"] == headline]
    history = list(_rows(folder / "history.csv"))
    counts = np.array(split["confusion_matrix"], np.int64) if split.get("confusion_matrix") else None
    noun = _NOUNS[facts.get("base", {}).get("modality", "image")]
    root = Path(facts.get("data", {}).get("root") or "")
    return {
        "facts": facts,
        "noun": noun,
        "multi_label": "thresholds" in facts,
        "metrics": [
            (key, name, meaning.format(noun=noun))
            for key in figures.get("metrics", ())
            for name, meaning in [_MEANINGS[key]]
        ],
        "interval": figures.get("interval", {}),
        "headline": headline,
        "split": split,
        "split_name": _SPLIT_NAMES.get(headline, headline),
        "evaluated": Path(facts["evaluation_of"]).name if facts.get("evaluation_of") else None,
        "result": _result(classes, counts, answers),
        "columns": _columns(figures),
        "leak_free": figures.get("leak_free"),
        "change": _change(facts.get("change"), split),
        "confusion": _confusion(classes, counts),
        "per_class": _per_class(classes, counts, split),
        "mistakes": _mistakes(folder, facts, root, answers),
        "suspects": _suspects(folder, root, facts, suspects_shown),
        "sureness": _sureness(split, answers, facts.get("rejection") or {}),
        "calibration": _calibration(facts.get("calibration") or {}),
        "curves": _curves(history),
        "outlook": _outlook(facts.get("learning_curve")),
        "search": _search(facts),
        "tuning": _fine_tuning(facts, history),
        "data": _data(facts),
        "skipped": _skipped(list(_rows(folder / "skipped.csv"))),
        "recipe": _recipe(facts),
        "cost": _cost(facts),
        "use": _use(folder, facts),
        "long_table": _LONG_TABLE,
    }


def percent(share: float | None, digits: int = 1) -> str:
    """``99.4 %``; never 100 unless it is exactly that."""
    if share is None:
        return "–"
    shown = f"{100 * share:.{digits}f}"
    if share < 1 and float(shown) >= 100:
        shown = f"{100 - 10.0**-digits:.{digits}f}"
    return f"{shown}{_THIN}%"


def metric(value: float | None) -> str:
    """A metric with three decimals."""
    return "–" if value is None else f"{value:.3f}"


def _count(n: float) -> str:
    return f"{n:,.0f}"


def _breakable(name: str) -> Markup:
    """A name, escaped, that browsers may break after ``_``, ``-``, ``.`` and slashes, and not within a word."""
    return Markup("<wbr>").join(_BREAKS.split(name))


def _example(example: Mapping[str, Any], check: str) -> str:
    """One line about an example of a finding."""
    return Occurrence(tuple(example["files"]), example["note"]).line(check)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _rows(path: Path) -> Iterator[Row]:
    if not path.is_file():
        return
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        yield from csv.DictReader(file)


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _result(classes: Sequence[str], counts: np.ndarray | None, answers: Sequence[Row]) -> dict[str, Any] | None:
    """What the first lines say: how many were right, and how many a constant answer would have got right."""
    if counts is None or not counts.sum():
        return None
    support = counts.sum(1)
    commonest = int(support.argmax())
    surest_first = sorted(answers, key=lambda row: -(_float(row["probability"]) or 0))
    right = [row["label"] == row["predicted"] for row in surest_first]
    return {
        "examples": int(counts.sum()),
        "right": int(np.trace(counts)),
        "commonest": classes[commonest],
        "commonest_share": float(support[commonest] / counts.sum()),
        "squares": plots.squares(right) if 0 < len(right) <= _MOST_SQUARES else None,
    }


def _columns(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns of the table of metrics: the split that counts first."""
    splits, headline = figures.get("splits", {}), figures.get("headline")
    order = sorted(splits, key=lambda name: (name != headline, ["test", "val", "train", name].index(name)))
    columns = [{"title": _SPLIT_NAMES.get(name, name), "metrics": splits[name]} for name in order]
    leak_free = figures.get("leak_free")
    if leak_free and leak_free["metrics"]:
        columns.insert(1, {"title": "without those seen in training", "metrics": leak_free["metrics"]})
    return columns


def _confusion(classes: Sequence[str], counts: np.ndarray | None) -> dict[str, Any] | None:
    if counts is None or len(counts) != len(classes):
        return None
    support = counts.sum(1)
    wrong = counts - np.diag(np.diag(counts))
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


def _change(told: Mapping[str, Any] | None, split: Mapping[str, Any]) -> dict[str, Any] | None:
    """The old classes of a run that was extended, before and after, the worst changes first; then the new ones."""
    if not told:
        return None
    share = ("value", "low", "high")
    rows = [
        {
            **one,
            **{when: dict(zip(share, one[when] or (None, None, None), strict=True)) for when in ("before", "after")},
        }
        for one in sorted(told["classes"], key=lambda one: one["mended"] - one["broken"])
    ]
    figures = [(name, split["per_class"][name]) for name in told["added"]]
    new = [{"name": name, "examples": one["support"], "after": one["recall"]} for name, one in figures]
    return {**told, "rows": rows, "new": new}


def _cell(right: bool, count: int, share: float) -> dict[str, Any]:
    shade = 0.12 + 0.73 * (share if right else math.sqrt(share)) if count else 0.0  # a few errors must be seen
    depth = " deep deepest" if shade > _DEEPEST else " deep" if shade > _DEEP else ""
    return {"right": right, "count": count, "share": share, "shade": round(shade, 2), "depth": depth}


def _per_class(classes: Sequence[str], counts: np.ndarray | None, split: Mapping[str, Any]) -> dict[str, Any] | None:
    """Figures of each class, the worst first; classes without examples last."""
    figures = split.get("per_class")
    if not figures:
        return None
    taken_for: dict[str, str] = {}
    if counts is not None and len(counts) == len(classes):
        wrong = counts - np.diag(np.diag(counts))
        taken_for = {classes[i]: classes[int(wrong[i].argmax())] for i in range(len(classes)) if wrong[i].any()}
    rows = [{"name": name, "taken_for": taken_for.get(name), **one} for name, one in figures.items()]
    rows.sort(key=lambda row: math.inf if row["f1"]["value"] is None else row["f1"]["value"])
    lows = [row["f1"]["low"] for row in rows if row["f1"].get("low") is not None]
    floor = math.floor(min(lows, default=0.0) * 10 - 1e-9) / 10
    return {"rows": rows, "floor": min(max(floor, 0.0), 0.9)}


def _mistakes(folder: Path, facts: Mapping[str, Any], root: Path, answers: Sequence[Row]) -> dict[str, Any] | None:
    """The errors that the model was surest of, with their pictures or texts."""
    if not answers:
        return None
    wrong = [_told(row) for row in answers if row["predicted"] != row["label"]]
    wrong.sort(key=lambda row: -row["sureness"])
    words, heat = (_json(folder / name) for name in (WORDS, HEAT))
    shown = [
        {
            **row,
            "picture": None if "text" in row else picture(root, row["file"], heat, facts.get("base")),
            "text": beginning(row["text"]) if "text" in row else None,
            "words": marked(words.get(row["file"])),
        }
        for row in wrong[: TEXTS_SHOWN if "text" in answers[0] else IMAGES_SHOWN]
    ]
    with_heat = any(one["picture"] and "heat" in one["picture"] for one in shown)
    return {"shown": shown, "with_heat": with_heat, "total": len(wrong), "examples": len(answers)}


def _suspects(folder: Path, root: Path, facts: Mapping[str, Any], most: int) -> dict[str, Any] | None:
    """Examples whose label looks wrong, the surest first, with their pictures or texts."""
    told = facts.get("label_errors")
    if not told:
        return None
    rows = list(_rows(folder / "suspects.csv"))
    shown = [
        {
            **row,
            **(_doubted(row["label"], row["suggested"]) if "thresholds" in facts else {}),
            "picture": None if "text" in row else picture(root, row["file"]),
            "text": beginning(row["text"]) if "text" in row else None,
            "probability": _float(row["probability"]),
            "label_probability": _float(row["label_probability"]),
        }
        for row in rows[:most]
    ]
    return {**told, "shown": shown}


def _told(row: Row) -> dict[str, Any]:
    """A mistake: what was said, what is true, and how sure the model was; of several labels, of the worst one."""
    worst = row.get("worst")
    if not worst:
        probability = _float(row["probability"])
        told = {"probability": probability, "label_probability": _float(row["label_probability"])}
        return {**row, **told, "sureness": probability or 0}
    probability, given = _float(row[f"p_{worst}"]) or 0, worst in row["predicted"].split(SEPARATOR)
    return {
        **row,
        "predicted": _in_words(row["predicted"]),
        "label": _in_words(row["label"]),
        "probability": probability,
        "given": given,
        "sureness": probability if given else 1 - probability,
    }


def _doubted(label: str, suggested: str) -> dict[str, Any]:
    """Of several labels of an example that it ``has``, and of those that it rather has: which are ``doubted``."""
    has, rather = ({*cell.split(SEPARATOR)} - {""} for cell in (label, suggested))
    return {"label": _in_words(label), "suggested": _in_words(suggested), "has": has, "doubted": sorted(has ^ rather)}


def _in_words(cell: str) -> str:
    """What stands in a table for the labels of an example, as people are told it."""
    return ", ".join(cell.split(SEPARATOR)) if cell else NO_LABEL


def picture(
    root: Path, file: str, heat: Mapping[str, Any] | None = None, base: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """A picture and, where that is known, what spoke for the answer in it, as addresses for a page.

    Args:
        root: folder that the names of files start from.
        file: the picture.
        heat: content of :data:`HEAT`.
        base: what ``run.json`` says of the base.

    Returns:
        None if the file is no longer there or cannot be read.
    """
    small = thumbnail(example_in(root, file), _THUMBNAIL_PX)
    if small is None:
        return None
    drawn = {"address": address(small.pixels), "tiny": max(small.pixels.shape) < _THUMBNAIL_PX // 3}
    evidence = heat.get("evidence", {}).get(file) if heat else None
    if heat and base and evidence:
        seen = Decoder(tuple(base["input_size"]), base["resize"]).seen(small.size)
        heat_map = HeatMap(np.array(evidence), seen, small.size, tuple(heat["cells"]))
        drawn["heat"] = address(heat_map.over(small.pixels))
    return drawn


def marked(weights: Sequence[tuple[str, float]] | None) -> list[tuple[str, str, str]] | None:
    """Words, each with the class of its mark, and the spaces behind it.

    ``for2`` spoke for what the model said, ``against2`` against it.
    """
    if weights is None:
        return None
    largest = max([_LEAST_WEIGHT, *(abs(weight) for _, weight in weights)])
    steps = [sum(abs(weight) >= step * largest for step in _STEPS) for _, weight in weights]
    marks = [
        ("for" if weight > 0 else "against") + str(n) if n else ""
        for (_, weight), n in zip(weights, steps, strict=True)
    ]
    words = [word.rstrip() for word, _ in weights]
    gaps = [whole[len(word) :] for word, (whole, _) in zip(words, weights, strict=True)]
    return list(zip(words, marks, gaps, strict=True))


def beginning(text: str) -> str:
    """As much of a text as is shown."""
    return text if len(text) <= _TEXT_CHARACTERS else text[:_TEXT_CHARACTERS].rsplit(" ", 1)[0] + " …"


def _sureness(split: Mapping[str, Any], answers: Sequence[Row], rejection: Mapping[str, Any]) -> dict[str, Any] | None:
    """How far its confidence can be trusted, and what it gains to trust it only above a threshold."""
    bins = [one for one in split.get("reliability") or [] if one["count"]]
    if not bins:
        return None
    total = sum(one["count"] for one in bins)
    excess = sum(one["count"] * (one["confidence"] - one["accuracy"]) for one in bins) / total
    confidence = np.array([_float(row["probability"]) or 0.0 for row in answers])
    right = np.array([row["predicted"] == row["label"] for row in answers], bool)
    own = rejection.get("threshold") or None
    rows = []
    for threshold in sorted({*_THRESHOLDS, *([own] if own else [])}) if answers else ():
        kept = confidence >= threshold
        n, hits = int(kept.sum()), int((kept & right).sum())
        told = {"threshold": threshold, "kept": n, "share": n / len(answers), "accuracy": hits / n if n else None}
        rows.append({**told, "own": threshold == own})
    return {
        "plot": plots.reliability(bins),
        "excess": excess,
        "thresholds": rows,
        "rejection": rejection,
    }


def _calibration(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What temperature scaling did to the examples that decided and to those that did not."""
    return [
        {"name": name, "decides": key == "on_chosen", **told[key]}
        for key, name in (("on_chosen", told.get("chosen_on")), ("on_test", "test"))
        if told.get(key)
    ]


def _curves(history: Sequence[Row]) -> dict[str, Any] | None:
    rows = _numbers(history)
    tried: list[dict[str, Any]] = [
        row for row in rows if row["phase"] == "cross-validation" and row["l2"] and row["val_loss"] is not None
    ]
    content: dict[str, Any] = {}
    if tried:
        best = min(tried, key=lambda row: row["val_loss"])
        content["l2"] = {"plot": plots.l2_curve(tried, best["l2"]), "best": best, "tried": len(tried)}
    epochs = _epochs([row for row in rows if row["phase"] == "head"])
    if epochs:
        content["epochs"] = epochs
    return content or None


def _outlook(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The learning curve, and whether more data would help."""
    if not told:
        return None
    return {
        **told,
        "plot": plots.learning_curve(told["points"], told["beyond"], told["now"]),
        "helps": told["gain"][0] >= NOTICEABLE,
        "collect": next(iter(told["of_class"].items()), None),
    }


def _epochs(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Loss and accuracy by epoch, and the epoch whose weights were kept; epoch 0 is what training started from."""
    trained = [row for row in rows if row["epoch"]]
    if not trained:
        return None
    judged = [row for row in trained if row["val_loss"] is not None]
    kept = min(judged, key=lambda row: row["val_loss"]) if judged else None
    drawn = []
    for name in ("loss", "accuracy"):
        train, val = _points(rows, name), _points(rows, f"val_{name}")
        if train or val:
            drawn.append(plots.epoch_curve(train, val, name, kept["epoch"] if kept else None))
    return {"plots": drawn, "best": kept, "count": len(trained)}


def _fine_tuning(facts: Mapping[str, Any], history: Sequence[Row]) -> dict[str, Any] | None:
    """Head alone against fine-tuned, on the examples that decided and on those that did not."""
    told = facts.get("fine_tuning") or {}
    if not told.get("reason"):
        return None
    epochs = _epochs([row for row in _numbers(history) if row["phase"] == "fine-tuning"])
    return {**told, "rows": _compared(told), "epochs": epochs}


def _compared(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two models on the examples that decided between them and on those that did not."""
    return [
        {"name": name, "decides": key != "on_test", **told[key]}
        for key, name in (("on_folds", "cross-validation"), ("on_val", "validation"), ("on_test", "test"))
        if told.get(key)
    ]


def _search(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The heads that were tried, and what mattered."""
    told = facts.get("search")
    if not told:
        return None
    from headstart.training.head.search import SETTINGS  # here, as it takes a while and few pages need it

    tried = told["tried"]
    return {
        **told,
        "rows": _compared(told),
        "plot": plots.trials([(one["trial"], one["log_loss"]) for one in tried], told["start"]["log_loss"]),
        "mattered": [
            (kind, [(SETTINGS[name], share) for name, share in shares.items()])
            for kind, shares in told["mattered"].items()
        ],
        "groups": [
            (SETTINGS[name].capitalize(), _best_of_each(tried, name))
            for name in ("features", "layers")
            if len({one[name] for one in tried}) > 1
        ],
    }


def _best_of_each(tried: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """The trials by one of their settings, the best first."""
    losses: dict[Any, list[float]] = {}
    for one in tried:
        losses.setdefault(one[name], []).append(one["log_loss"])
    rows = [{"name": str(value), "trials": len(found), "best": min(found)} for value, found in losses.items()]
    return sorted(rows, key=lambda row: row["best"])


def _numbers(history: Sequence[Row]) -> list[dict[str, Any]]:
    return [{key: _float(text) if key != "phase" else text for key, text in row.items()} for row in history]


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[name]) for row in rows if row.get(name) is not None]


def _data(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    splits = facts.get("data", {}).get("splits")
    if not splits:
        return None
    names = sorted(splits, key=lambda name: ["train", "val", "test", name].index(name))
    classes = facts.get("classes") or list(splits[names[0]].get("per_class", {}))
    rows = [
        {"name": one, "counts": [int(splits[name].get("per_class", {}).get(one, 0)) for name in names]}
        for one in classes
    ]
    if len(rows) > _LONG_TABLE:
        rows.sort(key=lambda row: -sum(row["counts"]))
    return {
        "names": [_SPLIT_NAMES.get(name, name) for name in names],
        "totals": [int(splits[name]["examples"]) for name in names],
        "rows": rows,
        "largest": max((sum(row["counts"]) for row in rows), default=0) or 1,
    }


def _skipped(rows: list[Row]) -> dict[str, Any] | None:
    return {"shown": rows[:_SKIPPED], "more": max(0, len(rows) - _SKIPPED), "total": len(rows)} if rows else None


def _recipe(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings that had an effect, as text."""
    recipe = facts.get("recipe") or {}
    no_effect = {"kind", "units"} | ({"dense", "dropout", "epochs"} if recipe.get("head") == "linear" else set())
    settings = [(name.replace("_", " "), value) for name, value in recipe.items() if name not in no_effect]
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in settings
        if value not in (None, [], "")
    ]


def _cost(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    cost = facts.get("cost") or {}
    if not cost.get("wall_s"):
        return None
    stages = [dict(stage) for stage in cost.get("stages") or []]
    rest = cost["wall_s"] - sum(stage["seconds"] for stage in stages)
    if rest > max(0.05, 0.005 * cost["wall_s"]):
        stages.append({"stage": "writing the run", "seconds": rest})
    total = sum(stage["seconds"] for stage in stages) or 1.0
    return {**cost, "stages": [{**stage, "share": stage["seconds"] / total} for stage in stages]}


def _use(folder: Path, facts: Mapping[str, Any]) -> dict[str, str]:
    """The run's path as commands and as Python need it: from where the user is, if it lies below."""
    run = Path(facts.get("evaluation_of") or folder.parent / (facts.get("name") or folder.name))
    try:
        run = run.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        run = run.absolute()
    data = (facts.get("data") or {}).get("path") or "DATA"
    return {
        "shell": shlex.quote(str(run)),
        "data": shlex.quote(str(run / EXAMPLES) if data == EXAMPLES else data),
        "python": json.dumps(str(run), ensure_ascii=False),
        "model": json.dumps(str(run / "model.keras"), ensure_ascii=False),
        **(_TEXT_EXAMPLES if facts.get("base", {}).get("modality") == "text" else _IMAGE_EXAMPLES),
    }
