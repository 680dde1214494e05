"""The options of fine-tuning, which ``train`` and ``tune`` share, and ``headstart tune``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headstart.cli.fetch import bundle_option

OPTIONS = {  # option -> field of FineTuning
    "keep": "keep",
    "fine_tune_epochs": "epochs",
    "learning_rate": "learning_rate",
    "rate_decay": "rate_decay",
    "label_smoothing": "label_smoothing",
    "batch_size": "batch_size",
    "train_batch_norm": "train_batch_norm",
    "lora": "lora",
    "gradual": "gradual",
    "time_limit": "time_limit_s",
    "views": "views",
}
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _seconds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    number, unit = (value[:-1], value[-1]) if value[-1:].lower() in _SECONDS else (value, "s")
    try:
        return float(number) * _SECONDS[unit.lower()]
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: expected a time such as 90s, 10m or 1h.") from exc


_OPTIONS = (
    click.option(
        "--fine-tune",
        default="auto",
        show_default=True,
        metavar="auto|none|all|last:N|from:BLOCK",
        help="Blocks of the base to train after the head; `headstart bases NAME --cuts` lists them.",
    ),
    click.option(
        "--keep",
        type=click.Choice(["better", "fine-tuned"]),
        default="better",
        show_default=True,
        help="better: the fine-tuned model only if validation, or with few texts cross-validation, proves a gain.",
    ),
    click.option(
        "--fine-tune-epochs",
        type=int,
        help="At most; it stops early. Default: what suits the base, 6 or 3; 12 on few texts.",
    ),
    click.option("--learning-rate", type=float, help="Of fine-tuning, for the head. Default: what suits the base."),
    click.option("--rate-decay", default=0.9, show_default=True, help="By which it falls from block to block."),
    click.option("--label-smoothing", default=0.1, show_default=True, help="Of fine-tuning."),
    click.option("--batch-size", default=32, show_default=True, help="Examples in a step of fine-tuning."),
    click.option(
        "--train-batch-norm", is_flag=True, help="Let the trained blocks' BatchNormalization follow the new data."
    ),
    click.option(
        "--lora",
        type=int,
        metavar="RANK",
        help="Train low-rank changes of Dense layers only: for transformers, 8 or so.",
    ),
    click.option("--gradual", is_flag=True, help="Let the blocks begin to learn one after the other."),
    click.option(
        "--time-limit",
        callback=_seconds,
        metavar="TIME",
        help="Of fine-tuning, such as 90s, 10m or 1h; default: 15m for auto, else none.",
    ),
    click.option(
        "--augment",
        type=click.Choice(["none", "light", "standard", "strong"]),
        default="standard",
        show_default=True,
        help="Random versions of the pictures to fine-tune on.",
    ),
    click.option("--tensorboard", is_flag=True, help="Write TensorBoard events into the run folder as well."),
    click.option("--mlflow", is_flag=True, help="Log the run to MLflow as well (MLFLOW_TRACKING_URI says where)."),
    click.option("--views", default=3, show_default=True, help="Augmented versions of each that are cached."),
)


def tuning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of fine-tuning."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def pop_tuning(options: dict[str, Any]) -> Any:
    """Take the options that describe how to fine-tune out of a command's, as a FineTuning."""
    from headstart.training import FineTuneConfig

    return FineTuneConfig(**{field: options.pop(option) for option, field in OPTIONS.items()})


@click.command(epilog="Example: headstart tune runs/photos --fine-tune all --time-limit 10m")
@click.argument("run", type=click.Path(path_type=str))
@tuning_options
@bundle_option
@click.option("--name", help="Name of the new run; default: that of RUN, with a number.")
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), help="Folder for it; default: that of RUN.")
def tune(**options: Any) -> None:
    """Fine-tune a finished run further.

    The data, the division and the head are those of RUN, which is left as it is; what comes out is a run of its own.
    """
    from headstart.cli.train import tell
    from headstart.commands import train as pipeline

    tell(pipeline.tune(options.pop("run"), tuning=pop_tuning(options), **options))
