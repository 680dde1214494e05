"""``headstart export``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.cli import output
from headstart.cli.progress import current_progress

if TYPE_CHECKING:
    from headstart.exporting.export import Export, Replay


@click.command(epilog="Example: headstart export runs/photos --to litert,litert:int8")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    metavar="A,B,…",
    help="Formats: onnx, onnx:nms, litert, litert:float16, litert:int8, openvino, saved-model, keras.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the exports, one subfolder per format; default: RUN/exports.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def export(run: Path, to: str, out: Path | None, as_json: bool) -> None:
    """Export a trained model: for phones, browsers and other programs.

    Each export is verified in its own runtime on examples that the run was not trained on. If one format fails, none is
    written. Each folder also has labels.txt and a predict.py that does not need headstart.
    """
    from headstart.commands.export import export as export_run

    exports = export_run(run, to, out=out, progress=current_progress())
    if as_json:
        for result in exports:
            output.result_json(result.to_json())
        return
    print_exports(exports)


def print_exports(exports: "Sequence[Export]") -> None:
    """Print how each export compares with its run, and its folder."""
    rows = []
    for result in exports:
        replay = result.replay
        row = [result.format, f"{result.size_mb:.1f}", f"{replay.ms:.1f}", f"{replay.difference:.0e}"]
        if replay.before is not None and replay.after is not None:
            row += [_figure(replay, replay.before), _with_interval(replay), f"{replay.changed:,}"]
        rows.append(row + ["–"] * (7 - len(row)))
    n = exports[0].replay.examples
    time_header = "ms" if n else "ms (golden)"
    header = [
        "format",
        "MB",
        time_header,
        "difference",
        f"{exports[0].replay.metric} before",
        "after (95 % interval)",
        f"changed of {n:,}",
    ]
    output.table(header, rows, right=(1, 2, 3, 4, 6), less_important=(2, 3))
    for result in exports:
        output.result(f"{result.format.ljust(15)} {result.folder}")


def _figure(replay: "Replay", value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}" if replay.is_share else f"{value:.3f}"


def _with_interval(replay: "Replay") -> str:
    low, high = replay.interval or (None, None)
    bounds = [_figure(replay, bound).rstrip("%") for bound in (low, high)]
    interval = f" ({bounds[0]} to {bounds[1]})" if replay.interval else ""
    return _figure(replay, replay.after) + interval
