"""``headstart extend``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headstart.cli import output
from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.cli.tracking import tracking_options
from headstart.cli.train import print_result
from headstart.config.commands import EXTEND
from headstart.errors import counted

if TYPE_CHECKING:
    from headstart.runs.run import RunFolder
    from headstart.runs.schema import ClassChangeFacts


@click.command(cls=SettingCommand, epilog="Example: headstart extend runs/photos more/")
@click.argument("run", type=click.Path(path_type=str))
@click.argument("more", type=click.Path(path_type=str))
@setting_options(EXTEND)
@bundle_option
@click.option("--name", help="Name of the new run. Default: that of RUN, with a number.")
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), help="Folder of runs. Default: that of RUN.")
@tracking_options
def extend(**options: Any) -> None:
    """Add classes, or examples of known classes, to a finished run.

    MORE is data in any form that `headstart train` takes; one class is enough. RUN does not change: the result is a new
    run. The old examples stay in their splits, so every old class is evaluated on the same examples before and after.
    """
    from headstart.commands.extend import extend

    run = extend(options.pop("run"), options.pop("more"), **options, progress=current_progress())
    print_change(run)
    print_result(run)


def print_change(run: "RunFolder") -> None:
    """Print how the recall of the old classes changed, and the recall of the new ones."""
    noun, cost, change = run.facts.modality.noun, run.facts.cost, run.facts.change
    if cost is not None:
        cached, total = cost.examples_from_cache or 0, (cost.examples_from_cache or 0) + (cost.examples_computed or 0)
        output.result(f"features of {cached:,} of {counted(total, noun)} came from the cache")
    if change is None:
        output.result("the change of the old classes cannot be measured: no old example was held out")
        return
    output.result(change.verdict)
    rows = [_change_row(of_class) for of_class in change.classes]
    figures = run.figures.headline_figures
    added = {name: figures.per_class[name] for name in change.added_classes} if figures else {}
    for name, new in added.items():
        share = _share((new.recall.value, new.recall.low, new.recall.high))
        rows.append([name, f"{new.support:,}", "", share, "", "", "", "new"])
    header = ["class", noun + "s", "recall before", "recall after", "fixed", "regressed", "p", ""]
    output.table(header, rows, right=range(1, 7))


def _change_row(change: "ClassChangeFacts") -> list[str]:
    confusion = f"{change.n_confused:,} now predicted as {change.confused_with}" if change.confused_with else ""
    return [
        change.name,
        f"{change.examples:,}",
        _share(change.before),
        _share(change.after),
        f"{change.fixed:,}",
        f"{change.regressed:,}",
        f"{change.p_value:.2g}",
        ", ".join(filter(None, [change.outcome, confusion])),
    ]


def _share(share: "tuple[float | None, float | None, float | None] | None") -> str:
    if share is None or share[0] is None:
        return "–"
    value, low, high = share
    return f"{value:.1%}" + ("" if low is None else f" ({low:.1%}–{high:.1%})")
