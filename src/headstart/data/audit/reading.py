"""What cannot be used: files that cannot be read, or are something else than they say, and rows without content."""

from collections import defaultdict
from collections.abc import Mapping

from headstart.data.audit.checks import CHECKS, Finding, Occurrence, has_have, is_are
from headstart.data.dataset import Dataset
from headstart.errors import counted

_NO_TEXT = "has no text"
_BEGINNINGS = {"damaged": "damaged", "mislabelled": "wrong-extension", "it is not UTF-8": "not-utf8"}
_WHAT = {
    "unreadable": ("{n} cannot be read", "Every file was read."),
    "damaged": ("{n} {are} truncated or damaged", "No file is truncated or damaged."),
    "wrong-extension": (
        "{n} {are} of another format than the extension says",
        "Every extension is that of its format.",
    ),
    "not-examples": ("{n} cannot be examples", "There is nothing but examples."),
    "not-utf8": ("{n} {are} not UTF-8", "Every text is UTF-8."),
    "empty-text": ("{n} {have} no text", "No text is empty."),
}
UNUSABLE = tuple(_WHAT)
"""Names of the checks whose findings name every file that was left out."""


def unusable(dataset: Dataset, problems: Mapping[int, str]) -> list[Finding]:
    """What is left out because it cannot be used, sorted by why.

    Args:
        dataset: the examples.
        problems: index -> why an example cannot be used, as the readers say it.
    """
    found: defaultdict[str, list[Occurrence]] = defaultdict(list)
    for i in sorted(problems):
        found[_check_of(problems[i])].append(Occurrence((dataset.files[i],), problems[i]))
    for item in dataset.skipped:
        check = "empty-text" if item.reason.endswith(_NO_TEXT) else "not-examples"
        found[check].append(Occurrence((item.file,), item.reason))
    return [
        _finding(check, found[check], dataset) for check in _WHAT if CHECKS[check].about in (None, dataset.modality)
    ]


def _check_of(problem: str) -> str:
    if problem.endswith(_NO_TEXT):
        return "empty-text"
    return _BEGINNINGS.get(problem.partition(":")[0], "unreadable")


def _finding(check: str, examples: list[Occurrence], dataset: Dataset) -> Finding:
    found, clean = _WHAT[check]
    n = len(examples)
    if not n:
        return Finding(check, "clean", clean)
    noun = "row" if all(one.note.startswith("row ") for one in examples) else "file"
    if dataset.texts is not None and check != "not-examples":
        noun = "text"
    said = found.format(n=counted(n, noun), are=is_are(n), have=has_have(n))
    return Finding(check, "found", f"{said} and {is_are(n)} left out.", examples)
