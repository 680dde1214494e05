"""``headstart fetch``, and the option ``--bundle`` of all commands that load bases."""

import os
import shlex
from pathlib import Path

import click

from headstart.cli import output
from headstart.cli.progress import current_progress

_MB = 1e6


def _set_bundle(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        os.environ["HEADSTART_BUNDLE"] = value


bundle_option = click.option(
    "--bundle",
    metavar="FOLDER",
    expose_value=False,
    callback=_set_bundle,
    help="Load bases from this folder, made by `headstart fetch --to` (also: HEADSTART_BUNDLE).",
)


@click.command(epilog="Example: headstart fetch keras:Xception keras:MobileNetV2 --to bundle/")
@click.argument("handles", metavar="HANDLE…", nargs=-1, required=True)
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy the bases to this bundle, a folder for machines without network.",
)
@click.option(
    "--input-size",
    metavar="PIXELS|HxW",
    help="Input size, such as 192 or 192x256, for bases that have a choice.",
)
def fetch(handles: tuple[str, ...], to: Path | None, input_size: str | None) -> None:
    """Download bases for use without network.

    Bases are stored in the caches of their sources; then `--offline` works. With --to, all their files are also copied
    to a bundle, with a manifest of sizes, digests and licences. Copy the bundle to another machine:
    `headstart train DATA --base HANDLE --bundle FOLDER` needs no network there.
    """
    from headstart.commands.fetch import fetch as fetch_bases
    from headstart.config import InputConfig

    os.environ.pop("HEADSTART_BUNDLE", None)  # bases come from their sources, not from another bundle
    parsed_size = InputConfig(input_size=input_size).input_size  # type: ignore[arg-type]  # it parses text
    fetched = fetch_bases(handles, to=to, input_size=parsed_size, progress=current_progress())
    rows = [
        (base.handle, f"{base.size / _MB:,.1f}", base.licence, str(base.folder) if to is None else str(to))
        for base in fetched
    ]
    output.table(("base", "MB", "licence", "folder"), rows, right=(1,))
    if to is not None:
        handle, folder = shlex.quote(fetched[0].handle), shlex.quote(str(to))
        output.note(f"Use it with: headstart train DATA --base {handle} --bundle {folder}")
