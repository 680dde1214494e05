"""``headstart check``."""

from pathlib import Path
from typing import Literal, get_args

import click

from headstart.checks.rules.catalog import RULES, Finding, Rule, find_rule
from headstart.cli import output
from headstart.errors import InputError, counted

FailOn = Literal["error", "warning", "never"]
"""Values of ``--fail-on``."""


@click.command(epilog="Example: headstart check train.py model.keras")
@click.argument("paths", metavar="PATH…", nargs=-1, type=click.Path(path_type=Path))
@click.option("--rules", is_flag=True, help="List all rules and exit.")
@click.option("--explain", metavar="RULE", help="Explain a rule and its fix, by code or name, and exit.")
@click.option(
    "--fail-on",
    type=click.Choice(get_args(FailOn)),
    default="error",
    show_default=True,
    help="Lowest severity that gives exit code 2.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(paths: tuple[Path, ...], rules: bool, explain: str | None, fail_on: FailOn, as_json: bool) -> int:
    """Find common mistakes in your own Keras transfer learning.

    PATH is a training script or notebook (.py, .ipynb), a model (.keras, .h5), a run, or a folder with scripts and
    models. Scripts are read but not executed. No code from a model is executed.
    """
    if rules:
        _print_rules(as_json=as_json)
        return 0
    if explain:
        _print_explanation(find_rule(explain), as_json=as_json)
        return 0
    if not paths:
        raise InputError(
            "no files to check: name a training script or a Keras model, for example `headstart check train.py`."
        )
    from headstart.commands.check import check as check_files

    findings = check_files(*paths)
    if as_json:
        output.result_json([finding.to_dict() for finding in findings])
    else:
        _print_findings(findings)
    failing = {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on]
    return 2 if any(finding.severity in failing for finding in findings) else 0


def _print_rules(*, as_json: bool) -> None:
    if as_json:
        output.result_json([rule.to_dict() for rule in RULES])
        return
    for rule in RULES:
        output.result(f"{rule.code} {rule.name} ({rule.severity})")
        output.result(f"    {rule.title}")


def _print_explanation(rule: Rule, *, as_json: bool) -> None:
    if as_json:
        output.result_json(rule.to_dict())
    else:
        output.result(rule.format_text())


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        output.result(f"{finding.place}: {finding.severity} {finding.code} {finding.name}")
        output.result(f"    {finding.message}")
        output.result(f"    fix: {finding.fix}")
    if not findings:
        output.result("no findings")
        return
    errors = sum(finding.severity == "error" for finding in findings)
    output.note(
        f"{counted(errors, 'error')}, {counted(len(findings) - errors, 'warning')}. "
        f"Explanation: headstart check --explain {findings[0].code}"
    )
