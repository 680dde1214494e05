"""``headstart tune``."""

from pathlib import Path
from typing import Any

import click

from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.cli.tracking import tracking_options
from headstart.config.commands import TUNE


@click.command(cls=SettingCommand, epilog="Example: headstart tune runs/photos --fine-tune all --time-limit 10m")
@click.argument("run", type=click.Path(path_type=str))
@setting_options(TUNE)
@bundle_option
@click.option("--name", help="Name of the new run. Default: that of RUN, with a number.")
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), help="Folder of runs. Default: that of RUN.")
@tracking_options
def tune(**options: Any) -> None:
    """Fine-tune a finished run further.

    Data, split and head are those of RUN. RUN does not change: the result is a new run.
    """
    from headstart.cli.train import print_result
    from headstart.commands.tune import tune

    print_result(tune(options.pop("run"), **options, progress=current_progress()))
