"""The server process: it listens, limits the time of clients, and shuts down without losing requests."""

import asyncio
import logging
import re
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from headstart.errors import InputError, UnavailableError, field_name
from headstart.serving.app import create_app
from headstart.serving.limits import Limits
from headstart.serving.runs import open_run
from headstart.system.addresses import is_loopback

logger = logging.getLogger(__name__)

_KEEP_ALIVE_S = 75  # longer than reverse proxies keep idle connections, so the proxy closes them first
_HEADER_TIMEOUT_S = 10
_MAX_CONNECTIONS = 1000
_SHUTDOWN_WAIT_S = 1.0


def serve(
    folders: Mapping[str, Path], *, host: str, port: int, token: str | None, limits: Limits, root_path: str = ""
) -> None:
    """Serve runs until SIGTERM or Ctrl-C; then answer the requests that have arrived, and return.

    Args:
        folders: name -> run folder.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        token: the token that clients must send; required if other machines can reach the server.
        limits: limits of requests.
        root_path: prefix of the addresses at a proxy in front of the server, such as ``/vision``; empty for none.

    Raises:
        InputError: the prefix is not one; other machines can reach the address and there is no token; or the token is
            not valid.
        IntegrityError: a run is damaged.
        UnavailableError: the address is not one of this machine, or the port is taken.
    """
    if not token and not is_loopback(host):
        raise InputError(
            f"other machines can reach {host}. Set a token with {field_name('token')} or HEADSTART_TOKEN, "
            "which clients must send.",
            field="host",
        )
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError("expected printable ASCII characters without spaces.", field="token")
    if root_path and not re.fullmatch(r"(/[\w.~-]+)+", root_path, re.ASCII):
        raise InputError(f"expected a path such as /vision, got {root_path!r}.", field="root_path")
    with _listening(host, port) as listener:
        app = create_app({name: open_run(folder) for name, folder in folders.items()}, limits, token, root_path)
        config = uvicorn.Config(
            app,
            # uvloop and httptools reduce the HTTP part of a request of 10 ms from 0.7 to 0.5 ms. They are not used:
            # uvloop does not exist for Windows, and httptools does not limit the size of headers.
            loop="asyncio",
            http=_Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(2 * limits.timeout_s) + 1,
            limit_concurrency=_MAX_CONNECTIONS,
        )
        url_host = f"[{host}]" if ":" in host else host
        _Server(config, f"http://{url_host}:{listener.getsockname()[1]}", list(folders)).run([listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, address: str, names: list[str]) -> None:
        super().__init__(config)
        self._address, self._names = address, names

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        state = self.config.app.state  # type: ignore[union-attr]
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, state.runs.check_now)
        logger.info(f"serving {', '.join(self._names)} on {self._address} (see {self._address}/docs)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no new connections, wait for requests on open connections, then shut down."""
        self.config.app.state.is_ending = True  # type: ignore[union-attr]
        headers = [*self.server_state.default_headers, (b"connection", b"close")]
        self.server_state.default_headers = headers
        for connection in self.server_state.connections:
            if isinstance(connection, _Protocol):
                connection.set_default_headers(headers)
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SHUTDOWN_WAIT_S
        while self.server_state.connections and loop.time() < deadline:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down on SIGINT and SIGTERM. Unlike uvicorn, do not raise the signal again: the exit code is 0."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT  # the second Ctrl-C
        self.should_exit = True


class _Protocol(H11Protocol):
    """Closes connections that take too long to start a request, for which uvicorn has no limit."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timer = self.loop.call_later(_HEADER_TIMEOUT_S, self._close_unless_busy)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._timer:
            self._timer.cancel()
        # A client that was refused early may send the rest of its request for a limited time, to read the answer.
        idle_s = 0.0 if self.cycle.more_body else _KEEP_ALIVE_S
        self._timer = self.loop.call_later(idle_s + _HEADER_TIMEOUT_S, self._close_unless_busy)

    def set_default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Answer a request in work with these headers; it has those of the second in which it began."""
        if self.cycle is not None:
            self.cycle.default_headers = headers

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def _close_unless_busy(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket. It listens when the runs are open."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as exc:
            advice = f"Choose another {field_name('port')} or {field_name('host')}."
            raise UnavailableError(f"cannot listen on {host}, port {port}: {exc}. {advice}") from exc
        yield listener
