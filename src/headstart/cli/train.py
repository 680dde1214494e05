"""``headstart train``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headstart.cli import output
from headstart.cli.export import print_exports
from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.cli.summary import summary
from headstart.cli.tracking import tracking_options
from headstart.config.commands import TRAIN
from headstart.exporting.formats import check_base, check_installed, parse

if TYPE_CHECKING:
    from headstart.runs.run import RunFolder


@click.command(cls=SettingCommand, epilog="Example: headstart train photos/ --base keras:Xception --test 0.2")
@click.argument("data", type=click.Path(path_type=str))
@setting_options(TRAIN)
@bundle_option
@click.option("--name", help="Name of the run. Default: that of the data.")
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of runs.",
)
@click.option(
    "--export", metavar="A,B,…", help="Also export the run, for instance to litert. Formats: see `headstart export`."
)
@tracking_options
def train(export: str | None, **options: Any) -> None:
    """Train a classifier on your images or texts.

    DATA is a folder with one subfolder of images or text files per class, a folder with train, val and test subfolders
    of this kind, or a table (.csv, .tsv, .json, .parquet) with labels and with texts or image paths.

    Multi-label data is a table with several columns of 0 and 1 (--label-column toxic,insult), a column of lists, or a
    column of labels with a separator (--label-column tags --label-separator ';').
    """
    from headstart.commands.train import train

    if export:  # an impossible export is reported before hours of training
        formats = parse(export, field="export")
        check_installed(formats)
        options["check_base"] = partial(check_base, formats)
    run = train(options.pop("data"), **options, progress=current_progress())
    print_result(run)
    if export:
        from headstart.commands.export import export as export_run

        print_exports(export_run(run, export, progress=current_progress()))


def print_result(run: "RunFolder") -> None:
    """Print the metrics of a new run, and the next commands."""
    output.result_text(summary(run))
    output.result(f"report   {run.folder / 'report.html'}")
    output.result(f"predict  headstart predict {run.folder} {run.facts.modality.command_input}")
