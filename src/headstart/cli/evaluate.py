"""``headstart evaluate``."""

from pathlib import Path
from typing import Any

import click

from headstart.cli import output
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.cli.summary import summary
from headstart.config.commands import EVALUATE


@click.command(cls=SettingCommand, epilog="Example: headstart evaluate runs/photos held-out/")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=str))
@setting_options(EVALUATE)
@click.option("--name", help="Name of the evaluation. Default: that of the data.")
@click.option("--tta", is_flag=True, help="Test-time augmentation: average with the mirrored image.")
@click.option("--json", "as_json", is_flag=True, help="Print all metrics as JSON.")
def evaluate(run: Path, data: str, as_json: bool, **options: Any) -> None:
    """Evaluate RUN on new labelled DATA, in any form that `headstart train` takes.

    Writes the report and all metrics to RUN/evaluations/.
    """
    from headstart.commands.evaluate import evaluate as evaluate_run

    evaluation = evaluate_run(run, data, **options, progress=current_progress())
    if as_json:
        output.result_json({**evaluation.figures.to_json(), "folder": str(evaluation.folder)})
        return
    output.result_text(summary(evaluation))
    if not evaluation.figures.leak_free:
        for finding in evaluation.facts.audit:
            if finding.state == "skipped":
                output.note(f"{finding.check}: {finding.summary}")
    output.result(f"report   {evaluation.folder / 'report.html'}")
