"""The application: its pages and its script, and the server that runs it."""

import contextlib
import os
import webbrowser
from collections.abc import AsyncIterator, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from headstart.errors import HeadstartError
from headstart.system.addresses import is_loopback
from headstart.ui.data_pages import DataPages
from headstart.ui.export_pages import ExportPages
from headstart.ui.guard import guards
from headstart.ui.job_pages import JobPages
from headstart.ui.jobs import Jobs
from headstart.ui.place import Place
from headstart.ui.run_pages import RunPages
from headstart.ui.servers import Servers
from headstart.ui.site import Site, failed, page
from headstart.ui.templating import SCRIPT
from headstart.ui.upload_pages import UploadPages


def build(place: Place, *, max_upload_mb: int, token: str | None = None, only_here: bool = True) -> Starlette:
    """The application.

    Args:
        place: what it may see.
        max_upload_mb: of one upload.
        token: what a browser has to show once.
        only_here: whether it is reached as this machine only.
    """
    site = Site(place, Jobs(place), Servers(place.scratch), max_upload_mb)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(site.clean)
        yield
        await run_in_threadpool(site.servers.stop_all)
        await run_in_threadpool(site.jobs.stop_all)
        await run_in_threadpool(site.clean)

    def script(request: Request) -> Response:
        return FileResponse(SCRIPT, media_type="text/javascript; charset=utf-8")

    async def not_found(request: Request, exc: Exception) -> Response:
        return await run_in_threadpool(page, "error", 404, message="There is no such page.")

    pages = [Pages(site) for Pages in (RunPages, DataPages, UploadPages, JobPages, ExportPages)]
    app = Starlette(
        routes=[Route("/ui.js", script), *(route for some in pages for route in some.routes())],
        lifespan=lifespan,
        middleware=guards(token, only_here=only_here),
        exception_handlers={HeadstartError: failed, 404: not_found},
    )
    app.state.place = place
    return app


def serve(
    place: Place,
    *,
    host: str,
    port: int,
    token: str | None,
    max_upload_mb: int,
    opened: bool,
    announce: Callable[[str], None],
) -> None:
    """Serve until Ctrl-C.

    Args:
        place: what it may see.
        host: to listen on.
        port: likewise; 0 takes a free one.
        token: what a browser has to show once; needed where ``host`` is reached from other machines.
        max_upload_mb: of one upload.
        opened: whether to open the page in the user's browser, if there is one.
        announce: is given the address when the server listens.
    """
    os.environ["HEADSTART_ROOT"] = str(place.root)  # for this process and every one that it starts
    app = build(place, max_upload_mb=max_upload_mb, token=token, only_here=is_loopback(host))
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=3)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        _Server(config, opened=opened, announce=announce).run()


class _Server(uvicorn.Server):
    """Says where it listens when it does."""

    def __init__(self, config: uvicorn.Config, *, opened: bool, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._opened, self._announce = opened, announce

    async def startup(self, sockets: list | None = None) -> None:
        await super().startup(sockets)
        if not self.servers:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._announce(address)
        if self._opened:
            webbrowser.open(address)
