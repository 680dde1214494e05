"""Checks of examples that cannot be used: unreadable files, wrong formats, rows without content."""

from collections import defaultdict
from collections.abc import Mapping

from headstart.data.audit.checks import CHECKS, Finding, Occurrence, has_have, is_are
from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.errors import counted

_NO_TEXT = "has no text"
_BEGINNINGS = {"damaged": "damaged", "mislabelled": "wrong-extension", "it is not UTF-8": "not-utf8"}
_WHAT = {
    "unreadable": ("{n} cannot be read", "Every file was read."),
    "damaged": ("{n} {are} truncated or damaged", "No file is truncated or damaged."),
    "wrong-extension": (
        "the format of {n} differs from the extension",
        "Every extension matches the format.",
    ),
    "not-examples": ("{n} {are} no example", "All files are examples."),
    "not-utf8": ("{n} {are} not UTF-8", "Every text is UTF-8."),
    "empty-text": ("{n} {have} no text", "No text is empty."),
}
UNUSABLE = tuple(_WHAT)
"""Names of the checks whose findings list all files that are not used."""


def unusable(dataset: Dataset, problems: Mapping[int, str]) -> list[Finding]:
    """One finding for each reason why examples cannot be used.

    Args:
        dataset: the examples.
        problems: index -> why an example cannot be used, as its reader says.
    """
    occurrences: defaultdict[str, list[Occurrence]] = defaultdict(list)
    for i in sorted(problems):
        occurrences[_check_of(problems[i], dataset.modality)].append(Occurrence((dataset.files[i],), problems[i]))
    for item in dataset.skipped:
        check = "empty-text" if item.reason.endswith(_NO_TEXT) else "not-examples"
        occurrences[check].append(Occurrence((item.file,), item.reason))
    return [
        _finding(check, occurrences[check], dataset)
        for check in _WHAT
        if CHECKS[check].about in (None, dataset.modality.name)
    ]


def _check_of(problem: str, modality: Modality) -> str:
    """The check that reports a problem; what belongs to another modality is reported as unreadable."""
    check = "empty-text" if problem.endswith(_NO_TEXT) else _BEGINNINGS.get(problem.partition(":")[0], "unreadable")
    return check if CHECKS[check].about in (None, modality.name) else "unreadable"


def _finding(check: str, occurrences: list[Occurrence], dataset: Dataset) -> Finding:
    problem_text, clean_text = _WHAT[check]
    n = len(occurrences)
    if not n:
        return Finding(check, "clean", clean_text)
    noun = "row" if all(occurrence.note.startswith("row ") for occurrence in occurrences) else "file"
    if dataset.modality.is_in_tables and check != "not-examples":
        noun = dataset.modality.noun
    problem = problem_text.format(n=counted(n, noun), are=is_are(n), have=has_have(n))
    problem = problem[0].upper() + problem[1:]
    return Finding(check, "found", f"{problem}: not used.", occurrences)
