"""``headstart ui``."""

import sys
from pathlib import Path

import click

from headstart.cli import output
from headstart.errors import InputError
from headstart.system.extras import require


@click.command(epilog="Example: headstart ui --root photos-of-mine/")
@click.option(
    "--root",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder with your data; nothing outside of it is read.",
)
@click.option(
    "--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Folder for runs, in the root."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=7860, show_default=True, help="0 takes a free one.")
@click.option(
    "--token", envvar="HEADSTART_TOKEN", help="Asked for once by the page; needed for a --host beyond this machine."
)
@click.option("--max-upload-mb", default=2048, show_default=True, help="Of one upload, unpacked.")
@click.option("--open/--no-open", "opened", default=True, help="Open the page in your browser.")
def ui(root: Path, runs: Path, host: str, port: int, token: str | None, max_upload_mb: int, opened: bool) -> None:
    """Do all of it on a page in the browser: bring data, check them, train, look, mend, try, export.

    The page is for this machine only, unless you name another --host. It fetches nothing from the network, and what it
    trains runs in processes of their own, which can be stopped and resumed.
    """
    for module in ("starlette", "uvicorn"):
        require(module, extra="ui", purpose="headstart ui")
    from headstart.system.addresses import is_loopback
    from headstart.ui.app import serve
    from headstart.ui.place import Place

    if not is_loopback(host) and not token:
        raise InputError(
            f"--host {host} is reached from other machines: give a --token that the page is to ask for, better by the "
            "environment (HEADSTART_TOKEN), where others on this machine cannot see it."
        )
    serve(
        Place(root, runs), host=host, port=port, token=token, max_upload_mb=max_upload_mb, opened=opened,
        announce=_announce,
    )  # fmt: skip


def _announce(address: str) -> None:
    output.result(f"headstart is at {address} (Ctrl-C ends it)")
    sys.stdout.flush()
