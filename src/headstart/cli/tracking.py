"""The options ``--tensorboard`` and ``--mlflow`` of all commands that train."""

from collections.abc import Callable
from typing import Any

import click

_TENSORBOARD = click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events to the run folder.")
_MLFLOW = click.option("--mlflow", is_flag=True, help="Also log the run to MLflow (server: MLFLOW_TRACKING_URI).")


def tracking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of TensorBoard and MLflow."""
    return _TENSORBOARD(_MLFLOW(command))
