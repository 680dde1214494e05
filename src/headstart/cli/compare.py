"""``headstart compare``, and the options of a budget, which ``train`` shares."""

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
_SHOWN = 5  # of the bases left out for one reason


@click.command(cls=SettingCommand, epilog="Example: headstart compare photos/ --bases all --max-mb 30 --max-ms 15")
@click.argument("data", type=click.Path(path_type=str))
@setting_options(COMPARE)
@bundle_option
@click.option(
    "--min-accuracy", type=float, metavar="PERCENT", help="Choose the fastest base that reaches it, not the best one."
)
@click.option("--examples", default=500, show_default=True, help="Examples in the last round.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), metavar="PAGE.html", help="Write a page with a plot."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare(data: str, min_accuracy: float | None, report: Path | None, as_json: bool, **options: Any) -> None:
    """Find the best base for DATA: anything that `headstart train` takes.

    Bases run over a few examples, the better ones over more; a linear head is cross-validated on what they give. Speed
    is measured on this machine. Of the data only those examples are looked at that `headstart train` would train on.
    """
    from headstart.commands.compare import compare as compare_bases
    from headstart.system.settings import check_place

    if min_accuracy is not None and 0 < min_accuracy <= 1:
        raise InputError(f"--min-accuracy {min_accuracy:g} looks like a share: expected percent, for instance 90.")
    if report:
        check_place(report, ".html", replaced=True)
    found = compare_bases(
        data, min_accuracy=min_accuracy and min_accuracy / 100, **options, progress=current_progress()
    )
    if as_json:
        output.result_json(found.to_json())
    else:
        _tell(found)
    if len(found.rows) == 1 and options["bases"] in (None, "here"):
        output.note("Only one base is here: --bases all takes those to download, too, or name some.")
    if report:
        output.note(f"the page is {found.report(report)}")


def _tell(found: Any) -> None:
    header = ("base", found.metric.replace("_", " "), "of", "MB", "ms", "front", "against the first")
    output.table(header, [_row(found, row) for row in found.rows], right=_RIGHT)
    output.result()
    for reason, handles in found.reasons().items():
        more = f" and {len(handles) - _SHOWN:,} more" if len(handles) > _SHOWN else ""
        output.result(f"left out  {', '.join(handles[:_SHOWN])}{more}: {reason}")
    output.result(found.verdict())
    for caveat in found.caveats():
        output.result(caveat)
    output.result(f"go on  {found.command()}")


def _row(found: Any, row: Any) -> tuple[str, ...]:
    return (
        row.handle,
        found.told(row),
        f"{row.examples:,}",
        f"{row.size_mb:,.1f}",
        f"{row.ms:.1f}",
        "•" if row.on_front else "",
        found.status(row),
    )
