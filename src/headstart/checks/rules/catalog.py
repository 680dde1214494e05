"""The rules of `headstart check` with their codes and explanations, read from ``rules.toml``; findings of a rule."""

import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill, indent
from typing import Any, Literal

from headstart.errors import InputError, did_you_mean

Severity = Literal["error", "warning"]
Target = Literal["scripts", "models"]

Report = Callable[[str, int, str], None]
"""Receives a mistake: name of the rule, line (0 if unknown), message."""

_WIDTH = 79  # of an explanation in the terminal


@dataclass(frozen=True)
class Rule:
    """One mistake that `headstart check` looks for.

    Attributes:
        code: stable, such as HS101.
        name: in words, such as missing-rescaling.
        severity: ``error`` if the model learns something wrong or nothing, or its score is wrong; ``warning`` if the
            model gets worse, always or in most cases.
        found_in: where the rule applies: scripts, model files or both.
        title: one sentence.
        why: what happens, and how the mistake is recognized.
        source: address or title of a document that describes the mistake.
        fix: one sentence.
        example: the correct way, a few lines of Python.
    """

    code: str
    name: str
    severity: Severity
    found_in: tuple[Target, ...]
    title: str
    why: str
    source: str
    fix: str
    example: str

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)

    def format_text(self) -> str:
        """The complete explanation for a terminal."""
        head = f"{self.code} {self.name} ({self.severity}; found in {' and '.join(self.found_in)})"
        paragraphs = [head, self.title, fill(self.why, _WIDTH), fill(f"Fix: {self.fix}", _WIDTH)]
        return "\n\n".join([*paragraphs, indent(self.example, "    "), f"Source: {self.source}"])


@dataclass(frozen=True)
class Finding:
    """A mistake in a script or model file.

    Attributes:
        code: of its rule.
        name: of its rule.
        severity: ``error`` or ``warning``.
        message: what is wrong here.
        file: path of the script or model file.
        line: line number in the file or notebook cell, from 1; None in a model file.
        fix: what to do.
        cell: number of the code cell in a notebook, from 1; None elsewhere.
    """

    code: str
    name: str
    severity: Severity
    message: str
    file: str
    line: int | None
    fix: str
    cell: int | None = None

    @property
    def place(self) -> str:
        """File and line: ``train.py:31``, ``train.ipynb:cell 3:7``."""
        cell = [f"cell {self.cell}"] if self.cell else []
        line = [str(self.line)] if self.line else []
        return ":".join([self.file, *cell, *line])

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)


def find_rule(name: str) -> Rule:
    """Return the rule with this code or name.

    Raises:
        InputError: there is no such rule.
    """
    rule = _BY_NAME.get(name.upper()) or _BY_NAME.get(name.lower())
    if rule is None:
        raise InputError(
            f"there is no rule {name!r}: `headstart check --rules` lists all rules.{did_you_mean(name, _BY_NAME)}"
        )
    return rule


def make_finding(rule_name: str, message: str, file: Path, line: int, cell: int | None = None) -> Finding:
    """Create a finding of a rule.

    Args:
        rule_name: name of the rule.
        message: what is wrong here, one sentence.
        file: path of the script or model file.
        line: from 1; 0 if there is no line.
        cell: code cell of a notebook.
    """
    rule = find_rule(rule_name)
    return Finding(rule.code, rule.name, rule.severity, message, str(file), line or None, rule.fix, cell)


def _read_rules() -> tuple[Rule, ...]:
    rows = tomllib.loads(Path(__file__).with_name("rules.toml").read_text(encoding="utf-8"))["rules"]
    return tuple(
        Rule(
            **{
                **row,
                "found_in": tuple(row["found_in"]),
                "why": " ".join(row["why"].split()),
                "fix": " ".join(row["fix"].split()),
                "example": row["example"].rstrip(),
            }
        )
        for row in rows
    )


RULES = _read_rules()
"""All rules, by code."""

_BY_NAME = {**{rule.name: rule for rule in RULES}, **{rule.code: rule for rule in RULES}}
