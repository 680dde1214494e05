"""``headstart serve``."""

import click

from headstart.serving import MODULES
from headstart.serving.limits import Limits
from headstart.system.extras import require

_MOST = Limits()


@click.command(epilog="Example: headstart serve runs/photos runs/reviews --port 8000")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need a token.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes one that is free."
)
@click.option(
    "--token",
    envvar="HEADSTART_TOKEN",
    help="What clients have to send as `Authorization: Bearer TOKEN`. Better set as HEADSTART_TOKEN: the process list "
    "shows options to everyone.",
)
@click.option(
    "--max-mb",
    type=click.FloatRange(min=0, min_open=True),
    default=_MOST.request_mb,
    show_default=True,
    help="Of one request.",
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(min=0, min_open=True),
    default=_MOST.megapixels,
    show_default=True,
    help="Of one picture.",
)
@click.option(
    "--max-items",
    type=click.IntRange(min=1),
    default=_MOST.items,
    show_default=True,
    help="Pictures or texts in one request.",
)
@click.option(
    "--queue",
    type=click.IntRange(min=1),
    default=_MOST.queue,
    show_default=True,
    help="Pictures or texts that wait for the answer of one run; beyond it the answer is 503.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=_MOST.timeout_s,
    show_default=True,
    metavar="SECONDS",
    help="For a request to arrive, and again for its answer.",
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
) -> None:
    """Answer over HTTP with one RUN or several, each under its folder's name, or as NAME=RUN.

    POST pictures or texts to /predict, or to /predict/NAME. /docs describes everything. A run that is replaced by a
    newer one is opened anew while requests go on (at once on SIGHUP). SIGTERM ends when all is answered.
    """
    for module in MODULES:
        require(module, extra="serve", purpose="headstart serve")
    from headstart.serving.runs import named_folders
    from headstart.serving.server import serve as serve_runs

    if max_items > queue:
        raise click.UsageError(f"--max-items {max_items} is more than --queue {queue}: such a request never has room")
    serve_runs(
        named_folders(runs),
        host=host,
        port=port,
        token=token,
        limits=Limits(max_mb, max_megapixels, max_items, queue, timeout),
    )
