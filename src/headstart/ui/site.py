"""The parts that all pages share: state of the server, rendering of pages, reading of forms."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from headstart.errors import HeadstartError, InputError
from headstart.runs.files import read_facts
from headstart.ui.jobs import Jobs
from headstart.ui.labels import spell_label
from headstart.ui.root_folder import NotFoundError, RootFolder
from headstart.ui.servers import Servers
from headstart.ui.templating import open_template

_MAX_FORM_BYTES = 1 << 20


@dataclass
class Site:
    """State of the server.

    Attributes:
        root_folder: the folder that it may read.
        jobs: trainings, audits and exports.
        servers: HTTP servers of runs.
        max_upload_mb: largest size of one upload.
    """

    root_folder: RootFolder
    jobs: Jobs
    servers: Servers
    max_upload_mb: int

    def run(self, request: Request) -> Path:
        """The folder of the run that an address names.

        Raises:
            NotFoundError: no run has this name.
            InputError: a link in the folder leads outside the root.
        """
        return self.root_folder.run(request.path_params["run"])

    async def submit(self, kind: str, arguments: dict[str, Any], **more: Any) -> Response:
        """Start a job, see :meth:`headstart.ui.jobs.Jobs.add`, and show it."""
        job = await run_in_threadpool(lambda: self.jobs.add(kind, arguments, **more))
        return go_to(f"/jobs/{job.id}")

    def clean(self) -> None:
        """Remove old jobs and unused files."""
        self.jobs.clean()
        self.root_folder.clean(self._used_uploads())

    def _used_uploads(self) -> set[Path]:
        """Folders of uploads that a run or an unfinished training uses."""
        uploads, root = self.root_folder.uploads, self.root_folder.root
        unfinished = [job for job in self.jobs.all() if job.kind == "train" and job.status != "done"]
        paths = [root / job.description["data"] for job in unfinished]
        for name in self.root_folder.run_names():
            with contextlib.suppress(HeadstartError):  # a damaged run uses no upload
                paths.append(root / read_facts(self.root_folder.run(name)).data_root)
        return {uploads / path.relative_to(uploads).parts[0] for path in paths if path.is_relative_to(uploads)}


def plain(text: str, root_folder: RootFolder) -> str:
    """A message as the page shows it: with a capital letter and paths relative to the root."""
    if re.match(r"[a-z-]+ ", text):
        text = text[0].upper() + text[1:]
    return text.replace(f"{root_folder.root}{os.sep}", "")


def error_text(exc: HeadstartError, root_folder: RootFolder) -> str:
    """The message of an error, with the labels of settings."""
    return plain(exc.render(spell_label), root_folder)


def page(template: str, code: int = 200, **content: Any) -> HTMLResponse:
    """A page, or a part of one."""
    text = open_template(template).render(**content)
    return HTMLResponse(text.encode("utf-8", errors="replace"), code)


def go_to(address: str) -> Response:
    """Send the browser to another page."""
    return RedirectResponse(address, 303)


async def body(request: Request, max_bytes: int) -> bytes:
    """The body of a request.

    Raises:
        InputError: it is larger than ``max_bytes``.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise InputError(f"too large: the limit is {max_bytes / 1e6:g} MB.")
        parts.append(part)
    return b"".join(parts)


async def form(request: Request) -> QueryParams:
    """The fields of a form."""
    return QueryParams((await body(request, _MAX_FORM_BYTES)).decode("utf-8", "replace"))


async def show_error(request: Request, exc: Exception) -> Response:
    """The response to an error: a page, or plain text for a request of the script."""
    root_folder = request.app.state.root_folder
    message = error_text(exc, root_folder) if isinstance(exc, HeadstartError) else plain(str(exc), root_folder)
    code = 404 if isinstance(exc, NotFoundError) else 422
    if request.headers.get("x-part"):
        return Response(message, code, media_type="text/plain; charset=utf-8")
    return await run_in_threadpool(page, "error", code, message=message)
