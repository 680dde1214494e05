"""The checks by code, and the finding that each gives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from headstart.data.modalities import Modality, get_modality
from headstart.errors import InputError, did_you_mean

Severity = Literal["error", "warning", "info"]
State = Literal["found", "clean", "not applicable", "skipped", "ignored"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first. Errors make examples unusable or scores wrong; warnings should be looked at."""

_SHOWN = 5  # examples of a finding in run.json; `headstart audit --json` has all


class Check(NamedTuple):
    """One check.

    Attributes:
        code: stable; what ``--ignore`` takes.
        name: stable, in words.
        severity: of its finding.
        about: name of the modality that it applies to; None for all.
    """

    code: str
    name: str
    severity: Severity
    about: str | None = None


CHECKS = {
    check.name: check
    for check in (
        # What cannot be used
        Check("HS001", "unreadable", "error"),
        Check("HS002", "damaged", "error", "image"),
        Check("HS003", "wrong-extension", "error", "image"),
        Check("HS004", "not-examples", "warning"),
        Check("HS005", "not-utf8", "error", "text"),
        Check("HS006", "empty-text", "error", "text"),
        # Images
        Check("HS011", "odd-colour-mode", "info", "image"),
        Check("HS012", "exif-rotated", "info", "image"),
        Check("HS013", "tiny", "warning", "image"),
        Check("HS014", "huge", "info", "image"),
        Check("HS015", "extreme-aspect-ratio", "warning", "image"),
        Check("HS016", "blank", "warning", "image"),
        # Texts
        Check("HS021", "mojibake", "warning", "text"),
        Check("HS022", "too-long", "warning", "text"),
        Check("HS023", "unknown-words", "warning", "text"),
        Check("HS024", "unknown-characters", "warning", "text"),
        # Copies
        Check("HS031", "exact-duplicates", "warning"),
        Check("HS032", "near-duplicates", "warning"),
        Check("HS033", "conflicting-labels", "error"),
        Check("HS034", "near-conflicting-labels", "warning"),
        Check("HS035", "leaks", "error"),
        Check("HS036", "near-leaks", "warning"),
        Check("HS037", "groups-across-splits", "error"),
        Check("HS038", "seen-in-training", "error"),
        Check("HS039", "nearly-seen-in-training", "warning"),
        # Classes
        Check("HS041", "small-classes", "warning"),
        Check("HS042", "imbalance", "warning"),
        Check("HS043", "classes-in-splits", "warning"),
        Check("HS044", "without-labels", "info"),
        # Features
        Check("HS051", "outliers", "info"),
        # Boxes of objects
        Check("HS061", "unreadable-boxes", "error", "image"),
        Check("HS062", "boxes-outside", "warning", "image"),
        Check("HS063", "tiny-boxes", "warning", "image"),
        Check("HS064", "boxes-twice", "warning", "image"),
        Check("HS065", "same-object-twice", "warning", "image"),
        Check("HS066", "swapped-corners", "info", "image"),
        Check("HS067", "swapped-axes", "error", "image"),
        Check("HS068", "annotation-sizes", "warning", "image"),
        Check("HS069", "rotated-boxes", "info", "image"),
        Check("HS070", "outlines-as-boxes", "info", "image"),
        Check("HS071", "box-statistics", "info", "image"),
    )
}
"""Name -> check, in the order of the codes. ``reports/templates/audit.md`` explains each."""

_NO_BOXES = "The labels are not boxes of objects."
_ABSENT = {
    "too-long": "The base has another kind of tokenizer.",
    "unknown-words": "The base has another kind of tokenizer.",
    "unknown-characters": "The base has another kind of tokenizer.",
    "seen-in-training": "No run is evaluated on these data.",
    "nearly-seen-in-training": "No run is evaluated on these data.",
    "imbalance": "For labels of this kind, classes may have any size.",
    "classes-in-splits": "The data have no split of their own.",
    "without-labels": "Every example has a class.",
    **{check.name: _NO_BOXES for check in CHECKS.values() if check.code >= "HS061"},
}
"""Check that does not run on all data -> why it did not."""


class Occurrence(NamedTuple):
    """One place where a check found something.

    Attributes:
        files: name of the example, or of several that belong together; empty for a class.
        note: details.
        boxes: what the note is about in the image: (x1, y1, x2, y2) in pixels of the upright image; may be empty.
    """

    files: tuple[str, ...]
    note: str = ""
    boxes: tuple[tuple[float, ...], ...] = ()

    def line(self, check: str) -> str:
        """In one line, as an occurrence of this check's finding."""
        sign = " ≈ " if "near" in check else " = "
        names = sign.join(self.files[:3]) + (f"{sign}…" if len(self.files) > 3 else "")
        return f"{names}: {self.note}" if names and self.note else names or self.note


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: its name.
        state: ``found``, ``clean``; ``not applicable``, ``skipped`` (something is missing for it) or ``ignored``.
        summary: one sentence.
        examples: all occurrences.
    """

    check: str
    state: State
    summary: str
    examples: Sequence[Occurrence] = field(default_factory=tuple)

    @property
    def code(self) -> str:
        """Code of the check."""
        return CHECKS[self.check].code

    @property
    def severity(self) -> Severity:
        """Severity of the check."""
        return CHECKS[self.check].severity

    def all_facts(self) -> dict[str, Any]:
        """As plain data, with all occurrences, and the boxes of those that have some."""
        facts = self.facts(None)
        for example, occurrence in zip(facts["examples"], self.examples, strict=True):
            if occurrence.boxes:
                example["boxes"] = [list(box) for box in occurrence.boxes]
        return facts

    def facts(self, n_examples: int | None = _SHOWN) -> dict[str, Any]:
        """As plain data, with this number of occurrences at most; None means all."""
        return {
            "code": self.code,
            "check": self.check,
            "severity": self.severity,
            "state": self.state,
            "summary": self.summary,
            "count": len(self.examples),
            "examples": [
                {"files": list(occurrence.files), "note": occurrence.note} for occurrence in self.examples[:n_examples]
            ],
        }


def complete_findings(
    findings: Iterable[Finding],
    modality: Modality,
    *,
    ignored: Iterable[str] = (),
    skipped: Mapping[str, str] = MappingProxyType({}),
) -> list[Finding]:
    """One finding for every check, in the order of the codes.

    Args:
        findings: of those that ran.
        modality: of the data; checks of others are not applicable.
        ignored: codes or names of checks to leave out.
        skipped: names of checks -> why they could not run.

    Raises:
        InputError: there is no such check to ignore.
    """
    left_out = {find_check(code).name for code in ignored}
    ran = {finding.check: finding for finding in findings}
    whole = []
    for check in CHECKS.values():
        if check.name in left_out:
            whole.append(Finding(check.name, "ignored", "Ignored, as requested."))
        elif check.name in ran:
            whole.append(ran[check.name])
        elif check.about and check.about != modality.name:
            whole.append(Finding(check.name, "not applicable", f"It applies to {get_modality(check.about).plural}."))
        elif check.name in skipped:
            whole.append(Finding(check.name, "skipped", skipped[check.name]))
        else:
            whole.append(Finding(check.name, "not applicable", _ABSENT[check.name]))
    return whole


def find_check(code: str) -> Check:
    """The check with this code or name.

    Raises:
        InputError: there is no such check.
    """
    checks_by_name = {check.code: check for check in CHECKS.values()} | CHECKS
    for key in (code, code.upper(), code.lower()):
        if key in checks_by_name:
            return checks_by_name[key]
    raise InputError(
        f"there is no check {code!r}: expected a code such as HS032, or its name.{did_you_mean(code, checks_by_name)}"
    )


def is_are(n: int) -> str:
    """The verb for n things."""
    return "is" if n == 1 else "are"


def has_have(n: int) -> str:
    """The verb for n things."""
    return "has" if n == 1 else "have"
