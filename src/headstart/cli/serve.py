"""``headstart serve``."""

import click

from headstart.serving import MODULES
from headstart.serving.limits import Limits
from headstart.system.extras import require

_DEFAULTS = Limits()


@click.command(epilog="Example: headstart serve runs/photos runs/reviews --port 8000")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; other addresses need a token."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes a free port.",
)
@click.option(
    "--token",
    envvar="HEADSTART_TOKEN",
    help="Clients must send it as `Authorization: Bearer TOKEN`. It is safer in the variable HEADSTART_TOKEN, because "
    "the process list shows options to all users.",
)
@click.option(
    "--max-mb",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MB",
    default=_DEFAULTS.request_mb,
    show_default=True,
    help="Maximum size of one request.",
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MP",
    default=_DEFAULTS.megapixels,
    show_default=True,
    help="Maximum size of one image.",
)
@click.option(
    "--max-items",
    type=click.IntRange(min=1),
    metavar="N",
    default=_DEFAULTS.items,
    show_default=True,
    help="Maximum number of images or texts in one request.",
)
@click.option(
    "--queue",
    type=click.IntRange(min=1),
    metavar="N",
    default=_DEFAULTS.queue,
    show_default=True,
    help="Maximum number of images or texts that wait for one run; then the status is 503.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=_DEFAULTS.timeout_s,
    show_default=True,
    metavar="SECONDS",
    help="Time limit for a request to arrive, and again for its answer.",
)
@click.option(
    "--root-path", default="", metavar="PREFIX", help="Prefix of the addresses at a proxy in front, such as /vision."
)
def serve(
    runs: tuple[str, ...],
    host: str,
    port: int,
    token: str | None,
    max_mb: float,
    max_megapixels: float,
    max_items: int,
    queue: int,
    timeout: float,
    root_path: str,
) -> None:
    """Serve predictions of one or several runs over HTTP. NAME=RUN gives a run another name than its folder.

    POST images or texts to /predict, or to /predict/NAME. /docs describes the API. If a run is replaced, the server
    opens the new version while requests go on (immediately on SIGHUP). SIGTERM answers the current requests and ends.
    """
    for module in MODULES:
        require(module, extra="serve", purpose="headstart serve")
    from headstart.serving.runs import named_folders
    from headstart.serving.server import serve as serve_runs

    if max_items > queue:
        raise click.UsageError(
            f"--max-items {max_items} is more than --queue {queue}: such a request could never be accepted"
        )
    serve_runs(
        named_folders(runs),
        host=host,
        port=port,
        token=token,
        limits=Limits(max_mb, max_megapixels, max_items, queue, timeout),
        root_path=root_path,
    )
