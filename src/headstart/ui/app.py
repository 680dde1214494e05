"""The application with its pages and its script, and the server that runs it."""

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
from headstart.reports.page import BOX_SCRIPT
from headstart.system.addresses import is_loopback
from headstart.ui.data_pages import DataPages
from headstart.ui.export_pages import ExportPages
from headstart.ui.guard import guards
from headstart.ui.job_pages import JobPages
from headstart.ui.jobs import Jobs
from headstart.ui.root_folder import RootFolder
from headstart.ui.run_pages import RunPages
from headstart.ui.servers import Servers
from headstart.ui.site import Site, page, show_error
from headstart.ui.templating import SCRIPT
from headstart.ui.upload_pages import UploadPages


def build(
    root_folder: RootFolder, *, max_upload_mb: int, token: str | None = None, loopback_only: bool = True
) -> Starlette:
    """The application.

    Args:
        root_folder: the folder that it may read.
        max_upload_mb: largest size of one upload.
        token: that a browser sends once.
        loopback_only: whether requests must name this machine as their host.
    """
    site = Site(root_folder, Jobs(root_folder), Servers(root_folder.scratch), max_upload_mb)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(site.clean)
        yield
        await run_in_threadpool(site.servers.stop_all)
        await run_in_threadpool(site.jobs.stop_all)
        await run_in_threadpool(site.clean)

    def script(request: Request) -> Response:
        path = {"ui.js": SCRIPT, "boxes.js": BOX_SCRIPT}[request.url.path[1:]]
        return FileResponse(path, media_type="text/javascript; charset=utf-8")

    async def not_found(request: Request, exc: Exception) -> Response:
        return await run_in_threadpool(page, "error", 404, message="This page does not exist.")

    pages = [Pages(site) for Pages in (RunPages, DataPages, UploadPages, JobPages, ExportPages)]
    app = Starlette(
        routes=[
            Route("/ui.js", script),
            Route("/boxes.js", script),
            *(route for group in pages for route in group.routes()),
        ],
        lifespan=lifespan,
        middleware=guards(token, loopback_only=loopback_only),
        exception_handlers={HeadstartError: show_error, 404: not_found},
    )
    app.state.root_folder = root_folder
    return app


def serve(
    root_folder: RootFolder,
    *,
    host: str,
    port: int,
    token: str | None,
    max_upload_mb: int,
    open_browser: bool,
    on_start: Callable[[str], None],
) -> None:
    """Serve until Ctrl-C.

    Args:
        root_folder: the folder that it may read.
        host: address to listen on.
        port: to listen on; 0 chooses a free one.
        token: that a browser sends once; needed if ``host`` can be reached from other machines.
        max_upload_mb: largest size of one upload.
        open_browser: whether to open the page in the user's browser.
        on_start: called with the address when the server listens.
    """
    os.environ["HEADSTART_ROOT"] = str(root_folder.root)  # for this process and its child processes
    app = build(root_folder, max_upload_mb=max_upload_mb, token=token, loopback_only=is_loopback(host))
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=3)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        _Server(config, open_browser=open_browser, on_start=on_start).run()


class _Server(uvicorn.Server):
    """Reports its address as soon as it listens."""

    def __init__(self, config: uvicorn.Config, *, open_browser: bool, on_start: Callable[[str], None]) -> None:
        super().__init__(config)
        self._open_browser, self._on_start = open_browser, on_start

    async def startup(self, sockets: list | None = None) -> None:
        await super().startup(sockets)
        if not self.servers:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._on_start(address)
        if self._open_browser:
            webbrowser.open(address)
