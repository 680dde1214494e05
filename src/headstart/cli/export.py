"""``headstart export``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.cli import output
from headstart.cli.progress import current_progress

if TYPE_CHECKING:
    from headstart.exporting.export import Export


@click.command(epilog="Example: headstart export runs/photos --to litert,litert:int8")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    metavar="A,B,…",
    help="Of onnx, litert, litert:float16, litert:int8, openvino, saved-model, keras.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder that a folder for each format goes into; default: RUN/exports.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per format and line.")
def export(run: Path, to: str, out: Path | None, as_json: bool) -> None:
    """Take a RUN elsewhere: to a phone, a browser, another program.

    Each export is run in its own runtime on examples that the run was not trained on. One that computes something else
    is an error, and then none is written. Beside each lie labels.txt and a predict.py that needs no headstart.
    """
    from headstart.exporting.export import export as export_run

    exports = export_run(run, to, out=out, progress=current_progress())
    if as_json:
        for one in exports:
            output.result_json(one.to_json())
        return
    tell(exports)


def tell(exports: "Sequence[Export]") -> None:
    """How each export compares with its run, and where it is."""
    metric = exports[0].replay.metric.replace("_", " ")
    rows = []
    for one in exports:
        replay = one.replay
        row = [one.format, f"{one.size_mb:.1f}", f"{replay.ms:.1f}", f"{replay.difference:.0e}"]
        if replay.before is not None and replay.after is not None:
            row += [f"{replay.before:.1%}", _with_interval(replay.after, replay.interval), f"{replay.changed:,}"]
        rows.append(row + ["–"] * (7 - len(row)))
    n = exports[0].replay.examples
    unit = "ms" if n else "ms (golden)"
    header = ["format", "MB", unit, "difference", f"{metric} before", "after (95 % interval)", f"changed of {n:,}"]
    output.table(header, rows, right=(1, 2, 3, 4, 6))
    for one in exports:
        output.result(f"{one.format.ljust(15)} {one.folder}")


def _with_interval(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.1%}" + (f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else "")
