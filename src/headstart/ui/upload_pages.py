"""Uploads: begun, received file by file, finished or abandoned; and removed."""

import shutil

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headstart.errors import InputError
from headstart.ui.place import NotThereError
from headstart.ui.site import Site, form, go_to
from headstart.ui.uploads import Upload


class UploadPages:
    """What the script of the page calls to bring files here.

    Args:
        site: that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: dict[str, Upload] = {}

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/uploads", self.begin, methods=["POST"]),
            Route("/uploads/{upload}/finish", self.finish, methods=["POST"]),
            Route("/uploads/{upload}", self.abandon, methods=["DELETE"]),
            Route("/uploads/{upload}/{path:path}", self.receive, methods=["PUT"]),
            Route("/data/remove", self.remove, methods=["POST"]),
        ]

    async def begin(self, request: Request) -> Response:
        """A new upload; gives its name."""
        name = (await form(request)).get("name", "")
        upload = await run_in_threadpool(Upload.begin, self._site.place, name, self._site.max_upload_mb)
        self._open[upload.folder.name] = upload
        return JSONResponse({"upload": upload.folder.name})

    async def receive(self, request: Request) -> Response:
        """One file, as the body of the request."""
        name = request.path_params["upload"]
        if name not in self._open:
            raise NotThereError("that upload is over, or was never begun.")
        await self._open[name].receive(request.path_params["path"], request.stream())
        return Response(status_code=204)

    async def finish(self, request: Request) -> Response:
        """All of it is here; gives the path of the data in it."""
        upload = self._end(request)
        try:
            data = await run_in_threadpool(upload.finish)
        except InputError:
            await run_in_threadpool(upload.abandon)
            raise
        return JSONResponse({"data": self._site.place.told(data)})

    async def abandon(self, request: Request) -> Response:
        """Leave nothing of it."""
        await run_in_threadpool(self._end(request).abandon)
        return Response(status_code=204)

    async def remove(self, request: Request) -> Response:
        """Remove an upload that was finished."""
        path = self._site.place.inside((await form(request)).get("path", ""))
        uploads = self._site.place.uploads
        if not path.is_relative_to(uploads) or path == uploads:
            raise InputError("only what was uploaded can be removed here.")
        await run_in_threadpool(shutil.rmtree, uploads / path.relative_to(uploads).parts[0])
        return go_to("/new")

    def _end(self, request: Request) -> Upload:
        upload = self._open.pop(request.path_params["upload"], None)
        if upload is None:
            raise NotThereError("that upload is over, or was never begun.")
        return upload
