"""``headstart ui``."""

import sys
from pathlib import Path

import click

from headstart.cli import output
from headstart.errors import InputError
from headstart.system.extras import require


@click.command(epilog="Example: headstart ui --root my-data/")
@click.option(
    "--root",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder with your data. Files outside it are never read.",
)
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of runs, inside the root.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=7860,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port; 0 chooses a free one.",
)
@click.option(
    "--token",
    envvar="HEADSTART_TOKEN",
    help="Token that the page asks for once. Required with a --host that other machines reach.",
)
@click.option(
    "--max-upload-mb", default=2048, show_default=True, type=click.IntRange(min=1), metavar="MB",
    help="Largest upload in MB, unpacked.",
)  # fmt: skip
@click.option("--open/--no-open", "open_browser", default=True, help="Open the page in your browser. [default: open]")
def ui(root: Path, runs: Path, host: str, port: int, token: str | None, max_upload_mb: int, open_browser: bool) -> None:
    """Start the web UI: add data, check it, train, review, correct labels, try the model, export it.

    The page can be reached from this machine only, unless you set --host. It loads nothing from the network. Training
    runs in separate processes, which can be stopped and resumed.
    """
    for module in ("starlette", "uvicorn"):
        require(module, extra="ui", purpose="headstart ui")
    from headstart.system.addresses import is_loopback
    from headstart.ui.app import serve
    from headstart.ui.root_folder import RootFolder

    if not is_loopback(host) and not token:
        raise InputError(
            f"--host {host} can be reached from other machines: set a token, in HEADSTART_TOKEN or with --token. "
            "In the environment, other users of this machine cannot see it."
        )
    serve(
        RootFolder(root, runs),
        host=host,
        port=port,
        token=token,
        max_upload_mb=max_upload_mb,
        open_browser=open_browser,
        on_start=_print_address,
    )


def _print_address(address: str) -> None:
    output.result(f"headstart runs at {address} (Ctrl-C stops it)")
    sys.stdout.flush()
