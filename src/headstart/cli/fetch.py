"""``headstart fetch``, and the option ``--bundle`` of the commands that load bases."""

import os
import shlex
from pathlib import Path

import click

from headstart.cli import output
from headstart.cli.progress import current_progress

_MB = 1e6


def _use(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        os.environ["HEADSTART_BUNDLE"] = value


bundle_option = click.option(
    "--bundle",
    metavar="FOLDER",
    expose_value=False,
    callback=_use,
    help="Take bases from what `headstart fetch --to FOLDER` made, without network (also: HEADSTART_BUNDLE).",
)


@click.command(epilog="Example: headstart fetch keras:Xception hf:sentence-transformers/all-MiniLM-L6-v2 --to bundle/")
@click.argument("handles", metavar="HANDLE…", nargs=-1, required=True)
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy them into this bundle, which is made or added to.",
)
@click.option("--input-size", type=int, metavar="PIXELS", help="Of bases that come in several, or take any.")
def fetch(handles: tuple[str, ...], to: Path | None, input_size: int | None) -> None:
    """Get bases before they are needed.

    They go where their sources keep them, so that `--offline` works from then on. With --to, all files that they need
    are copied into a folder as well, with a manifest of sizes, digests and licences. Take it to any machine, and
    `headstart train DATA --base HANDLE --bundle FOLDER` needs no network there.
    """
    from headstart.commands.fetch import fetch as fetch_bases

    os.environ.pop("HEADSTART_BUNDLE", None)  # it would answer in place of the sources
    fetched = fetch_bases(handles, to=to, input_size=input_size, progress=current_progress())
    rows = [
        (base.handle, f"{base.size / _MB:,.1f}", base.licence, str(base.folder) if to is None else str(to))
        for base in fetched
    ]
    output.table(("base", "MB", "licence", "where"), rows, right=(1,))
    if to is not None:
        handle, folder = shlex.quote(fetched[0].handle), shlex.quote(str(to))
        output.note(f"Use it with: headstart train DATA --base {handle} --bundle {folder}")
