"""How good a run is, in a few lines for the terminal."""

from typing import TYPE_CHECKING

from headstart.errors import counted
from headstart.tasks import get_task

if TYPE_CHECKING:
    from headstart.runs.run import RunFolder
    from headstart.runs.schema import SplitFigures

_OUTCOMES = {
    "kept": "fine-tuned model kept",
    "not better": "fine-tuned model not kept, the head alone was",
    "not tried": "fine-tuning not tried",
}
_CLASSES_NAMED = 10
_SPLITS = {"val": "validation", "train": "training"}


def summary(run: "RunFolder") -> str:
    """The figures of a run or an evaluation, with their intervals and caveats."""
    headline, figures = run.figures.headline, run.figures.headline_figures
    if headline is None or figures is None:
        return f"{run.folder} is an imported model without metrics"
    split = _SPLITS.get(headline, headline)
    examples = counted(figures.examples, run.facts.modality.noun)
    task = get_task(run.facts.task)
    lines = [f"{split} {task.describe(figures.of_task(), len(run.classes), examples)}"]
    lines += task.remarks(run.classes, run.facts.thresholds)
    lines += _few_trained(run)
    lines += _selective_prediction(run)
    lines += _leak_free(run)
    lines += _search(run)
    tuning = run.facts.fine_tuning
    if tuning and tuning.reason:
        lines.append(f"{_OUTCOMES[tuning.outcome]}: {tuning.reason}")
    if headline == "train":
        lines.append("no examples were held out: this is the accuracy on the training examples, not on new ones")
    lines += _out_of_distribution(run, figures)
    lines += _learning_curve(run)
    lines += _label_issues(run)
    return "\n".join(lines)


def _few_trained(run: "RunFolder") -> list[str]:
    """The classes that were not learned."""
    few_trained = run.facts.data.few_trained if run.facts.data else {}
    if not few_trained:
        return []
    noun = run.facts.modality.noun
    names = [f"{name} ({n or 'no'} training {noun})" for name, n in few_trained.items()]
    more = f" and {len(names) - _CLASSES_NAMED:,} more" if len(names) > _CLASSES_NAMED else ""
    return [f"not learned, or hardly: {', '.join(names[:_CLASSES_NAMED])}{more}"]


def _selective_prediction(run: "RunFolder") -> list[str]:
    """Coverage and precision at the chosen confidence."""
    selective = run.facts.selective_prediction
    if selective is None:
        return []
    if selective.threshold is None:
        return [selective.reason]
    coverage = selective.on_held_out or selective.on_test or selective.on_chosen
    if not selective.threshold or not coverage or not coverage.answered:
        return []
    return [
        f"at confidence ≥ {selective.threshold:.1%}: coverage {coverage.coverage:.1%}, precision "
        f"{coverage.precision:.1%} (95 % interval {coverage.low:.1%} to {coverage.high:.1%}); required: "
        f"{selective.min_precision:.1%} (--min-precision {selective.min_precision:g})"
    ]


def _learning_curve(run: "RunFolder") -> list[str]:
    """What more images would give, where the learning curve was set."""
    curve = run.facts.learning_curve
    if curve is None or not (run.facts.config or {}).get("learning_curve"):
        return []
    value, low, high = curve.gain
    metric, more = get_task(run.facts.task).deciding.in_text, f"{curve.more_per_class:,} {run.facts.modality.plural}"
    return [f"another {more} to train on should give about {value:+.3f} {metric} ({low:+.3f} to {high:+.3f})"]


def _label_issues(run: "RunFolder") -> list[str]:
    issues = run.facts.label_issues
    if issues is None or not issues.count:
        return []
    counts = get_task(run.facts.task).wording.label_issues(issues.count, issues.examined, "example")
    return [f"{counts} look wrong: see {run.folder / 'suspects.csv'}; correct them and run again with --relabel"]


def _leak_free(run: "RunFolder") -> list[str]:
    """The metrics without examples that are duplicates or near-duplicates of training examples."""
    leak_free = run.figures.leak_free
    if leak_free is None:
        return []
    removed = f"{counted(leak_free.removed, 'example')} that duplicate training examples, exactly or nearly"
    if leak_free.metrics is None:
        return [f"without {removed}, no examples remain"]
    figures, task = leak_free.metrics.of_task(), get_task(run.facts.task)
    return [f"without {removed}: {task.describe(figures, len(run.classes), f'{leak_free.examples:,}')}"]


def _search(run: "RunFolder") -> list[str]:
    """The best head of the search, and the importance of the settings."""
    search = run.facts.search
    if search is None:
        return []
    best, importance = search.best, search.importance.get("all heads")
    lines = [
        f"{counted(search.trials, 'head')} tried in {search.seconds:.1f} s; the best: {best.description}; "
        f"cross-validated log loss {search.start_log_loss:.3f} for the default head, {best.log_loss:.3f} for this one "
        "(optimistic: chosen on the same data)",
        f"{'head of the search kept' if search.outcome == 'kept' else 'default head kept'}: {search.reason}",
    ]
    if importance:
        from headstart.training.head.search import SETTINGS

        shares = ", ".join(f"{SETTINGS.get(name, name)} {share:.0%}" for name, share in importance.items())
        lines.append(f"importance in the search: {shares}")
    return lines


def _out_of_distribution(run: "RunFolder", figures: "SplitFigures") -> list[str]:
    detector = run.facts.out_of_distribution
    if run.facts.kind != "evaluation" or detector is None or not detector.count:
        return []
    return [
        f"{detector.count:,} of them ({detector.count / figures.examples:.1%}) are out-of-distribution: unlike the "
        "training examples; 1 % is normal"
    ]
