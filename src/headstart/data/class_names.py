"""Class names that probably mean the same class: they differ in Unicode form, case or separators, or are 1 and 1.0."""

import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from headstart.errors import InputError, counted, field_name
from headstart.tasks.labels import Label, label_names, renamed_labels

logger = logging.getLogger(__name__)

_WHOLE = re.compile(r"[+-]?\d{1,15}(\.0*)?")
_NUMBER = re.compile(r"[+-]?(\d{1,15}\.?\d{0,15}|\.\d{1,15})(e[+-]?\d{1,2})?")
_MEASURED = re.compile(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", re.IGNORECASE)
_MISSING = frozenset(
    ("NA", "N/A", "n/a", "na", "None", "nan", "NaN", "NULL", "null", "<NA>", "NaT", "#N/A", "\\N", "nil", "?", "-", ".")
)
_MANY = 10  # classes that are all numbers with decimals
_SEPARATORS = re.compile(r"(?<=\w)[-_\s]+(?=\w)")


def whole_numbers(source: str, labels: Sequence[Label]) -> list[Label]:
    """Labels where all are whole numbers, some of them written as decimals: a column of numbers with gaps.

    ``1`` and ``1.0`` become ``1``, which is logged. Other labels stay as they are.
    """
    names = label_names(labels)
    if not any("." in name for name in names) or not all(_WHOLE.fullmatch(name) for name in names):
        return list(labels)
    twice = next((name for name in sorted(names) if "." in name and _whole(name) in names), None)
    if twice:
        logger.info(f"{source}: labels such as {_whole(twice)!r} and {twice!r} are one class, {_whole(twice)}")
    return renamed_labels(labels, _whole)


def check_not_measured(source: str, labels: Sequence[Label]) -> None:
    """Check that labels are classes, not values that were measured.

    Raises:
        InputError: they are decimal numbers, and most of them occur once.
    """
    names = label_names(labels)
    n_decimal = sum("." in name and not _WHOLE.fullmatch(name) for name in names)
    if len(names) > _MANY and 2 * len(names) > len(labels) and all(map(_MEASURED.fullmatch, names)) and n_decimal:
        raise InputError(
            f"{source}: the labels are {len(names):,} different numbers, such as {min(names)}. Classes are predicted, "
            "not numbers: write the class of each range in a column of its own, or name the column with the classes "
            f"({field_name('label_column')})."
        )


def warn_of_similar(source: str, classes: Iterable[str]) -> None:
    """Log which classes have nearly the same name.

    Args:
        source: of the data.
        classes: all names.
    """
    for names in similar_names(classes):
        name_list = ", ".join(map(_spelled, names))
        logger.warning(
            f"{source} has classes with nearly the same name: {name_list}. They are different classes; to "
            "make them one, give them the same name."
        )


def warn_of_missing(source: str, labels: Sequence[Label]) -> None:
    """Log which labels of a table may stand for a missing value.

    Args:
        source: of the data.
        labels: one for each example, or a list of them.
    """
    doubtful = [name for name in sorted(label_names(labels)) if name in _MISSING]
    for name in doubtful:
        n = sum(name in label_names([label]) for label in labels)
        logger.warning(
            f"{source}: the label {name!r} of {counted(n, 'example')} may stand for a missing value. It is read as a "
            "class; leave the cells empty if the labels are not known."
        )


def similar_names(classes: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only in Unicode form, case, space, separators, or as 1, 01 and 1.0."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in classes:
        groups[_key(name)].append(name)
    return [names for names in groups.values() if len(names) > 1]


def same_name(name: str, known_names: Iterable[str]) -> str:
    """The known name that is the same in another Unicode form, or as 1 and 1.0; the name itself if none is."""
    form = _canonical(name)
    return next((other for other in known_names if _canonical(other) == form), name)


def _canonical(name: str) -> str:
    return unicodedata.normalize("NFC", _whole(name) if _WHOLE.fullmatch(name) else name)


def _whole(name: str) -> str:
    return name.partition(".")[0]


def _key(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    name = visible.strip()
    return repr(float(name)) if _NUMBER.fullmatch(name) else _SEPARATORS.sub(" ", _canonical(name))


def _spelled(name: str) -> str:
    """A name in quotes; with character codes if it contains characters that look like others."""
    return repr(name) if name.isascii() else f"{name!r} ({ascii(name)[1:-1]})"
