"""``headstart cache``."""

import time
from typing import TYPE_CHECKING

import click

from headstart.cli import output

if TYPE_CHECKING:
    from headstart.commands.cache import Item


@click.command(epilog="Example: headstart cache --clear --older-than 30")
@click.option("--clear", is_flag=True, help="Remove everything that no process uses.")
@click.option(
    "--older-than",
    metavar="DAYS",
    type=float,
    default=0,
    help="With --clear: only entries that were not used for DAYS days.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cache(clear: bool, older_than: float, as_json: bool) -> None:
    """Show or clear the cache.

    Everything in the cache can be computed again. HEADSTART_CACHE sets its folder.
    """
    from headstart.commands import cache as contents
    from headstart.system.settings import cache_folder

    if older_than and not clear:
        raise click.UsageError("--older-than needs --clear.")
    if clear:
        _clear(older_than, as_json=as_json)
        return
    items = contents.items()
    if as_json:
        output.result_json(
            [{"kind": i.kind, "path": str(i.path), "bytes": i.size, "used": round(i.used)} for i in items]
        )
        return
    rows = []
    for kind, description in contents.KINDS.items():
        of_kind = [item for item in items if item.kind == kind]
        used = time.strftime("%Y-%m-%d", time.localtime(max(item.used for item in of_kind))) if of_kind else "–"
        rows.append((kind, description, f"{len(of_kind):,}", f"{_megabytes(of_kind):,.1f}", used))
    output.table(("kind", "content", "number", "MB", "last used"), rows, right=(2, 3))
    output.result(f"\n{cache_folder()}")


def _clear(older_than: float, *, as_json: bool) -> None:
    """Remove what no process uses, and print what was removed."""
    from headstart.commands import cache as contents
    from headstart.system.settings import cache_folder

    removed_items, used_items = contents.clear(older_than=older_than)
    removed_paths, used_paths = ([str(item.path) for item in items] for items in (removed_items, used_items))
    if as_json:
        output.result_json({"removed": removed_paths, "kept": used_paths})
        return
    output.result(f"{_megabytes(removed_items):,.0f} MB removed from {cache_folder()}")
    if used_paths:
        output.warn(f"not removed, because a process uses them: {', '.join(used_paths)}")


def _megabytes(items: "list[Item]") -> float:
    return sum(item.size for item in items) / 1e6
