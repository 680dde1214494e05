"""For people who compare runs elsewhere: a finished run as TensorBoard events, and in MLflow."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headstart.runs.run import RunFolder
from headstart.runs.tables import read_history
from headstart.system.extras import require

logger = logging.getLogger(__name__)

_ARTIFACTS = ("report.html", "run.json", "metrics.json", "history.csv")


def check_tracking(*, tensorboard: bool, mlflow: bool) -> None:
    """See, before anything is trained, that what tracking needs is installed.

    Raises:
        UnavailableError: it is not.
    """
    if tensorboard:
        _tensorboard()
    if mlflow:
        _mlflow()


def track(run: RunFolder, *, tensorboard: bool, mlflow: bool) -> None:
    """Log a finished run to the chosen trackers. Their errors do not affect the run."""
    if tensorboard:
        write_tensorboard(run)
    if mlflow:
        try:
            log_to_mlflow(run)
        except _mlflow().exceptions.MlflowException as exc:
            logger.warning(f"{run.folder} is complete, but MLflow did not take all of it: {exc}")


def write_tensorboard(run: RunFolder) -> Path:
    """Write a run's curves and figures as event files into its folder; ``tensorboard --logdir runs`` shows all runs.

    Raises:
        UnavailableError: tensorboardX is not installed.
    """
    folder = run.folder / "tensorboard"
    with _tensorboard().SummaryWriter(str(folder)) as writer:
        for name, value, epoch in _curves(run):
            writer.add_scalar(name, value, epoch)
        for name, value in _figures(run):
            writer.add_scalar(name, value, 0)
        writer.add_text("config", f"```\n{json.dumps(run.facts.config, indent=2)}\n```")
    return folder


def log_to_mlflow(run: RunFolder) -> str:
    """Log a run to MLflow: where, and to which experiment, is what MLflow's own environment variables say.

    Returns:
        MLflow's id of the run.

    Raises:
        UnavailableError: mlflow is not installed.
    """
    mlflow = _mlflow()
    with mlflow.start_run(run_name=run.name) as entry:
        mlflow.log_params({key: value for key, value in (run.facts.config or {}).items() if value is not None})
        digest = run.facts.data.digest if run.facts.data else None
        mlflow.set_tags({"headstart": run.facts.headstart, "data_digest": digest})
        for name, value, epoch in _curves(run):
            mlflow.log_metric(name, value, step=epoch)
        mlflow.log_metrics(dict(_figures(run)))
        for name in _ARTIFACTS:
            mlflow.log_artifact(str(run.folder / name))
        return str(entry.info.run_id)


def _tensorboard() -> Any:
    return require("tensorboardX", extra="tensorboard", purpose="writing TensorBoard events")


def _mlflow() -> Any:
    return require("mlflow", extra="mlflow", purpose="logging to MLflow")


def _curves(run: RunFolder) -> Iterator[tuple[str, float, int]]:
    """(name, value, epoch) of everything in ``history.csv`` that was measured epoch by epoch."""
    for row in read_history(run.folder, run.facts):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            value = getattr(row, name)
            if row.epoch is not None and value is not None:
                yield f"{row.phase}/{name}", value, row.epoch


def _figures(run: RunFolder) -> Iterator[tuple[str, float]]:
    """(name, value) of every metric of every split."""
    for split, figures in run.figures.splits.items():
        for name, figure in figures.metrics.items():
            if figure.value is not None:
                yield f"{split}/{name}", figure.value
