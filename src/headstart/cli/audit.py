"""``headstart audit``."""

from pathlib import Path
from typing import Any

import click

from headstart.cli import output
from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.config.commands import AUDIT
from headstart.data.readers import NOUNS
from headstart.errors import counted

_SHOWN = 3  # examples of each finding
_CHARACTERS = 60  # of a text
_MARKS = {"error": "31", "warning": "33", "info": "36"}  # colours of a terminal


def _explain(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        from headstart.reports.audit import explanation

        output.result(explanation(value))
        ctx.exit()


@click.command(cls=SettingCommand, epilog="Example: headstart audit photos/ --report audit.html")
@click.argument("data", type=click.Path(path_type=str))
@setting_options(AUDIT)
@bundle_option
@click.option("--features/--no-features", default=True, help="Without: do without a base, and without what needs one.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave a check out, such as HS042; may be repeated.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    default="error",
    show_default=True,
    help="Exit with 2 if something of this severity, or worse, is found.",
)
@click.option(
    "--fix",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="CLEAN.csv",
    help="Write a table of what is good, to train on; no file is touched.",
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), metavar="PAGE.html", help="Write a page with pictures."
)
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
@click.option(
    "--explain", callback=_explain, is_eager=True, expose_value=False, metavar="CODE", help="What a check means."
)
def audit(
    data: str,
    fail_on: Any,
    fix: Path | None,
    report: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Say what is wrong with DATA before anything is trained on it: anything that `headstart train` takes.

    Unreadable, mislabelled and blank files, copies and near-copies, the same under two labels or on two sides of a
    split, small classes, outliers and more; --explain HS032 says what a code means.
    """
    from headstart.commands.audit import audit as audit_data
    from headstart.system.settings import check_place

    if fix:
        check_place(fix, ".csv")
    if report:
        check_place(report, ".html", replaced=True)
    found = audit_data(data, **options, progress=current_progress())
    if as_json:
        output.result_json(found.facts())
    else:
        _tell(found)
    if report:
        output.note(f"the page is {found.report(report)}")
    if fix:
        left_out = found.fix(fix)
        separator = " --label-separator ';'" if found.dataset.labels.ndim == 2 else ""
        group = " --group-by group" if found.dataset.groups else ""
        output.note(
            f"{counted(len(found.dataset) + len(found.dataset.skipped) - len(left_out), 'example')} kept and "
            f"{len(left_out):,} left out: headstart train {fix}{separator}{group}"
        )
    return 2 if fail_on != "never" and found.found(fail_on) else 0


def _excerpt(finding: Any, example: Any, texts: dict[str, str]) -> str:
    """The beginning of a text, unless the finding is about its wording and tells it."""
    text = " ".join(texts.get("".join(example.files[:1]), "").split()) if finding.code >= "HS03" else ""
    return f"  “{text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + '…'}”" if text else ""


def _tell(found: Any) -> None:
    dataset = found.dataset
    texts = dict(zip(dataset.files, dataset.texts or (), strict=False))
    noun = NOUNS[dataset.modality]
    output.result(f"{dataset.source}: {counted(len(dataset), noun)}, {len(dataset.classes):,} classes\n")
    for finding in found.found():
        severity = output.coloured(f"{finding.severity:8}", _MARKS[finding.severity])
        output.result(f"{severity} {finding.code} {finding.check}: {finding.summary}")
        for example in finding.examples[:_SHOWN]:
            output.result(f"           {example.line(finding.check)}{_excerpt(finding, example, texts)}")
        if len(finding.examples) > _SHOWN:
            output.result(f"           … {len(finding.examples) - _SHOWN:,} more")
    states = [finding.state for finding in found.findings]
    rest = [
        f"{states.count(state):,} {state}"
        for state in ("clean", "not applicable", "skipped", "ignored")
        if state in states
    ]
    if not found.found():
        output.result("nothing was found")
    output.result(f"\n{states.count('found'):,} of {len(states):,} checks found something; {', '.join(rest)}")
    for finding in found.findings:
        if finding.state == "skipped":
            output.result(f"skipped  {finding.code} {finding.check}: {finding.summary}")
