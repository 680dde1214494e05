"""What a client may ask for, and the gate that every request passes before anything looks at it."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from headstart.data.images import upright_size
from headstart.data.readers import Modality
from headstart.errors import BadExample

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_AFTER_S = 1
"""What is refused for want of room may be asked for again after this time."""

_OPEN = {"/health", "/ready", "/docs", "/openapi.json"}
_OPEN_FOLDER = "/static/"
_TEXT_BYTES = 200_000  # far more than any base looks at, and quickly divided into tokens
_REQUESTS_IN_MEMORY = 8  # of the largest size, together


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        request_mb: size of one request, in MB.
        megapixels: of one picture. A few kilobytes of PNG can claim gigabytes of memory ("decompression bombs").
        items: pictures or texts in one request.
        queue: those of all requests that wait for an answer of one run.
        timeout_s: from the first byte of a request to the last, and again until its answer.
    """

    request_mb: float = 32
    megapixels: float = 50
    items: int = 64
    queue: int = 256
    timeout_s: float = 30

    @property
    def request_bytes(self) -> int:
        """The size of one request, in bytes."""
        return int(self.request_mb * 1_000_000)

    def check(self, data: bytes, modality: Modality) -> None:
        """Look at an example before it is decoded: at what a picture's header claims, or how long a text is.

        Raises:
            BadExample: it is too large, or no picture.
        """
        if modality == "text":
            if len(data) > _TEXT_BYTES:
                raise BadExample(f"too long: at most {_TEXT_BYTES // 1000} kB of text are read here")
            return
        height, width = upright_size(data)
        if width * height > self.megapixels * 1_000_000:
            raise BadExample(
                f"too large: {width:,} x {height:,} pixels, and at most {self.megapixels:g} million are read here"
            )


class RefusedError(Exception):
    """A request that is not answered: a status, and one sentence that says why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Gate:
    """Lets requests in that show the token, and whose body comes whole, in time and in bounds.

    The body is read here and handed on in one piece, so that what parses it never waits and never sees too much.

    Args:
        app: what answers.
        limits: see :class:`Limits`.
        token: what ``Authorization: Bearer`` has to say; None lets everyone in.
        refuse: sends an answer for a refused request.
    """

    def __init__(self, app: App, limits: Limits, token: str | None, refuse: Callable[[RefusedError], App]) -> None:
        self._app, self._limits, self._refuse = app, limits, refuse
        self._expected = f"Bearer {token}".encode() if token else None
        self._held = 0  # bytes of all bodies that are in memory

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
            await app(scope, _handing_on(bytes(body), receive), send)
        finally:
            self._held -= len(body)

    def _check_token(self, scope: Scope) -> None:
        if self._expected is None or scope["path"] in _OPEN or scope["path"].startswith(_OPEN_FOLDER):
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._expected):
            raise RefusedError(401, "this server needs its token: send the header `Authorization: Bearer TOKEN`.")

    async def _read_in_time(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._read(scope, receive, body)
        except TimeoutError as exc:
            late = f"the request did not arrive within {self._limits.timeout_s:g} seconds."
            raise RefusedError(408, late) from exc

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        """Read the body; False if the client went away before its end."""
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        self._check_room(int(announced), 0)  # HTTP itself allows digits only
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            part = message.get("body", b"")
            self._check_room(len(body) + len(part), len(part))
            body += part
            self._held += len(part)
            if not message.get("more_body", False):
                return True

    def _check_room(self, size: int, more: int) -> None:
        if size > self._limits.request_bytes:
            raise RefusedError(413, f"the request is too large: at most {self._limits.request_mb:g} MB are taken.")
        if self._held + (more or size) > _REQUESTS_IN_MEMORY * self._limits.request_bytes:
            raise RefusedError(503, "too many large requests at once: ask again in a moment.")


def _handing_on(body: bytes, receive: Receive) -> Receive:
    """``receive`` for a request that has been read."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def handed_on() -> Message:
        return waiting.pop() if waiting else await receive()

    return handed_on
