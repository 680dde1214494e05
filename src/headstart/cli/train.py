"""``headstart train``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headstart.cli import output
from headstart.cli.export import tell as tell_exports
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
    help="Folder for runs.",
)
@click.option("--export", metavar="A,B,…", help="Export the run as well, such as to litert; see `headstart export`.")
@tracking_options
def train(export: str | None, **options: Any) -> None:
    """Train a classifier on your images or texts.

    DATA is a folder with one folder of images or text files per class, or with train, val and test folders of those,
    or a table (.csv, .tsv, .jsonl, .parquet) of paths or texts, and labels.

    An example may have any number of labels: several columns of 0 and 1 (--label-column toxic,insult), a column of
    lists, or one column with a separator (--label-column tags --label-separator ';').
    """
    from headstart.commands.train import train

    if export:  # what is impossible is reported before hours of training
        formats = parse(export, field="export")
        check_installed(formats)
        options["check_base"] = partial(check_base, formats)
    run = train(options.pop("data"), **options, progress=current_progress())
    tell(run)
    if export:
        from headstart.commands.export import export as export_run

        tell_exports(export_run(run, export, progress=current_progress()))


def tell(run: "RunFolder") -> None:
    """Say what became of a training, and what to do next."""
    output.result(summary(run))
    output.result(f"report   {run.folder / 'report.html'}")
    what = "FILE …" if run.facts.modality == "image" else '"some text"'
    output.result(f"predict  headstart predict {run.folder} {what}")
