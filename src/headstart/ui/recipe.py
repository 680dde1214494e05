"""How to train: what a form says, as settings for :func:`headstart.train`."""

from typing import Any

from starlette.datastructures import QueryParams

from headstart.bases.candidates import candidates
from headstart.config import AUTO, BASES_ALL, TrainConfig, parse_settings
from headstart.data.dataset import Dataset
from headstart.errors import InputError
from headstart.training import check_search_installed

FORM = ("base", "fine_tune", "input_size", "min_precision", "dense", "search")
"""Settings that have a field in the form, beside the classes, which are ticked."""


def recipe(fields: QueryParams, dataset: Dataset) -> dict[str, Any]:
    """The settings of a form that are filled in.

    Raises:
        InputError: a base or a class that is not offered, or a value that cannot be used.
        UnavailableError: a search needs a package that is missing.
    """
    values = parse_settings({name: fields.get(name, "").strip() or None for name in FORM})
    values.setdefault("fine_tune", "none")
    offered = {AUTO, *(candidate.handle for candidate in candidates(BASES_ALL, dataset.modality))}
    if values.get("base", AUTO) not in offered:
        raise InputError(f"{values['base']!r} is not one of the bases that can be chosen here.", field="base")
    classes = _ticked_classes(fields, dataset)
    if classes is not None:
        values["classes"] = classes
    if TrainConfig.from_settings(values).search.search is not None:
        check_search_installed()
    return values


def _ticked_classes(fields: QueryParams, dataset: Dataset) -> list[str] | None:
    """The classes that are ticked; None if the form does not ask, or all are."""
    ticked = set(fields.getlist("class"))
    if not fields.get("classes") or ticked.issuperset(dataset.classes):
        return None
    if len(ticked) < 2:
        raise InputError("a classifier needs at least two: tick more.", field="classes")
    unknown = ticked.difference(dataset.classes)
    if unknown:
        raise InputError(f"there is no class {min(unknown)!r}.", field="classes")
    return [name for name in dataset.classes if name in ticked]
