"""Several labels in one cell of text: lists as Python, JSON or NumPy write them, and separators that nobody named."""

import ast
import json
import logging
import re
from collections.abc import Sequence
from contextlib import suppress

from headstart.errors import InputError, counted
from headstart.tasks.labels import Label

logger = logging.getLogger(__name__)

_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_NUMPY = re.compile(r"""\[\s*(?:(?:'[^']*'|"[^"]*")\s*)*\]""")  # quoted words without commas
_SEPARATORS = ("|", ";", ",")
_BRACKETED = re.compile(r"(array)?[\[({].*,.*[\])}]", re.DOTALL)
_BITS = re.compile(r"[\[(]\s*[01](\.0*)?([\s,]+[01](\.0*)?)+\s*[\])]")
_MOST_TEXT = 100_000  # characters of a cell that is read as a list


def listed_labels(source: str, labels: Sequence[Label]) -> list[Label]:
    """Labels whose cells are lists written as text, such as ``['a', 'b']``, as lists; other labels as they are.

    Args:
        source: of the data, for messages.
        labels: one cell each.

    Raises:
        InputError: some cells are lists and others are not.
    """
    lists = [*map(_parse, labels)]
    n_lists = sum(names is not None for names in lists)
    if not any(lists):
        return list(labels)
    if n_lists < len(labels):
        plain = next(label for label, names in zip(labels, lists, strict=True) if names is None)
        written = next(label for label, names in zip(labels, lists, strict=True) if names is not None)
        raise InputError(
            f"{source}: {counted(n_lists, 'label')} of {len(labels):,} are lists written as text, such as {written!r}, "
            f"and others are not, such as {plain!r}. Write all of them as lists, or none."
        )
    logger.info(f"{source}: the labels are lists written as text, so an example may have several")
    return [names or [] for names in lists]


def check_not_bits(source: str, labels: Sequence[Label]) -> None:
    """Check that labels are names, not lists with a 0 or 1 for each class.

    Raises:
        InputError: they are such lists.
    """
    if labels and all(map(_is_bits, labels)) and len({len(cell) for cell in labels if isinstance(cell, list)}) < 2:
        raise InputError(
            f"{source}: each label is a list of 0 and 1, such as {labels[0]}: expected lists of the names of labels, "
            "or a column of 0 and 1 for each label."
        )


def _is_bits(cell: Label) -> bool:
    if isinstance(cell, str):
        return bool(_BITS.fullmatch(cell))
    return len(cell) > 1 and set(cell) <= {"0", "1"}


def hint_at_separator(source: str, labels: Sequence[Label]) -> None:
    """Log it if labels look like several labels with a separator between them."""
    names = {cell for cell in labels if isinstance(cell, str)}
    bracketed = [name for name in names if _BRACKETED.fullmatch(name)]
    if bracketed:
        logger.warning(
            f"{source}: labels such as {min(bracketed)!r} look like lists. They are read as one class each. If an "
            "example may have several labels, write them as lists with quotes, such as ['a', 'b']."
        )
        return
    for separator in _SEPARATORS:
        several = [name for name in names if separator in name]
        parts = {part.strip() for name in names for part in name.split(separator) if part.strip()}
        if several and 1 < len(parts) < len(names):
            logger.warning(
                f"{source}: labels such as {min(several)!r} look like several labels in one cell. They are read as one "
                f"class each. If an example may have several labels, name {separator!r} as the separator of labels."
            )
            return


def _parse(cell: Label) -> list[str] | None:
    """The labels in a list that is written as text; None if it is none."""
    if not isinstance(cell, str) or not (cell[:1] + cell[-1:] in ("[]", "()", "{}") and len(cell) < _MOST_TEXT):
        return None
    if cell[0] == "[" and _NUMPY.fullmatch(cell):
        return [first or second for first, second in _QUOTED.findall(cell)]
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            names = read(cell)
            if isinstance(names, list | tuple | set) and all(isinstance(name, str | int) for name in names):
                ordered = sorted(names, key=str) if isinstance(names, set) else names
                return list(dict.fromkeys(str(name).strip() for name in ordered))
            return None
    return None
