"""``headstart audit``."""

import shlex
from pathlib import Path
from typing import Any

import click

from headstart.cli import output
from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.config.commands import AUDIT
from headstart.errors import counted

_MAX_EXAMPLES = 3  # of each finding
_EXCERPT_CHARACTERS = 60
_COLOURS = {"error": "31", "warning": "33", "info": "36"}  # ANSI codes


def _explain(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        from headstart.reports.audit import explanation

        output.result(explanation(value))
        ctx.exit()


@click.command(cls=SettingCommand, epilog="Example: headstart audit photos/ --report audit.html")
@click.argument("data", type=click.Path(path_type=str))
@setting_options(AUDIT)
@bundle_option
@click.option(
    "--features/--no-features",
    default=True,
    help="Run the checks that need features from a base, such as outliers. [default: features]",
)
@click.option("--ignore", multiple=True, metavar="CODE", help="Skip a check, such as HS042. Can be repeated.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    default="error",
    show_default=True,
    help="Lowest severity that gives exit code 2.",
)
@click.option(
    "--fix",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="CLEAN.csv",
    help="Write a table of the usable examples, to train on. No data file is changed.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PAGE.html",
    help="Write an HTML report with images.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
@click.option(
    "--explain", callback=_explain, is_eager=True, expose_value=False, metavar="CODE", help="Explain a check and exit."
)
def audit(
    data: str,
    fail_on: Any,
    fix: Path | None,
    report: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Check DATA, in any form that `headstart train` takes, before training.

    The checks find unreadable, damaged and blank files, duplicates and near-duplicates (also with different labels or
    in two splits), small classes, outliers and more.
    """
    from headstart.commands.audit import audit as audit_data
    from headstart.system.settings import check_place

    if fix:
        check_place(fix, ".csv", field="fix")
    if report:
        check_place(report, ".html", replaced=True, field="report")
    audited = audit_data(data, **options, progress=current_progress())
    if as_json:
        output.result_json(audited.facts())
    else:
        _print_findings(audited)
    if report:
        output.note(f"report: {audited.report(report)}")
    if fix:
        left_out = audited.fix(fix)
        settings = audited.dataset.reading_settings() | ({"group_by": "group"} if audited.dataset.groups else {})
        words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
        output.note(
            f"{counted(len(audited.dataset) + len(audited.dataset.skipped) - len(left_out), 'example')} kept and "
            f"{len(left_out):,} left out: {shlex.join(['headstart', 'train', str(fix), *words])}"
        )
    return 2 if fail_on != "never" and audited.problems(fail_on) else 0


def _excerpt(finding: Any, example: Any, texts: dict[str, str]) -> str:
    """The beginning of a text, in quotation marks; empty where the finding itself shows it."""
    text = " ".join(texts.get("".join(example.files[:1]), "").split()) if finding.code >= "HS03" else ""
    return f"  “{text if len(text) <= _EXCERPT_CHARACTERS else text[: _EXCERPT_CHARACTERS - 1] + '…'}”" if text else ""


def _print_findings(audited: Any) -> None:
    dataset = audited.dataset
    texts = dict(zip(dataset.files, (example.text for example in dataset.examples), strict=True))
    noun = dataset.modality.noun
    output.result(f"{dataset.source}: {counted(len(dataset), noun)}, {len(dataset.classes):,} classes\n")
    for finding in audited.problems():
        severity = output.coloured(f"{finding.severity:8}", _COLOURS[finding.severity])
        output.result(f"{severity} {finding.code} {finding.check}: {finding.summary}")
        for example in finding.examples[:_MAX_EXAMPLES]:
            output.result(f"           {example.line(finding.check)}{_excerpt(finding, example, texts)}")
        if len(finding.examples) > _MAX_EXAMPLES:
            output.result(f"           … {len(finding.examples) - _MAX_EXAMPLES:,} more")
    states = [finding.state for finding in audited.findings]
    other_counts = [
        f"{states.count(state):,} {state}"
        for state in ("clean", "not applicable", "skipped", "ignored")
        if state in states
    ]
    if not audited.problems():
        output.result("no findings")
    output.result(f"\n{states.count('found'):,} of {len(states):,} checks have findings; {', '.join(other_counts)}")
    for finding in audited.findings:
        if finding.state == "skipped":
            output.result(f"skipped  {finding.code} {finding.check}: {finding.summary}")
