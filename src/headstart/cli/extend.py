"""``headstart extend``."""

from pathlib import Path
from typing import Any

import click

from headstart.cli import output
from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.cli.tracking import tracking_options
from headstart.cli.train import tell
from headstart.config.commands import EXTEND
from headstart.data.readers import NOUNS
from headstart.errors import counted


@click.command(cls=SettingCommand, epilog="Example: headstart extend runs/photos more/")
@click.argument("run", type=click.Path(path_type=str))
@click.argument("more", type=click.Path(path_type=str))
@setting_options(EXTEND)
@bundle_option
@click.option("--name", help="Name of the new run. Default: that of RUN, with a number.")
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), help="Folder for it. Default: that of RUN.")
@tracking_options
def extend(**options: Any) -> None:
    """Add classes, or examples of old ones, to a finished run.

    MORE is whatever `headstart train` takes; one class is enough. RUN is left as it is; what comes out is a run of its
    own. The old examples stay on their side of the division, so every old class is judged on the same ones before and
    after.
    """
    from headstart.commands.extend import extend

    run = extend(options.pop("run"), options.pop("more"), **options, progress=current_progress())
    tell_change(run)
    tell(run)


def tell_change(run: Any) -> None:
    """Say what became of every old class, and how good the new ones are."""
    noun, cost, change = NOUNS[run.facts["base"]["modality"]], run.facts["cost"], run.facts.get("change")
    total = cost["examples_from_cache"] + cost["examples_computed"]
    output.result(f"features of {cost['examples_from_cache']:,} of {counted(total, noun)} came from the cache")
    if change is None:
        output.result("nothing of the old examples was held out, so nothing can be said of how the old classes changed")
        return
    output.result(change["verdict"])
    rows = [[*_before_and_after(one), _remark(one)] for one in change["classes"]]
    new = run.figures["splits"][run.figures["headline"]]["per_class"]
    for name in change["added"]:
        recall = new[name]["recall"]
        share = _share([recall["value"], recall["low"], recall["high"]])
        rows.append([name, f"{new[name]['support']:,}", "", share, "", "", "", "new"])
    header = ["class", noun + "s", "recall before", "recall after", "mended", "broken", "p", ""]
    output.table(header, rows, right=range(1, 7))


def _before_and_after(one: dict[str, Any]) -> list[str]:
    shares = [_share(one[when]) for when in ("before", "after")]
    return [
        one["name"],
        f"{one['examples']:,}",
        *shares,
        f"{one['mended']:,}",
        f"{one['broken']:,}",
        f"{one['p_value']:.2g}",
    ]


def _remark(one: dict[str, Any]) -> str:
    parts = [one["outcome"], f"{one['taken']:,} now taken for {one['taken_for']}" if one["taken_for"] else ""]
    return ", ".join(filter(None, parts))


def _share(share: list[float | None] | None) -> str:
    if not share or share[0] is None:
        return "–"
    value, low, high = share
    return f"{value:.1%}" + ("" if low is None else f" ({low:.1%}–{high:.1%})")
