"""Progress and log records of one process as plain data, for another process that shows them."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from headstart.system.progress import Bar, Progress

Event = dict[str, Any]
"""One of ``{"log", "level", "logger"}``, ``{"stage"}``, ``{"epoch", "seconds_left"}``,
``{"start": [label, total, unit]}``, ``{"done": count}`` and ``{"finish": True}``."""

Send = Callable[[Event], None]

_INTERVAL_S = 0.2  # between two counts of the same work


class EventProgress:
    """Sends progress as events.

    Args:
        send: takes an event.
    """

    def __init__(self, send: Send) -> None:
        self._send = send

    @contextmanager
    def start(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        """Send what begins, how far it is, and that it ends, also where it fails."""
        self._send({"start": [label, total, unit]})
        try:
            yield _EventBar(total, self._send)
        finally:
            self._send({"finish": True})

    def stage(self, name: str) -> None:
        """Send the name of the stage."""
        self._send({"stage": name})

    def epoch(self, row: Mapping[str, Any], seconds_left: float) -> None:
        """Send the row of the epoch."""
        self._send({"epoch": dict(row), "seconds_left": seconds_left})


class _EventBar:
    def __init__(self, total: int, send: Send) -> None:
        self._total, self._done, self._send = total, 0, send
        self._sent: float | None = None

    def advance(self, n: int = 1) -> None:
        self._done += n
        now = time.monotonic()
        if self._sent is None or now - self._sent > _INTERVAL_S or self._done == self._total:
            self._sent = now
            self._send({"done": self._done})


class _EventHandler(logging.Handler):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send({"log": record.getMessage(), "level": record.levelno, "logger": record.name})


def send_records(send: Send) -> None:
    """Send all log records of headstart in this process with level INFO or higher."""
    package = logging.getLogger("headstart")
    package.addHandler(_EventHandler(send))
    package.setLevel(logging.INFO)
    package.propagate = False


class Relay:
    """Passes the events of another process on, to a Progress and to the loggers of this process.

    Args:
        progress: follows the work.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress, self._open = progress, ExitStack()
        self._bar: Bar | None = None
        self._done = 0

    def __call__(self, event: Event) -> None:
        """Pass one event on."""
        if "log" in event:
            logging.getLogger(event["logger"]).log(event["level"], event["log"])
        elif "stage" in event:
            self._progress.stage(event["stage"])
        elif "epoch" in event:
            self._progress.epoch(event["epoch"], event["seconds_left"])
        elif "start" in event:
            self.close()
            self._bar, self._done = self._open.enter_context(self._progress.start(*event["start"])), 0
        elif "done" in event and self._bar:
            self._bar.advance(event["done"] - self._done)
            self._done = event["done"]
        elif "finish" in event:
            self.close()

    def close(self) -> None:
        """End the work that is being counted, if there is any."""
        self._bar = None
        self._open.close()
