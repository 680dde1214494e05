"""``headstart compare``."""

from pathlib import Path
from typing import Any

import click

from headstart.cli import output
from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.config.commands import COMPARE
from headstart.errors import InputError

_RIGHT = (2, 3, 4)
_MAX_HANDLES = 5  # of the bases left out for one reason


@click.command(cls=SettingCommand, epilog="Example: headstart compare photos/ --bases all --max-mb 30 --max-ms 15")
@click.argument("data", type=click.Path(path_type=str))
@setting_options(COMPARE)
@bundle_option
@click.option(
    "--min-accuracy",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Choose the fastest base with at least this accuracy.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    metavar="N",
    default=500,
    show_default=True,
    help="Number of examples in the last round.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PAGE.html",
    help="Write an HTML report with a plot.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare(data: str, min_accuracy: float | None, report: Path | None, as_json: bool, **options: Any) -> None:
    """Compare bases on DATA, in any form that `headstart train` takes.

    A linear head is cross-validated on the features of each base: first on a few training examples, then the better
    bases on more. For data with boxes, a detector is trained in short on each base, and judged on validation images.
    Speed is measured on this machine. The test examples of `headstart train` stay unseen.
    """
    from headstart.commands.compare import compare as compare_bases
    from headstart.system.settings import check_place

    if min_accuracy is not None and 0 < min_accuracy <= 1:
        raise InputError(f"--min-accuracy {min_accuracy:g} looks like a fraction: expected percent, for instance 90.")
    if report:
        check_place(report, ".html", replaced=True, field="report")
    comparison = compare_bases(
        data, min_accuracy=min_accuracy and min_accuracy / 100, **options, progress=current_progress()
    )
    if as_json:
        output.result_json(comparison.to_json())
    else:
        _print_comparison(comparison)
    if len(comparison.rows) == 1 and options["bases"] in (None, "here"):
        output.note("Only one base was compared. --bases all compares downloadable bases too; or name some.")
    if report:
        output.note(f"report: {comparison.report(report)}")


def _print_comparison(comparison: Any) -> None:
    header = ("base", comparison.metric_title, "examples", "MB", "ms", "front", "compared with the first")
    output.table(header, [_row(comparison, row) for row in comparison.rows], right=_RIGHT)
    output.result()
    for reason, handles in comparison.reasons().items():
        more = f" and {len(handles) - _MAX_HANDLES:,} more" if len(handles) > _MAX_HANDLES else ""
        output.result(f"left out  {', '.join(handles[:_MAX_HANDLES])}{more}: {reason}")
    output.result(comparison.verdict())
    for caveat in comparison.caveats():
        output.result(caveat)
    output.result(f"train  {comparison.command()}")


def _row(comparison: Any, row: Any) -> tuple[str, ...]:
    return (
        row.handle,
        comparison.format_figure(row),
        f"{row.examples:,}",
        f"{row.size_mb:,.1f}",
        f"{row.ms:.1f}",
        "•" if row.on_front else "",
        comparison.status(row),
    )
