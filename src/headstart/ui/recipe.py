"""How to train: what a form says of it, for :func:`headstart.train`."""

import re
from typing import Any

from starlette.datastructures import QueryParams

from headstart.bases.candidates import ALL, AUTO, candidates
from headstart.data.dataset import Dataset
from headstart.errors import InputError
from headstart.training import HeadConfig, check_search


def recipe(fields: QueryParams, dataset: Dataset) -> dict[str, Any]:
    """How to train, of a form; only what it says differently from the usual.

    Raises:
        InputError: a base or a class that is not offered, what should be a number and is none, or two choices that
            exclude each other.
        UnavailableError: a search needs a package that is missing.
    """
    base = fields.get("base", "")
    if base not in ("", AUTO, *(one.handle for one in candidates(ALL, dataset.modality))):
        raise InputError(f"the base {base!r} is not one of those that can be chosen here.")
    told: dict[str, Any] = {
        "base": base or None,
        "fine_tune": "auto" if fields.get("fine_tune") == "auto" else "none",
        "input_size": _number(fields, "input_size", "the size of the pictures"),
        "dense": _layers(fields.get("dense", "")),
        "search": _number(fields, "search", "the number of heads to try"),
        "classes": _classes(fields, dataset),
    }
    precision = _number(fields, "min_precision", "the share of sure answers that are right")
    if precision is not None:
        if not 0 < precision < 100:
            raise InputError(f"of the sure answers {precision} % cannot be asked to be right: expected 1 to 99.")
        told["min_precision"] = precision / 100
    if told["search"] is not None:
        if told["dense"]:
            raise InputError("a search chooses the hidden layers itself: name them, or let it search, but not both.")
        check_search(told["search"], HeadConfig(), None)
    return {name: value for name, value in told.items() if value not in (None, ())}


def _number(fields: QueryParams, name: str, what: str) -> int | None:
    value = fields.get(name, "").strip()
    if value and not value.isdecimal():
        raise InputError(f"{what}: {value!r} is no whole number.")
    return int(value) if value else None


def _layers(sizes: str) -> tuple[int, ...]:
    """Sizes of hidden layers, such as ``256, 128``."""
    parts = [part for part in re.split(r"[,; ]+", sizes.strip()) if part]
    wrong = [part for part in parts if not part.isdecimal() or int(part) < 1]
    if wrong:
        raise InputError(f"hidden layers: {wrong[0]!r} is no size; expected a number for each layer, as 256, 128.")
    return tuple(map(int, parts))


def _classes(fields: QueryParams, dataset: Dataset) -> list[str] | None:
    """The classes that are ticked; None for all of them."""
    ticked = set(fields.getlist("class"))
    if not fields.get("classes") or ticked.issuperset(dataset.classes):
        return None  # it does not ask, or all are ticked
    if len(ticked) < 2:
        raise InputError("to tell classes apart takes two of them at least: tick more.")
    strange = ticked.difference(dataset.classes)
    if strange:
        raise InputError(f"there is no class {min(strange)!r}.")
    return [name for name in dataset.classes if name in ticked]
