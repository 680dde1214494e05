"""Stage 7 of 7, report: takes a run folder, writes the one page in it that a person reads.

The text is in ``templates/report.html.j2``, the style in ``templates/report.css``, the plots are in ``plots.py``; this
module, ``evaluation.py``, ``regions.py`` and ``training.py`` compute their content. The page is one self-contained
file: it fetches nothing, names of classes and files are escaped, and its Content-Security-Policy forbids everything
else. It runs no script, but for the slider of a detector, which the policy allows by its digest.

An evaluation of a run is a folder with fewer facts, so every section may be missing.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.example_rows import Skipped
from headstart.data.run_examples import EXAMPLES
from headstart.reports import evaluation, plots, training
from headstart.reports.evaluation import SPLIT_NAMES
from headstart.reports.page import box_script, open_template
from headstart.reports.regions import box_examples, marked_rows, worst_by_kind
from headstart.runs.files import read_facts, read_figures
from headstart.runs.schema import CostFacts, DataFacts, Figures, HeadSettings, RunFacts
from headstart.runs.tables import read_history, read_predictions, read_skipped
from headstart.tasks import get_task

_LONG_TABLE = 30  # rows of a table of classes that are shown at once
_SKIPPED = 50
_SHOWN_S = 0.005  # a stage that took less did nothing, such as fine-tuning that was not tried


def write_report(folder: Path) -> Path:
    """Write ``report.html`` of a run or of an evaluation, replacing an existing one.

    Args:
        folder: with ``run.json`` and ``metrics.json``, and the tables beside them.

    Returns:
        The page.

    Raises:
        InputError: the folder is not a run.
        IntegrityError: one of its files is missing, damaged or edited.
    """
    page = open_template("report.html.j2").render(content(folder), box_script=box_script())
    path = folder / "report.html"
    path.write_bytes(page.encode("utf-8", errors="replace"))  # a file name may hold bytes that are no text
    return path


def content(folder: Path, issues_shown: int = 16) -> dict[str, Any]:
    """What the template of a report is given.

    Args:
        folder: as for :func:`write_report`, which names the errors, too.
        issues_shown: of the label issues.
    """
    facts = read_facts(folder)
    figures = read_figures(folder, facts)
    headline, split, classes = figures.headline or "", figures.headline_figures, facts.classes
    rows = read_predictions(folder, facts, splits=(headline,))
    history = read_history(folder, facts)
    counts = np.array(split.confusion_matrix, np.int64) if split and split.confusion_matrix else None
    noun, task = facts.modality.noun, get_task(facts.task)
    regions_by_row = marked_rows(rows, facts, task)
    metrics = [task.metric(name) for name in figures.metrics]
    return {
        "facts": facts,
        "noun": noun,
        "task": task,
        "words": task.wording,
        "metrics": [(metric.name, metric.title, metric.meaning.format(noun=noun)) for metric in metrics],
        "lead": metrics[0] if metrics else None,
        "deciding": task.deciding,
        "interval": figures.interval,
        "headline": headline,
        "split": split,
        "split_name": SPLIT_NAMES.get(headline, headline),
        "evaluated": Path(facts.evaluation_of).name if facts.evaluation_of else None,
        "result": evaluation.result(classes, counts, rows),
        "found": evaluation.found_objects(split, task),
        "columns": evaluation.columns(figures),
        "leak_free": figures.leak_free,
        "change": evaluation.change(facts.change, split),
        "confusion": evaluation.confusion(classes, split, task),
        "per_class": evaluation.per_class(facts, counts, split, task),
        "sections": [
            (section, [plots.curve(*curve) for curve in section.curves])
            for section in (task.report_sections(split.of_task(), classes) if split else ())
        ],
        "box_examples": box_examples(regions_by_row, facts),
        "worst_by_kind": worst_by_kind(regions_by_row, facts),
        "mistakes": evaluation.mistakes(folder, facts, rows, task),
        "label_issues": evaluation.label_issues(folder, facts, issues_shown),
        "confidence": evaluation.confidence(split, rows, facts.selective_prediction),
        "calibration": evaluation.calibration(facts.calibration),
        "curves": training.curves(history),
        "learning_curve": training.learning_curve(facts.learning_curve, task),
        "search": training.search(facts),
        "tuning": training.fine_tuning(facts, history),
        "data": _data(facts.data, classes),
        "objects": _objects(figures, classes) if task.has_boxes else None,
        "skipped": _skipped(read_skipped(folder, facts)),
        "head_settings": _head_settings(facts.head_settings),
        "cost": _cost(facts.cost),
        "use": _use(folder, facts),
        "long_table": _LONG_TABLE,
    }


def _data(data: DataFacts | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """How many examples of each class each split has."""
    if data is None:
        return None
    names = _in_order(data.splits)
    counts = {name: [data.splits[split].per_class.get(name, 0) for split in names] for name in classes}
    return {"totals": [data.splits[name].examples for name in names], **_counts_table(names, counts, classes)}


def _objects(figures: Figures, classes: Sequence[str]) -> dict[str, Any] | None:
    """How many objects of each class each split has."""
    names = _in_order(figures.splits)
    counts = {name: [figures.splits[split].per_class[name].support for split in names] for name in classes}
    return _counts_table(names, counts, classes) if names else None


def _in_order(splits: Iterable[str]) -> list[str]:
    return sorted(splits, key=lambda name: ["train", "val", "test", name].index(name))


def _counts_table(names: Sequence[str], counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> dict[str, Any]:
    order = sorted(classes, key=lambda name: -sum(counts[name])) if len(classes) > _LONG_TABLE else classes
    return {
        "names": [SPLIT_NAMES.get(name, name) for name in names],
        "rows": [{"name": name, "counts": counts[name]} for name in order],
        "largest": max(map(sum, counts.values()), default=0) or 1,
    }


def _skipped(rows: list[Skipped]) -> dict[str, Any] | None:
    return {"shown": rows[:_SKIPPED], "more": max(0, len(rows) - _SKIPPED), "total": len(rows)} if rows else None


def _head_settings(settings: HeadSettings | None) -> list[tuple[str, str]]:
    """The settings that had an effect, as text."""
    if settings is None:
        return []
    plain = settings.to_json()
    for name in ("dense", "dropout", "epochs") if settings.head == "linear" else ():
        del plain[name]
    return [
        (name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in plain.items()
        if value not in (None, [], "")
    ]


def _cost(cost: CostFacts | None) -> dict[str, Any] | None:
    if cost is None or not cost.wall_s:
        return None
    stages: list[dict[str, Any]] = [stage.to_json() for stage in cost.stages if stage.seconds >= _SHOWN_S]
    remaining_s = cost.wall_s - sum(stage["seconds"] for stage in stages)
    if remaining_s > max(0.05, 0.005 * cost.wall_s):
        stages.append({"stage": "writing the run", "seconds": remaining_s})
    total = sum(stage["seconds"] for stage in stages) or 1.0
    return {**cost.to_json(), "stages": [{**stage, "share": stage["seconds"] / total} for stage in stages]}


def _use(folder: Path, facts: RunFacts) -> dict[str, str]:
    """The run's path as commands and as Python need it: from where the user is, if it lies below."""
    run = Path(facts.evaluation_of or folder.parent / facts.name)
    try:
        run = run.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        run = run.absolute()
    data = (facts.data.path if facts.data else None) or "DATA"
    return {
        "shell": shlex.quote(str(run)),
        "data": shlex.quote(str(run / EXAMPLES) if data == EXAMPLES else data),
        "python": json.dumps(str(run), ensure_ascii=False),
        "model": json.dumps(str(run / "model.keras"), ensure_ascii=False),
        "example_shell": facts.modality.shell_input,
        "example": facts.modality.python_input,
        "labelled": facts.modality.labelled_data,
    }
