"""The checks by code, and what one of them answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from headstart.data.readers import Modality
from headstart.errors import InputError, did_you_mean

Severity = Literal["error", "warning", "info"]
State = Literal["found", "clean", "not applicable", "skipped", "ignored"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first. An error makes examples unusable or scores wrong; a warning asks for a look; an info only tells."""

_SHOWN = 5  # examples of a finding in run.json; `headstart audit --json` has all


class Check(NamedTuple):
    """One thing that is looked for.

    Attributes:
        code: stable; what ``--ignore`` takes.
        name: the same in words.
        severity: of what it finds.
        about: kind of data that it is for; None for any.
    """

    code: str
    name: str
    severity: Severity
    about: Modality | None = None


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
        # Pictures
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
        # The same twice
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
    )
}
"""Name -> check, in the order of the codes. ``assets/audit.md`` explains each."""

_ABSENT = {
    "too-long": "The base reads texts in another way.",
    "unknown-words": "The base reads texts in another way.",
    "unknown-characters": "The base reads texts in another way.",
    "seen-in-training": "No run is judged on the data.",
    "nearly-seen-in-training": "No run is judged on the data.",
    "imbalance": "An example may have any number of labels.",
    "classes-in-splits": "The data do not come divided.",
    "without-labels": "Every example has one class.",
}
"""Checks that do not run on all data -> why not."""


class Occurrence(NamedTuple):
    """Something that shows a finding.

    Attributes:
        files: the example's name; several where they are about the same thing. Empty where it is about a class.
        note: what there is to say of it.
    """

    files: tuple[str, ...]
    note: str = ""

    def told(self, check: str) -> str:
        """In one line, as an example of what this check finds."""
        sign = " ≈ " if "near" in check else " = "
        names = sign.join(self.files[:3]) + (f"{sign}…" if len(self.files) > 3 else "")
        return f"{names}: {self.note}" if names and self.note else names or self.note


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: its name.
        state: ``found``, ``clean``; ``not applicable`` to such data, ``skipped`` for want of something, or ``ignored``.
        summary: one sentence.
        examples: all that show it.
    """

    check: str
    state: State
    summary: str
    examples: Sequence[Occurrence] = field(default_factory=tuple)

    @property
    def code(self) -> str:
        """Of the check."""
        return CHECKS[self.check].code

    @property
    def severity(self) -> Severity:
        """Of the check."""
        return CHECKS[self.check].severity

    def facts(self, most: int | None = _SHOWN) -> dict[str, Any]:
        """As plain data, with at most so many examples."""
        return {
            "code": self.code,
            "check": self.check,
            "severity": self.severity,
            "state": self.state,
            "summary": self.summary,
            "count": len(self.examples),
            "examples": [{"files": list(one.files), "note": one.note} for one in self.examples[:most]],
        }


def complete(
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
    left_out = {named(one).name for one in ignored}
    ran = {finding.check: finding for finding in findings}
    whole = []
    for check in CHECKS.values():
        if check.name in left_out:
            whole.append(Finding(check.name, "ignored", "Left out, as asked for."))
        elif check.name in ran:
            whole.append(ran[check.name])
        elif check.about not in (None, modality):
            whole.append(Finding(check.name, "not applicable", f"It is about {check.about}s."))
        elif check.name in skipped:
            whole.append(Finding(check.name, "skipped", skipped[check.name]))
        else:
            whole.append(Finding(check.name, "not applicable", _ABSENT[check.name]))
    return whole


def named(code: str) -> Check:
    """The check with this code or name.

    Raises:
        InputError: there is none.
    """
    known = {check.code: check for check in CHECKS.values()} | CHECKS
    for key in (code, code.upper(), code.lower()):
        if key in known:
            return known[key]
    raise InputError(
        f"there is no check {code!r}: expected a code such as HS032, or its name.{did_you_mean(code, known)}"
    )


def is_are(n: int) -> str:
    """The verb for so many."""
    return "is" if n == 1 else "are"


def has_have(n: int) -> str:
    """Likewise."""
    return "has" if n == 1 else "have"
