"""``headstart evaluate``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from headstart.cli import output
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.cli.summary import summary
from headstart.config.commands import EVALUATE
from headstart.errors import InputError, did_you_mean
from headstart.runs.files import read_facts
from headstart.tasks import get_task
from headstart.tasks.task import Metric

_FIELD = "fail_under"


@click.command(cls=SettingCommand, epilog="Example: headstart evaluate runs/photos held-out/")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=str))
@setting_options(EVALUATE)
@click.option("--name", help="Name of the evaluation. Default: that of the data.")
@click.option("--tta", is_flag=True, help="Test-time augmentation: average with the mirrored image.")
@click.option(
    "--fail-under",
    "limits",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Exit with 2 if this metric is worse, such as accuracy=0.9; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all metrics as JSON.")
def evaluate(run: Path, data: str, limits: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Evaluate RUN on new labelled DATA, in any form that `headstart train` takes.

    Writes the report and all metrics to RUN/evaluations/.
    """
    from headstart.commands.evaluate import evaluate as evaluate_run

    worst_allowed = _parse_limits(limits, run) if limits else {}
    evaluation = evaluate_run(run, data, **options, progress=current_progress())
    if as_json:
        output.result_json({**evaluation.figures.to_json(), "folder": str(evaluation.folder)})
        return _exit_code(evaluation.metrics, worst_allowed)
    output.result_text(summary(evaluation))
    if not evaluation.figures.leak_free:
        for finding in evaluation.facts.audit:
            if finding.state == "skipped":
                output.note(f"{finding.check}: {finding.summary}")
    output.result(f"report   {evaluation.folder / 'report.html'}")
    return _exit_code(evaluation.metrics, worst_allowed)


def _parse_limits(limits: Sequence[str], run: Path) -> dict[Metric, float]:
    """Metrics of the run, and the worst value that each may have.

    Raises:
        InputError: a metric that the run does not have, or no number.
    """
    metrics = {metric.name: metric for metric in get_task(read_facts(run).task).metrics}
    parsed = {}
    for limit in limits:
        name, _, value = limit.partition("=")
        if name not in metrics:
            advice = did_you_mean(name, metrics) or f" Metrics of this run: {', '.join(metrics)}."
            raise InputError(
                f"expected METRIC=VALUE, such as {next(iter(metrics))}=0.9, got {limit!r}.{advice}", field=_FIELD
            )
        try:
            parsed[metrics[name]] = float(value)
        except ValueError as exc:
            raise InputError(f"expected a number after {name}=, such as 0.9, got {value!r}.", field=_FIELD) from exc
    return parsed


def _exit_code(values: Mapping[str, float | None], worst_allowed: Mapping[Metric, float]) -> int:
    """2 if a metric is worse than allowed or not defined, which is reported; else 0."""
    failing = [
        metric for metric, worst in worst_allowed.items() if metric.rank(values[metric.name]) < metric.rank(worst)
    ]
    for metric in failing:
        output.error(
            f"{metric.in_text} is {metric.format_value(values[metric.name])}: worse than "
            f"{metric.format_value(worst_allowed[metric])}."
        )
    return 2 if failing else 0
