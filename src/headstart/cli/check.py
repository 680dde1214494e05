"""``headstart check``."""

from pathlib import Path
from typing import Literal, get_args

import click

from headstart.checks.rules import RULES, Finding, Rule, find
from headstart.cli import output
from headstart.errors import InputError, counted

FailOn = Literal["error", "warning", "never"]
"""Severities that ``--fail-on`` takes."""


@click.command(epilog="Example: headstart check train.py model.keras")
@click.argument("paths", metavar="PATH…", nargs=-1, type=click.Path(path_type=Path))
@click.option("--rules", is_flag=True, help="List all rules.")
@click.option("--explain", metavar="RULE", help="Say what a rule is about, by code or name, and how to put it right.")
@click.option(
    "--fail-on",
    type=click.Choice(get_args(FailOn)),
    default="error",
    show_default=True,
    help="End with exit code 2 from this severity on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(paths: tuple[Path, ...], rules: bool, explain: str | None, fail_on: FailOn, as_json: bool) -> int:
    """Look for the classic mistakes in your own Keras transfer learning.

    PATH is a training script or notebook (.py, .ipynb), which is read and never run; a model (.keras, .h5), in which
    nothing is executed; or a folder of these.
    """
    if rules:
        _list(as_json=as_json)
        return 0
    if explain:
        _explain(find(explain), as_json=as_json)
        return 0
    if not paths:
        raise InputError(
            "nothing to check: name a training script or a Keras model, such as `headstart check train.py`."
        )
    from headstart.checks import check as check_files

    findings = check_files(*paths)
    if as_json:
        output.result_json([one.to_json() for one in findings])
    else:
        _show(findings)
    failing = {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on]
    return 2 if any(one.severity in failing for one in findings) else 0


def _list(*, as_json: bool) -> None:
    if as_json:
        output.result_json([rule.to_json() for rule in RULES])
    else:
        output.table(("code", "name", "severity", "what"), [(r.code, r.name, r.severity, r.title) for r in RULES])


def _explain(rule: Rule, *, as_json: bool) -> None:
    if as_json:
        output.result_json(rule.to_json())
    else:
        output.result(rule.text())


def _show(findings: list[Finding]) -> None:
    for one in findings:
        output.result(f"{one.place}: {one.severity} {one.code} {one.name}")
        output.result(f"    {one.message}")
        output.result(f"    fix: {one.fix}")
    if not findings:
        output.result("nothing found")
        return
    errors = sum(one.severity == "error" for one in findings)
    output.note(
        f"{counted(errors, 'error')}, {counted(len(findings) - errors, 'warning')}. "
        f"Why: headstart check --explain {findings[0].code}"
    )
