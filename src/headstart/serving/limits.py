"""Limits of requests, and the middleware that checks them before a request is parsed."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from headstart.data.modalities import Modality

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_AFTER_S = 1
"""Clients should repeat a request with status 503 after this time."""

_PUBLIC = {"/health", "/ready", "/docs", "/openapi.json"}
_PUBLIC_FOLDER = "/static/"
_TEXT_BYTES = 200_000  # far more than any base reads, and still quick to tokenize
_REQUESTS_IN_MEMORY = 8  # of the maximum size


@dataclass(frozen=True)
class Limits:
    """Maximum values of a server.

    Attributes:
        request_mb: size of one request, in MB.
        megapixels: size of one image. A PNG of a few kilobytes can take gigabytes of memory ("decompression bomb").
        items: images or texts in one request.
        queue: images or texts that wait for an answer of one run, over all requests.
        timeout_s: seconds for a request to arrive, and again for its answer.
    """

    request_mb: float = 32
    megapixels: float = 50
    items: int = 64
    queue: int = 256
    timeout_s: float = 30

    @property
    def request_bytes(self) -> int:
        """Maximum size of one request, in bytes."""
        return int(self.request_mb * 1_000_000)

    def check(self, data: bytes, modality: Modality) -> None:
        """Check an example before it is decoded: the size in the header of an image, or the length of a text.

        Raises:
            BadExample: it is too large, or not an image.
        """
        modality.check_size(data, max_megapixels=self.megapixels, max_text_bytes=_TEXT_BYTES)


class RefusedError(Exception):
    """A request is refused: the HTTP status, and one sentence with the reason."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Gate:
    """Middleware: requires the token, and that the body is complete, within the time and size limits.

    The body is read here and passed on as one message, so parsers do not wait and cannot read too much.

    Args:
        app: the application behind it.
        limits: see :class:`Limits`.
        token: the token of ``Authorization: Bearer``; None if no token is needed.
        refuse: makes the application that answers a refused request.
    """

    def __init__(self, app: App, limits: Limits, token: str | None, refuse: Callable[[RefusedError], App]) -> None:
        self._app, self._limits, self._refuse = app, limits, refuse
        self._expected = f"Bearer {token}".encode() if token else None
        self._bytes_held = 0  # bytes of all request bodies in memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        app = self._app
        try:
            try:
                self._check_token(scope)
                if not await self._read_in_time(scope, receive, body):
                    return
            except RefusedError as exc:
                app = self._refuse(exc)
            await app(scope, _replay_body(bytes(body), receive), send)
        finally:
            self._bytes_held -= len(body)

    def _check_token(self, scope: Scope) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))  # some proxies leave their prefix
        if self._expected is None or path in _PUBLIC or path.startswith(_PUBLIC_FOLDER):
            return
        sent_header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(sent_header, self._expected):
            raise RefusedError(401, "this server requires a token: send the header `Authorization: Bearer TOKEN`.")

    async def _read_in_time(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._read(scope, receive, body)
        except TimeoutError as exc:
            message = f"the request did not arrive within {self._limits.timeout_s:g} seconds."
            raise RefusedError(408, message) from exc

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        """Read the body; False if the client disconnects before its end."""
        content_length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        self._check_size(int(content_length), 0)  # uvicorn has checked that these are digits
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            chunk = message.get("body", b"")
            self._check_size(len(body) + len(chunk), len(chunk))
            body += chunk
            self._bytes_held += len(chunk)
            if not message.get("more_body", False):
                return True

    def _check_size(self, size: int, added: int) -> None:
        if size > self._limits.request_bytes:
            raise RefusedError(413, f"the request is too large: at most {self._limits.request_mb:g} MB are accepted.")
        if self._bytes_held + (added or size) > _REQUESTS_IN_MEMORY * self._limits.request_bytes:
            raise RefusedError(503, "too many large requests at the same time: try again in a moment.")


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """``receive`` for a request whose body has been read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_body() -> Message:
        return messages.pop() if messages else await receive()

    return receive_body
