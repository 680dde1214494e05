"""``headstart cache``."""

import time

import click

from headstart.cli import output

_MB = 1e6


@click.command(epilog="Example: headstart cache --clear --older-than 30")
@click.option("--clear", is_flag=True, help="Remove everything that is not in use.")
@click.option("--older-than", metavar="DAYS", type=float, default=0, help="With --clear: only what is as old as that.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def cache(clear: bool, older_than: float, as_json: bool) -> None:
    """Show what the cache holds, or make room.

    Everything in it can be computed again. HEADSTART_CACHE says where it is.
    """
    from headstart.commands import cache as contents
    from headstart.system.settings import cache_folder

    if older_than and not clear:
        raise click.UsageError("--older-than goes with --clear.")
    if clear:
        removed, kept = contents.clear(older_than_days=older_than)
        if as_json:
            output.result_json({"removed": [str(item.path) for item in removed], "kept": [str(i.path) for i in kept]})
            return
        output.result(f"{sum(item.size for item in removed) / _MB:,.0f} MB removed from {cache_folder()}")
        if kept:
            output.warn(f"kept, because a process is at work on them: {', '.join(str(item.path) for item in kept)}")
        return
    found = contents.items()
    if as_json:
        output.result_json(
            [{"kind": i.kind, "path": str(i.path), "bytes": i.size, "used": round(i.used)} for i in found]
        )
        return
    rows = []
    for kind, what in contents.KINDS.items():
        mine = [item for item in found if item.kind == kind]
        used = time.strftime("%Y-%m-%d", time.localtime(max(item.used for item in mine))) if mine else "–"
        rows.append((kind, what, f"{len(mine):,}", f"{sum(item.size for item in mine) / _MB:,.1f}", used))
    output.table(("", "", "number", "MB", "last used"), rows, right=(2, 3))
    output.result(f"\n{cache_folder()}")
