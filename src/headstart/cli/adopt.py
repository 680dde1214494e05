"""``headstart adopt``."""

import shlex
from pathlib import Path

import click

from headstart.cli import output


@click.command(epilog="Example: headstart adopt converted_keras/ --name objects")
@click.argument("export", type=click.Path(path_type=Path))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="File of class names. Default: labels.txt in the same folder; for a detector those of COCO or VOC.",
)
@click.option("--name", help="Name of the run. Default: that of the folder.")
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default="runs",
    show_default=True,
    help="Folder of runs.",
)
def adopt(export: Path, labels: Path | None, name: str | None, runs: Path) -> None:
    """Import EXPORT, a model that was trained elsewhere, as a run for prediction and evaluation.

    EXPORT is what Teachable Machine exports for Keras (the folder with keras_model.h5 and labels.txt, or the model
    file), or the .cfg of a YOLO detector of Darknet with its .weights beside it. To train a new head on its base:
    headstart train DATA --base file:keras_model.h5, or --base yolo:detector.cfg
    """
    from headstart.commands.adopt import adopt as import_run

    run = import_run(export, labels=labels, name=name, runs=runs)
    output.note(f"classes  {', '.join(run.classes)}")
    output.note(f"predict  headstart predict {shlex.quote(str(run.folder))} FILE …")
