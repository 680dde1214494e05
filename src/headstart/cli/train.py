"""``headstart train``."""

from pathlib import Path
from typing import Any

import click

from headstart import console

_TUNING = {  # option -> field of FineTuning
    "keep": "keep",
    "fine_tune_epochs": "epochs",
    "learning_rate": "learning_rate",
    "rate_decay": "rate_decay",
    "label_smoothing": "label_smoothing",
    "gradual": "gradual",
    "time_limit": "time_limit_s",
    "views": "views",
}
_OUTCOMES = {
    "kept": "fine-tuned model kept",
    "not better": "fine-tuned model not kept, the head alone was",
    "not tried": "fine-tuning not tried",
}
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _sizes(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in value.split(",")) if value else ()
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: expected sizes such as 256 or 256,128.") from exc


def _input_size(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    height, _, width = value.lower().partition("x")
    try:
        return int(height), int(width or height)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: expected pixels such as 224, or HEIGHTxWIDTH such as 192x256.") from exc


def _seconds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    number, unit = (value[:-1], value[-1]) if value[-1:].lower() in _SECONDS else (value, "s")
    try:
        return float(number) * _SECONDS[unit.lower()]
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: expected a time such as 90s, 10m or 1h.") from exc


def _names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return [name.strip() for name in value.split(",") if name.strip()] if value else None


@click.command(epilog="Example: headstart train photos/ --base keras:Xception --test 0.2")
@click.argument("data", type=click.Path(path_type=str))
@click.option(
    "--base",
    default="embedded:efficientnet-lite0",
    show_default=True,
    help="What to transfer from; `headstart bases` lists it.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    metavar="imagenet|PATH|none",
    help="The base's weights: published, a file, or none (random).",
)
@click.option(
    "--input-size", callback=_input_size, metavar="PIXELS", help="224, or HEIGHTxWIDTH; default: the base's own."
)
@click.option(
    "--fit", type=click.Choice(["squash", "crop", "pad"]), help="How photos of another shape become the input size."
)
@click.option("--cut", metavar="LAYER", help="Of a file: base, the layer whose output are the features.")
@click.option("--name", help="Name of the run; default: that of the data.")
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for runs.",
)
@click.option(
    "--head",
    type=click.Choice(["auto", "linear", "mlp"]),
    default="auto",
    show_default=True,
    help="linear is solved, mlp has hidden layers.",
)
@click.option("--dense", callback=_sizes, metavar="SIZES", help="Hidden layers of an mlp, such as 256,128.")
@click.option("--dropout", default=0.2, show_default=True, help="Of an mlp.")
@click.option("--epochs", default=100, show_default=True, help="Of an mlp, at most; it stops early.")
@click.option(
    "--class-weights",
    type=click.Choice(["auto", "balanced", "none"]),
    default="auto",
    show_default=True,
    help="auto balances data of 3 to 1 or worse.",
)
@click.option(
    "--fine-tune",
    default="auto",
    show_default=True,
    metavar="auto|none|all|last:N|from:BLOCK",
    help="Blocks of the base to train after the head; `headstart bases NAME --cuts` lists them.",
)
@click.option(
    "--keep",
    type=click.Choice(["better", "fine-tuned"]),
    default="better",
    show_default=True,
    help="better: the fine-tuned model only if validation proves a gain.",
)
@click.option("--fine-tune-epochs", default=10, show_default=True, help="At most; it stops early.")
@click.option("--learning-rate", default=3e-4, show_default=True, help="Of fine-tuning, for the head.")
@click.option("--rate-decay", default=0.8, show_default=True, help="By which it falls from block to block.")
@click.option("--label-smoothing", default=0.0, show_default=True, help="Of fine-tuning.")
@click.option("--gradual", is_flag=True, help="Let the blocks begin to learn one after the other.")
@click.option(
    "--time-limit", callback=_seconds, metavar="TIME", help="Of fine-tuning, such as 90s, 10m or 1h; default: none."
)
@click.option(
    "--augment",
    type=click.Choice(["none", "light", "standard", "strong"]),
    default="standard",
    show_default=True,
    help="Random versions of the pictures to fine-tune on.",
)
@click.option("--views", default=4, show_default=True, help="Augmented versions of each that are cached.")
@click.option("--val", default=0.15, show_default=True, help="Fraction for validation.")
@click.option("--test", default=0.15, show_default=True, help="Fraction held out for the final figures.")
@click.option("--seed", default=0, show_default=True, help="Of the split and of everything random.")
@click.option(
    "--group-by", metavar="COLUMN|folder|REGEX", help="What must stay on one side of the split: patient, video, scene."
)
@click.option("--classes", callback=_names, metavar="A,B,…", help="Use these classes only.")
@click.option("--path-column", metavar="NAME", help="Of a table.")
@click.option("--label-column", metavar="NAME", help="Of a table.")
@click.option("--split-column", metavar="NAME", help="Of a table: train, val or test.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "openvino", "keras"]),
    default="auto",
    show_default=True,
    help="What runs the frozen base.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 where the CPU has it.",
)
@click.option("--strict", is_flag=True, help="Fail if any file has to be left out.")
def train(**options: Any) -> None:
    """Train a classifier on your pictures.

    DATA is a folder with one folder of pictures per class, or with train, val and test folders of those, or a table
    (.csv, .tsv, .jsonl, .parquet) of paths and labels.
    """
    from headstart import pipeline
    from headstart.training import FineTuning

    tuning = FineTuning(**{field: options.pop(option) for option, field in _TUNING.items()})
    run = pipeline.train(options.pop("data"), tuning=tuning, **options)
    console.result(summary(run))
    console.result(f"report   {run.folder / 'report.html'}")
    console.result(f"predict  headstart predict {run.folder} FILE …")


def summary(run: Any) -> str:
    """A few lines that say how good a run is, for the terminal."""
    headline = run.figures["headline"]
    figures = run.figures["splits"][headline]
    low, high = run.intervals["accuracy"]
    source = {"val": "validation", "train": "training"}.get(headline, headline)
    lines = [
        f"{source} accuracy {figures['accuracy']['value']:.1%} (95 % interval {low:.1%} to {high:.1%}) "
        f"on {figures['examples']:,} pictures of {len(run.classes)} classes",
    ]
    tuning = run.facts.get("fine_tuning", {})
    if tuning.get("reason"):
        lines.append(f"{_OUTCOMES[tuning['outcome']]}: {tuning['reason']}")
    if headline == "train":
        lines.append("nothing was held out: this figure says how well the run remembers, not how well it will do")
    return "\n".join(lines)
