"""A server process: listens, watches its clients' time, ends without losing a request."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from headstart.errors import InputError, UnavailableError
from headstart.serving.app import create_app
from headstart.serving.limits import Limits
from headstart.serving.runs import open_run
from headstart.system.addresses import is_loopback

logger = logging.getLogger(__name__)

_KEEP_ALIVE_S = 75  # longer than reverse proxies keep an idle connection, so that they close it and never we
_HEAD_S = 10
_CONNECTIONS = 1000
_ENDING_S = 1.0


def serve(folders: Mapping[str, Path], *, host: str, port: int, token: str | None, limits: Limits) -> None:
    """Serve runs until the process is told to end (SIGTERM, or control and C), which it does when all is answered.

    Args:
        folders: name -> run folder.
        host: address to listen on.
        port: likewise; 0 takes one that is free.
        token: what clients have to show; needed where others than this machine can reach the server.
        limits: what they may ask for.

    Raises:
        InputError: the address is open to others and there is no token; or it is no address of this machine.
        IntegrityError: a run is damaged.
        UnavailableError: the port is taken.
    """
    if not token and not is_loopback(host):
        raise InputError(
            f"--host {host} lets other machines in: set a token that they have to show, by HEADSTART_TOKEN or --token."
        )
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError("--token: expected printable ASCII characters without spaces.")
    with _listening(host, port) as listener:
        app = create_app({name: open_run(folder) for name, folder in folders.items()}, limits, token)
        config = uvicorn.Config(
            app,
            # With uvloop and httptools, HTTP takes 0.5 ms of a request's 10 instead of 0.7: not worth two packages, of
            # which one is not there for Windows and the other takes heads without end.
            loop="asyncio",
            http=_Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(2 * limits.timeout_s) + 1,
            limit_concurrency=_CONNECTIONS,
        )
        shown = f"[{host}]" if ":" in host else host
        _Server(config, f"http://{shown}:{listener.getsockname()[1]}", list(folders)).run([listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, address: str, names: list[str]) -> None:
        super().__init__(config)
        self._address, self._names = address, names

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        state = self.config.app.state  # type: ignore[union-attr]
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, state.runs.look)
        logger.info(f"serving {', '.join(self._names)} on {self._address} (see {self._address}/docs)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: first take no new connections, and let clients that keep theirs send what is under way."""
        self.config.app.state.is_ending = True  # type: ignore[union-attr]
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + _ENDING_S
        while self.server_state.connections and loop.time() < until:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on signals; unlike uvicorn, do not end by them: to be told to stop is no failure."""
        before = {number: signal.signal(number, self._told) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT  # asked for twice
        self.should_exit = True


class _Protocol(H11Protocol):
    """Closes connections that take too long to begin a request, for which uvicorn has no limit."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._late = self.loop.call_later(_HEAD_S, self._close_unless_busy)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._late:
            self._late.cancel()
        # Who was refused before the end of a request may send on for a moment, to see the answer; but not for ever.
        idle_s = 0.0 if self.cycle.more_body else _KEEP_ALIVE_S
        self._late = self.loop.call_later(idle_s + _HEAD_S, self._close_unless_busy)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late:
            self._late.cancel()
        super().connection_lost(exc)

    def _close_unless_busy(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that is bound; it listens once the runs are open."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as exc:
            raise UnavailableError(
                f"cannot listen on {host}, port {port}: {exc}. Choose another --port or --host."
            ) from exc
        yield listener
