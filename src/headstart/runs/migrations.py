"""From earlier formats of ``run.json``, ``metrics.json`` and the tables to the present one, in memory only.

A step takes the plain data of one format and returns those of the next. ``format_version`` stays that of the files on
disk, which do not change. Format 1 is what headstart 0.1 wrote before its files had a version.
"""

from collections.abc import Callable, Mapping
from typing import Any

from headstart.config.format_1 import RESIZE, settings_of_format_1
from headstart.runs.records import FieldError, wrong_value

_Plain = dict[str, Any]


def migrate_run(facts: _Plain, version: int) -> _Plain:
    """``run.json`` of an earlier format as it would be in the present one.

    Raises:
        FieldError: it lacks what the new form is made of.
    """
    return _migrate(facts, version, _RUN_STEPS)


def migrate_figures(figures: _Plain, version: int) -> _Plain:
    """``metrics.json``, in the same way."""
    return _migrate(figures, version, _FIGURES_STEPS)


def migrate_header(table: str, header: list[str], version: int) -> list[str]:
    """Names of the columns of a table, in the same way.

    Args:
        table: name of its file.
        header: its first line.
        version: format of the run.
    """
    return [_COLUMNS_OF_1.get((table, name), name) for name in header] if version < 2 else header


def _migrate(plain: _Plain, version: int, steps: Mapping[int, Callable[[_Plain], _Plain]]) -> _Plain:
    for number in range(version, max(steps) + 1):
        plain = steps[number](plain)
    return plain


# --- format 1 to 2 -------------------------------------------------------------------------------------------------

_SPEC_OF_1 = {
    "cut": "feature_layer", "tuned": "tuned_weights", "ends_after": "last_block", "words": "words_folder",
    "words_by": "segmenter",
}  # fmt: skip
DETECTOR_OF_1 = "familiarity.npz"
"""File of the detector of out-of-distribution examples."""

_CHANGES_OF_1 = {"mended": "fixed", "broken": "regressed", "taken_for": "confused_with", "taken": "n_confused"}
_COLUMNS_OF_1 = {("history.csv", "strength"): "l2"}
_OPTIONAL_IN_1 = (
    "thresholds", "data", "choice", "head", "learning_curve", "calibration", "change", "freeze_proof",
)  # fmt: skip
"""Fields whose names stayed; they were left out where they did not apply."""


def _run_2(old: _Plain) -> _Plain:
    fields = _Fields(old, "")
    kind = "evaluation" if "evaluation_of" in old else "adopted" if "adopted" in old else "trained"
    task = "multi-label" if old.get("thresholds") is not None else "single-label"
    new: _Plain = {"format_version": 1, "kind": kind, "task": task}
    new |= {name: fields[name] for name in ("headstart", "created", "name", "classes", "seed", "versions")}
    new |= {name: old.get(name) for name in _OPTIONAL_IN_1}
    new |= {
        "base": _base(fields.below("base")),
        "engine": {"features_by_keras": False, **fields.below("engine").plain},
        "config": settings_of_format_1(fields.below("asked").plain) if "asked" in old else None,
        "audit": old.get("audit", []),
        "head_settings": old.get("recipe"),
        "label_issues": None,
        "search": _search(fields.below("search")) if "search" in old else None,
        "fine_tuning": _fine_tuning(fields.below("fine_tuning")) if "fine_tuning" in old else None,
        "selective_prediction": _selective_prediction(fields),
        "out_of_distribution": _out_of_distribution(fields),
        "golden": {"difference": None, **fields.below("golden").plain} if "golden" in old else None,
        "cost": _cost(fields.below("cost")) if "cost" in old else None,
        "adopted": None,
        "evaluation_of": old.get("evaluation_of"),
        "tta": old.get("tta", False),
    }
    if new["data"] is not None:
        new["data"] = {"path": None, **_data(fields.below("data"))}
        if "asked" in old:
            new["data"]["path"] = fields.below("asked")["data"]
    if new["head"] is not None:
        new["head"] = fields.below("head").renamed(strength="l2")
    if "label_errors" in old:
        new["label_issues"] = fields.below("label_errors").renamed(suspected="count")
    if new["learning_curve"] is not None:
        curve = fields.below("learning_curve")
        new["learning_curve"] = curve.renamed(beyond="extrapolated", now="n_train", of_class="class_gains")
    if new["choice"] is not None:
        new["choice"] = _choice(fields.below("choice"))
    if new["change"] is not None:
        new["change"] = _change(fields.below("change"))
    if kind == "adopted":
        new["adopted"] = fields.below("adopted").renamed(**{"from": "path"})
    return new


class _Fields:
    """An object of an earlier format; what is missing in it or of the wrong kind is named by its path."""

    def __init__(self, plain: Any, place: str) -> None:
        if not isinstance(plain, dict):
            raise wrong_value(place, "an object", plain)
        self.plain, self._place = plain, place

    def __getitem__(self, name: str) -> Any:
        if name not in self.plain:
            raise FieldError(self._path(name), "missing")
        return self.plain[name]

    def below(self, name: str) -> "_Fields":
        """An object in it."""
        return _Fields(self[name], self._path(name))

    def objects_in(self, name: str) -> list["_Fields"]:
        """The objects of a list in it."""
        items = self[name]
        if not isinstance(items, list):
            raise wrong_value(self._path(name), "a list", items)
        return [_Fields(item, f"{self._path(name)}[{i}]") for i, item in enumerate(items)]

    def text(self, name: str) -> str:
        """A text in it."""
        text = self[name]
        if not isinstance(text, str):
            raise wrong_value(self._path(name), "a text", text)
        return text

    def texts(self, name: str) -> list[str]:
        """A list of texts in it."""
        items = self[name]
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise wrong_value(self._path(name), "a list of texts", items)
        return items

    def _path(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def renamed(self, **new_names: str) -> _Plain:
        """A copy with other names for some fields."""
        for name in new_names:
            self[name]
        return {new_names.get(name, str(name)): value for name, value in self.plain.items()}

    def without(self, *names: str) -> _Plain:
        """A copy that lacks some fields."""
        return {name: value for name, value in self.plain.items() if name not in names}


def _base(base: _Fields) -> _Plain:
    missing_values = ("input_size", "preprocessing", "resize", "max_length", "pooling", "tokenizer")
    new = {**dict.fromkeys(missing_values), **base.without("fit"), "spec": base.below("spec").renamed(**_SPEC_OF_1)}
    if base["modality"] == "image":
        new["resize"] = RESIZE.get(base.text("fit"), base.text("fit"))
    elif base.below("tokenizer")["kind"] == "words":
        new["tokenizer"] = {"segmenter": None, **base["tokenizer"]}
    return new


def _data(data: _Fields) -> _Plain:
    corrections = data.below("corrections").renamed(**{"from": "table"}) if "corrections" in data.plain else None
    return {"digest": None, **data.plain, "corrections": corrections}


def _comparison(old: _Fields) -> _Plain:
    is_multi_label = "mean_average_precision" in old.plain
    metric, gain = ("mean_average_precision", "precision_gain") if is_multi_label else ("accuracy", "accuracy_gain")
    counts = {"fixed": "mended", "regressed": "broken", "p_value": "p_value"}
    return {
        "metric": metric,
        "value": old[metric],
        "value_gain": old[gain],
        **{name: old[name] for name in ("examples", "log_loss", "loss_gain")},
        **{name: None if is_multi_label else old[of_1] for name, of_1 in counts.items()},
    }


def _verdict(verdict: _Fields) -> _Plain:
    compared = {
        name: None if verdict[name] is None else _comparison(verdict.below(name))
        for name in ("on_folds", "on_val", "on_test")
    }
    return {"outcome": verdict["outcome"], "reason": verdict["reason"], **compared}


def _fine_tuning(old: _Fields) -> _Plain:
    verdict = _verdict(old)
    process = old.without(*verdict)
    missing_values = (
        "epochs", "best_epoch", "slowed", "stopped", "first_step_s", "examples_per_s", "folds", "steps",
    )  # fmt: skip
    return {**verdict, "process": {**dict.fromkeys(missing_values), **process} if process else None}


def _search(old: _Fields) -> _Plain:
    verdict, best, start = _verdict(old), old.below("best"), old.below("start")
    fixed = ("trial", "log_loss", "pruned")
    return {
        **verdict,
        **{name: old[name] for name in ("trials", "pruned", "new", "seconds", "examples", "folds")},
        "start_log_loss": start["log_loss"],
        "best": {
            "description": best["told"],
            "log_loss": best["log_loss"],
            "settings": best.without("told", "log_loss"),
        },
        "importance": old["mattered"],
        "tried": [
            {**{name: trial[name] for name in fixed}, "settings": trial.without(*fixed)}
            for trial in old.objects_in("tried")
        ],
    }


def _selective_prediction(run: _Fields) -> _Plain | None:
    if run.plain.get("rejection") is None:
        return None
    missing_values = dict.fromkeys(("chosen_on", "on_chosen", "on_test", "on_held_out"))
    return {**missing_values, **run.below("rejection").plain}


def _out_of_distribution(run: _Fields) -> _Plain | None:
    if "familiarity" in run.plain:
        return run.below("familiarity").renamed(unfamiliar_in_test="count")
    count = run.plain.get("unfamiliar")
    return None if count is None else {"references": None, "threshold": None, "count": count}


def _cost(cost: _Fields) -> _Plain:
    return {**dict.fromkeys(("examples_computed", "examples_from_cache", "examples_per_s")), **cost.plain}


def _choice(choice: _Fields) -> _Plain:
    names = (
        "handle", "size_mb", "ms", "feature_dim", "evidence", "examples", "figure", "log_loss", "finished", "on_front",
    )  # fmt: skip
    left_out: dict[str, list[str]] = {}
    for base in choice.objects_in("left_out"):
        left_out.setdefault(base.text("reason"), []).append(base.text("handle"))
    return {
        **{name: choice[name] for name in ("metric", "rounds", "best", "verdict", "caveats")},
        "candidates": [
            {**{name: row[name] for name in names}, "status": "", "difference": ""} for row in choice.objects_in("rows")
        ],
        "left_out": left_out,
    }


def _change(change: _Fields) -> _Plain:
    return {
        **change.renamed(side="split", added="added_classes", taken_for_added="n_confused_with_added"),
        "overall": _comparison(change.below("overall")),
        "classes": [of_class.renamed(**_CHANGES_OF_1) for of_class in change.objects_in("classes")],
    }


def _figures_2(old: _Plain) -> _Plain:
    fields = _Fields(old, "")
    splits, metrics = fields.below("splits"), fields.texts("metrics")
    leak_free = fields.below("leak_free").plain if old.get("leak_free") is not None else None
    if leak_free and leak_free.get("metrics") is not None:
        leak_free = {**leak_free, "metrics": _split(fields.below("leak_free").below("metrics"), metrics)}
    return {
        "format_version": 1,
        "headline": fields["headline"],
        "metrics": metrics,
        "interval": old.get("interval"),
        "splits": {name: _split(splits.below(name), metrics) for name in splits.plain},
        "leak_free": leak_free,
    }


def _split(old: _Fields, metrics: list[str]) -> _Plain:
    classes = old.below("per_class")
    is_multi_label = "answers" in old.plain
    counts = None
    if is_multi_label:
        names = {"given": "predicted", "are": "true", "right": "correct", "all_right": "all_correct"}
        counts = old.below("answers").renamed(**names)
    absent_of_class = dict.fromkeys(() if is_multi_label else ("threshold", "average_precision"))
    return {
        **dict.fromkeys(("confusion_matrix", "reliability") if is_multi_label else ()),
        **old.without(*metrics, "answers"),
        "label_counts": counts,
        "details": {},
        "metrics": {name: old[name] for name in metrics},
        "per_class": {name: {**absent_of_class, **classes.below(name).plain} for name in classes.plain},
    }


# --- format 2 to 3 -------------------------------------------------------------------------------------------------


def _run_3(old: _Plain) -> _Plain:
    """The digest of the golden samples was the only one, and every image was resized in headstart's own way."""
    base = _Fields(old, "").below("base")
    spec = {**base.below("spec").plain, "sample_range": None}
    new = {**old, "base": {**base.plain, "resize_rule": None, "spec": spec}}
    if old.get("golden") is None:
        return {**new, "files": {}}
    golden = _Fields(old["golden"], "golden")
    rest = {name: value for name, value in golden.plain.items() if name != "sha256"}
    return {**new, "golden": rest, "files": {"golden.npz": golden["sha256"]}}


# --- format 3 to 4 -------------------------------------------------------------------------------------------------


def _run_4(old: _Plain) -> _Plain:
    """No detectors, and heads on the base's own features. Format 4 also allows a comparison without log loss."""
    run = _Fields(old, "")
    base = run.below("base")
    new = {**old, "detector": None, "base": {**base.plain, "spec": {**base.below("spec").plain, "maps": None}}}
    if old.get("head") is not None:
        new["head"] = {**run.below("head").plain, "features": None}
    if old.get("head_settings") is not None:
        new["head_settings"] = {**run.below("head_settings").plain, "features": "own"}
    return new


# --- format 4 to 5 -------------------------------------------------------------------------------------------------


def _run_5(old: _Plain) -> _Plain:
    """No counts of tokens beside the features of a head."""
    run, new = _Fields(old, ""), dict(old)
    if old.get("head") is not None:
        new["head"] = {**run.below("head").plain, "counts": None}
    if old.get("head_settings") is not None:
        new["head_settings"] = {**run.below("head_settings").plain, "counts": "none"}
    return new


_RUN_STEPS: dict[int, Callable[[_Plain], _Plain]] = {1: _run_2, 2: _run_3, 3: _run_4, 4: _run_5}
_FIGURES_STEPS: dict[int, Callable[[_Plain], _Plain]] = {1: _figures_2, 2: dict, 3: dict, 4: dict}
