"""Requests about uploads: start, receive a file, finish, cancel, remove."""

import shutil

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headstart.errors import InputError
from headstart.ui.root_folder import NotFoundError
from headstart.ui.site import Site, form, go_to
from headstart.ui.uploads import Upload


class UploadPages:
    """Requests of the script for uploads.

    Args:
        site: the server that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: dict[str, Upload] = {}

    def routes(self) -> list[Route]:
        """The routes of these requests."""
        return [
            Route("/uploads", self.begin, methods=["POST"]),
            Route("/uploads/{upload}/finish", self.finish, methods=["POST"]),
            Route("/uploads/{upload}", self.abandon, methods=["DELETE"]),
            Route("/uploads/{upload}/{path:path}", self.receive, methods=["PUT"]),
            Route("/data/remove", self.remove, methods=["POST"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Start an upload; responds with its name."""
        name = (await form(request)).get("name", "")
        upload = await run_in_threadpool(Upload.begin, self._site.root_folder, name, self._site.max_upload_mb)
        self._open[upload.folder.name] = upload
        return JSONResponse({"upload": upload.folder.name})

    async def receive(self, request: Request) -> Response:
        """Receive one file, the body of the request."""
        name = request.path_params["upload"]
        if name not in self._open:
            raise NotFoundError("this upload does not exist or is finished.")
        await self._open[name].receive(request.path_params["path"], request.stream())
        return Response(status_code=204)

    async def finish(self, request: Request) -> Response:
        """Finish an upload; responds with the path of its data."""
        upload = self._end(request)
        try:
            data = await run_in_threadpool(upload.finish)
        except InputError:
            await run_in_threadpool(upload.abandon)
            raise
        return JSONResponse({"data": self._site.root_folder.relative(data)})

    async def abandon(self, request: Request) -> Response:
        """Cancel an upload and remove its files."""
        await run_in_threadpool(self._end(request).abandon)
        return Response(status_code=204)

    async def remove(self, request: Request) -> Response:
        """Remove a finished upload."""
        path = self._site.root_folder.resolve((await form(request)).get("path", ""))
        uploads = self._site.root_folder.uploads
        if not path.is_relative_to(uploads) or path == uploads:
            raise InputError("only uploads can be removed here.")
        await run_in_threadpool(shutil.rmtree, uploads / path.relative_to(uploads).parts[0])
        return go_to("/new")

    def _end(self, request: Request) -> Upload:
        upload = self._open.pop(request.path_params["upload"], None)
        if upload is None:
            raise NotFoundError("this upload does not exist or is finished.")
        return upload
