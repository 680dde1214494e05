"""What all pages share: the place, the jobs, and how a page is made and a form is read."""

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
from headstart.ui.place import NotThereError, Place
from headstart.ui.servers import Servers
from headstart.ui.templating import open_template

_MAX_FORM_BYTES = 1 << 20


@dataclass
class Site:
    """One server's state.

    Attributes:
        place: what it may see.
        jobs: what it does.
        servers: of runs, which it started.
        max_upload_mb: of one upload.
    """

    place: Place
    jobs: Jobs
    servers: Servers
    max_upload_mb: int

    def run(self, request: Request) -> Path:
        """The folder of the run that an address names.

        Raises:
            NotThereError: there is no such run.
            InputError: something in it leads outside.
        """
        return self.place.run(request.path_params["run"])

    async def submit(self, kind: str, arguments: dict[str, Any], **told: Any) -> Response:
        """Begin a job, see :meth:`headstart.ui.jobs.Jobs.add`, and show it."""
        job = await run_in_threadpool(lambda: self.jobs.add(kind, arguments, **told))
        return go_to(f"/jobs/{job.id}")

    def clean(self) -> None:
        """Remove what nobody needs any more."""
        self.jobs.tidy()
        self.place.clean(self._used_uploads())

    def _used_uploads(self) -> set[Path]:
        """Folders of uploads that a run was trained on, or a training that is not done needs."""
        uploads, root = self.place.uploads, self.place.root
        unfinished = [job for job in self.jobs.all() if job.kind == "train" and job.status != "done"]
        paths = [root / job.told["data"] for job in unfinished]
        for name in self.place.run_names():
            with contextlib.suppress(HeadstartError):  # a damaged run.json names nothing
                paths.append(root / read_facts(self.place.run(name)).data_root)
        return {uploads / path.relative_to(uploads).parts[0] for path in paths if path.is_relative_to(uploads)}


def plain(text: str, place: Place) -> str:
    """A message that was written for a terminal, as the page shows it: paths begin at the root."""
    if re.match(r"[a-z-]+ ", text):
        text = text[0].upper() + text[1:]
    return text.replace(f"{place.root}{os.sep}", "")


def error_text(exc: HeadstartError, place: Place) -> str:
    """What an error says, with settings called as the forms of the page call them."""
    return plain(exc.render(spell_label), place)


def page(template: str, code: int = 200, **content: Any) -> HTMLResponse:
    """A page, or a part of one."""
    text = open_template(template).render(**content)
    return HTMLResponse(text.encode("utf-8", errors="replace"), code)


def go_to(address: str) -> Response:
    """Send the browser to another page."""
    return RedirectResponse(address, 303)


async def body(request: Request, most: int) -> bytes:
    """The body of a request.

    Raises:
        InputError: it is larger than ``most`` bytes.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise InputError(f"that is too large: at most {most / 1e6:g} MB are taken.")
        parts.append(part)
    return b"".join(parts)


async def form(request: Request) -> QueryParams:
    """The fields of a form; of some there may be several."""
    return QueryParams((await body(request, _MAX_FORM_BYTES)).decode("utf-8", "replace"))


async def failed(request: Request, exc: Exception) -> Response:
    """The page for an error that headstart raised on purpose; a short text for what script asked for."""
    place = request.app.state.place
    message = error_text(exc, place) if isinstance(exc, HeadstartError) else plain(str(exc), place)
    code = 404 if isinstance(exc, NotThereError) else 422
    if request.headers.get("x-part"):
        return Response(message, code, media_type="text/plain; charset=utf-8")
    return await run_in_threadpool(page, "error", code, message=message)
