"""What all pages share: the place, the jobs, and how a page is made and a form is read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from headstart.errors import InputError
from headstart.report import open_template
from headstart.ui.jobs import Jobs
from headstart.ui.place import Place
from headstart.ui.uploads import Upload

_MAX_FORM_BYTES = 1 << 20


@dataclass
class Site:
    """One server's state.

    Attributes:
        place: what it may see.
        jobs: what it does.
        max_upload_mb: of one upload.
        uploads: those on their way, by the names of their folders.
    """

    place: Place
    jobs: Jobs
    max_upload_mb: int
    uploads: dict[str, Upload] = field(default_factory=dict)

    def used_uploads(self) -> set[Any]:
        """Folders of uploads that a job or a run needs."""
        from headstart.predict import read_facts

        data = [job.told["data"] for job in self.jobs.all() if job.told["data"]]
        paths = [self.place.root / path for path in data]
        for name in self.place.run_names():
            root = (read_facts(self.place.run(name)).get("data") or {}).get("root")
            paths += [self.place.root / root] if root else []
        uploads = self.place.uploads
        return {uploads / path.relative_to(uploads).parts[0] for path in paths if path.is_relative_to(uploads)}


def page(template: str, status: int = 200, **content: Any) -> HTMLResponse:
    """A page, or a part of one."""
    text = open_template(f"ui/{template}.html.j2").render(quoted=quote, **content)
    return HTMLResponse(text.encode("utf-8", errors="replace"), status)


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
            raise InputError(f"that is too large: at most {most >> 20} MB are taken.")
        parts.append(part)
    return b"".join(parts)


async def form(request: Request) -> dict[str, str]:
    """The fields of a form that are filled in."""
    text = (await body(request, _MAX_FORM_BYTES)).decode("utf-8", "replace")
    return dict(parse_qsl(text))


async def stream(request: Request) -> AsyncIterator[bytes]:
    """The body of a request, block by block."""
    async for part in request.stream():
        yield part


async def failed(request: Request, exc: Exception) -> Response:
    """The page for an error that headstart raised on purpose; a short text for what script asked for."""
    if request.headers.get("x-part"):
        return Response(str(exc), 422, media_type="text/plain; charset=utf-8")
    return await run_in_threadpool(page, "error", 422, message=str(exc))
