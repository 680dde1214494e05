"""Labels as data sets and tables hold them, before a task turns them into numbers."""

from collections.abc import Callable, Iterable

SEPARATOR = ";"
"""Between several labels in one cell of the tables of a run."""

NO_LABEL = "none"
"""Shown to people instead of an empty list of labels."""

Label = str | list[str]
"""The class of an example, or the list of its labels."""


def label_names(labels: Iterable[Label]) -> set[str]:
    """All names that occur in some labels."""
    return {name for label in labels for name in ([label] if isinstance(label, str) else label)}


def renamed_labels(labels: Iterable[Label], rename: Callable[[str], str]) -> list[Label]:
    """The same labels with every name changed."""
    return [rename(label) if isinstance(label, str) else [*map(rename, label)] for label in labels]
