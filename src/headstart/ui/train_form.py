"""The settings of :func:`headstart.train` in the form of a training."""

from typing import Any

from starlette.datastructures import QueryParams

from headstart.bases.candidates import candidates
from headstart.config import AUTO, BASES_ALL, TrainConfig, parse_settings
from headstart.data.dataset import Dataset
from headstart.errors import InputError
from headstart.training import check_search_installed

FORM = ("base", "fine_tune", "input_size", "min_precision", "dense", "search")
"""Settings with a field in the form, apart from the classes, which have checkboxes."""


def train_settings(fields: QueryParams, dataset: Dataset) -> dict[str, Any]:
    """The settings that are filled in.

    Raises:
        InputError: an unknown base or class, or an invalid value.
        UnavailableError: a search needs a package that is missing.
    """
    values = parse_settings({name: fields.get(name, "").strip() or None for name in FORM})
    values.setdefault("fine_tune", "none")
    allowed_bases = {AUTO, *(candidate.handle for candidate in candidates(BASES_ALL, dataset.modality))}
    if values.get("base", AUTO) not in allowed_bases:
        raise InputError(f"{values['base']!r} is not one of the bases on this page.", field="base")
    classes = _ticked_classes(fields, dataset)
    if classes is not None:
        values["classes"] = classes
    if TrainConfig.from_settings(values).search.search is not None:
        check_search_installed()
    return values


def _ticked_classes(fields: QueryParams, dataset: Dataset) -> list[str] | None:
    """The ticked classes; None if the form has no checkboxes, or all are ticked."""
    ticked = set(fields.getlist("class"))
    if not fields.get("classes") or ticked.issuperset(dataset.classes):
        return None
    if len(ticked) < 2:
        raise InputError("a classifier needs at least two classes: tick more.", field="classes")
    unknown = ticked.difference(dataset.classes)
    if unknown:
        raise InputError(f"unknown class {min(unknown)!r}.", field="classes")
    return [name for name in dataset.classes if name in ticked]
