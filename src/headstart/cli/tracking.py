"""The options that log a run elsewhere, which the commands that train share."""

from collections.abc import Callable
from typing import Any

import click

_TENSORBOARD = click.option("--tensorboard", is_flag=True, help="Write TensorBoard events into the run folder as well.")
_MLFLOW = click.option("--mlflow", is_flag=True, help="Log the run to MLflow as well; MLFLOW_TRACKING_URI says where.")


def tracking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of TensorBoard and MLflow."""
    return _TENSORBOARD(_MLFLOW(command))
