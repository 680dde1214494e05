"""The settings of :func:`headstart.train` in the form of a training."""

from typing import Any

from starlette.datastructures import QueryParams

from headstart.bases.candidates import candidates
from headstart.config import AUTO, BASES_ALL, TrainConfig, all_settings, parse_settings
from headstart.data.dataset import Dataset
from headstart.errors import InputError, counted
from headstart.training import check_search_installed

FORM = ("base", "fine_tune", "input_size", "min_precision", "dense", "search")
"""Settings with a field in the form, apart from the classes, which have checkboxes."""

DETECTOR_FORM = (
    "base", "input_size", "detector_epochs", "detector_views", "no_mirror", "check_train_labels", "learning_curve",
    "time_limit",
)  # fmt: skip
"""The same of a detector."""


def train_settings(fields: QueryParams, dataset: Dataset) -> dict[str, Any]:
    """The settings that are filled in.

    Raises:
        InputError: an unknown base or class, or an invalid value.
        UnavailableError: a search needs a package that is missing.
    """
    is_detector = dataset.task.trains_on == "maps"
    form = DETECTOR_FORM if is_detector else FORM
    values = parse_settings({name: _value(name, fields.get(name, "").strip()) for name in form})
    if not is_detector:
        values.setdefault("fine_tune", "none")
    allowed_bases = {AUTO, *(candidate.handle for candidate in candidates(BASES_ALL, dataset.modality))}
    if "base" in values and values["base"] not in allowed_bases:
        raise InputError(f"{values['base']!r} is not one of the bases on this page.", field="base")
    classes = _ticked_classes(fields, dataset)
    if classes is not None:
        values["classes"] = classes
    if TrainConfig.from_settings(values).search.search is not None:
        check_search_installed()
    return values


def _value(name: str, text: str) -> Any:
    """The value of a field; None if it is empty. Any text switches a setting on that is on or off."""
    return None if not text else True if all_settings()[name].default is False else text


def _ticked_classes(fields: QueryParams, dataset: Dataset) -> list[str] | None:
    """The ticked classes; None if the form has no checkboxes, or all are ticked."""
    ticked = set(fields.getlist("class"))
    if not fields.get("classes") or ticked.issuperset(dataset.classes):
        return None
    if len(ticked) < dataset.task.min_classes:
        raise InputError(f"at least {counted(dataset.task.min_classes, 'class')} needed: tick more.", field="classes")
    unknown = ticked.difference(dataset.classes)
    if unknown:
        raise InputError(f"unknown class {min(unknown)!r}.", field="classes")
    return [name for name in dataset.classes if name in ticked]
