"""How a run was trained, as its report shows it: curves, the search, fine-tuning, what more data would bring."""

from collections.abc import Sequence
from typing import Any

from headstart.evaluation.learning_curve import NOTICEABLE
from headstart.reports import plots
from headstart.runs.schema import LearningCurveFacts, RunFacts, Trial, VerdictFacts
from headstart.runs.tables import HistoryRow
from headstart.tasks import Task, get_task


def curves(history: Sequence[HistoryRow]) -> dict[str, Any] | None:
    """The trials of l2 of a solved head, the epochs of an mlp, and those of a detector."""
    tried: list[dict[str, Any]] = [
        {"l2": row.l2, "val_loss": row.val_loss, "val_accuracy": row.val_accuracy}
        for row in history
        if row.phase == "cross-validation" and row.l2 and row.val_loss is not None
    ]
    content: dict[str, Any] = {}
    if tried:
        best = min(tried, key=lambda row: row["val_loss"])
        content["l2"] = {"plot": plots.l2_curve(tried, best["l2"]), "best": best, "tried": len(tried)}
    epochs = _epochs([row for row in history if row.phase == "head"])
    if epochs:
        content["epochs"] = epochs
    detector = _detector_epochs([row for row in history if row.phase == "detector"])
    if detector:
        content["detector"] = detector
    return content or None


def learning_curve(facts: LearningCurveFacts | None, task: Task) -> dict[str, Any] | None:
    """The learning curve, and whether more data would help."""
    if facts is None:
        return None
    return {
        **facts.to_json(),
        "plot": plots.learning_curve(facts.points, facts.extrapolated, facts.n_train, task.deciding.in_text),
        "gain_text": _gain(facts.gain, task),
        "helps": facts.gain[0] >= NOTICEABLE,
        "collect": next(iter(facts.class_gains.items()), None),
    }


def _gain(gain: tuple[float, float, float], task: Task) -> tuple[str, str]:
    """A gain in the metric that decides, and its interval."""
    if not task.deciding.is_share:
        value, low, high = (f"{number:+.3f}" for number in gain)
        return f"{value} {task.deciding.in_text}", f"{low} to {high}"
    value, low, high = (f"{100 * number:+.1f}" for number in gain)
    return f"{value} points of {task.deciding.in_text}", f"{low} to {high}"


def fine_tuning(facts: RunFacts, history: Sequence[HistoryRow]) -> dict[str, Any] | None:
    """Head alone against fine-tuned, on the examples that decide and on those that do not."""
    tuning = facts.fine_tuning
    if tuning is None or not tuning.reason:
        return None
    return {
        "outcome": tuning.outcome,
        "reason": tuning.reason,
        "on_folds": tuning.on_folds,
        "process": tuning.process,
        "rows": _compared(tuning, get_task(facts.task)),
        "epochs": _epochs([row for row in history if row.phase == "fine-tuning"]),
    }


def search(facts: RunFacts) -> dict[str, Any] | None:
    """The heads that were tried, and which settings mattered."""
    search_facts = facts.search
    if search_facts is None:
        return None
    from headstart.training.head.search import SETTINGS  # here, as it takes a while and few pages need it

    losses = [(trial.trial, trial.log_loss) for trial in search_facts.tried]
    return {
        "facts": search_facts,
        "rows": _compared(search_facts, get_task(facts.task)),
        "plot": plots.trials(losses, search_facts.start_log_loss),
        "importance": [
            (kind, [(SETTINGS.get(name, name), share) for name, share in shares.items()])
            for kind, shares in search_facts.importance.items()
        ],
        "groups": [
            (SETTINGS[name].capitalize(), _best_of_each(search_facts.tried, name))
            for name in ("features", "layers")
            if len({str(trial.settings.get(name)) for trial in search_facts.tried}) > 1
        ],
    }


def _epochs(rows: Sequence[HistoryRow]) -> dict[str, Any] | None:
    """Loss and accuracy by epoch, and the epoch whose weights were kept; epoch 0 is what training started from."""
    trained = [row for row in rows if row.epoch]
    if not trained:
        return None
    best = min((row for row in trained if row.val_loss is not None), key=_val_loss, default=None)
    curves = []
    for name in ("loss", "accuracy"):
        train, val = _points(rows, name), _points(rows, f"val_{name}")
        if train or val:
            curves.append(plots.epoch_curve(train, val, name, best.epoch if best else None))
    return {"plots": curves, "best": best, "count": len(trained)}


def _detector_epochs(rows: Sequence[HistoryRow]) -> dict[str, Any] | None:
    """Loss and validation mAP by epoch of a detector."""
    losses, figures = _points(rows, "loss"), _points(rows, "val_map")
    plotted = [(losses, [], "loss"), ([], figures, "mAP50-95")]
    curves = [plots.epoch_curve(train, val, name, None) for train, val, name in plotted if train or val]
    best = max(figures, key=lambda point: point[1], default=None)
    return (
        {"plots": curves, "count": len(rows), "best": best, "last": figures[-1] if figures else None}
        if curves
        else None
    )


def _val_loss(row: HistoryRow) -> float:
    return row.val_loss or 0.0


def _points(rows: Sequence[HistoryRow], name: str) -> list[tuple[float, float]]:
    points = [(row.epoch, getattr(row, name)) for row in rows]
    return [(epoch, value) for epoch, value in points if epoch is not None and value is not None]


def _compared(verdict: VerdictFacts, task: Task) -> list[dict[str, Any]]:
    """Two models on the examples that decide between them and on those that do not."""
    on_splits = (
        ("cross-validation", True, verdict.on_folds),
        ("validation", True, verdict.on_val),
        ("test", False, verdict.on_test),
    )
    rows = []
    for name, decides, comparison in on_splits:
        if comparison is not None:
            metric = task.metric(comparison.metric)
            about = {"title": metric.title, "is_share": metric.is_share}
            rows.append({"name": name, "decides": decides, **about, **comparison.to_json()})
    return rows


def _best_of_each(trials: Sequence[Trial], name: str) -> list[dict[str, Any]]:
    """The trials by one of their settings, the best first."""
    losses: dict[str, list[float]] = {}
    for trial in trials:
        losses.setdefault(str(trial.settings.get(name)), []).append(trial.log_loss)
    rows = [{"name": value, "trials": len(values), "best": min(values)} for value, values in losses.items()]
    return sorted(rows, key=lambda row: row["best"])
