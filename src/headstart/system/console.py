"""Progress of long work: a bar on a terminal, a line now and then elsewhere, events where a parent process shows it."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

logger = logging.getLogger(__name__)

quiet = False  # one switch: no talk at all (results are still printed)
forward: Callable[[dict[str, Any]], None] | None = None  # in a child process: where talk goes instead, see Relay


def stage(name: str) -> None:
    """Tell whoever follows this process that a stage of the work begins; a terminal sees that from the rest."""
    if forward:
        forward({"stage": name})


def epoch(row: dict[str, Any], left_s: float) -> None:
    """Tell whoever follows this process how training goes; a terminal gets a note.

    Args:
        row: as in ``history.csv``.
        left_s: seconds until the last epoch is done.
    """
    if forward:
        forward({"epoch": row, "left_s": left_s})


class Progress:
    """Counts done work and shows its rate and the time left; see :func:`progress`."""

    plain_interval_s = 10.0

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._told = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._bar: Any = None
        self._task: Any = None

    def advance(self, n: int = 1) -> None:
        """Record that ``n`` more units are done."""
        self.done += n
        now = time.monotonic()
        if self._first is None:
            self._first, self._told = (now, self.done), now
        if self._bar is not None:
            self._bar.update(self._task, advance=n, pace=self._pace(now))
        elif now - self._told > self.plain_interval_s:
            self._told = now
            logger.info(f"{self.label}: {self.done:,} of {self.total:,} {self.unit}, {self._pace(now)}")

    def _pace(self, now: float) -> str:
        """Rate and time left, counted from the first units on: what came before them was getting ready."""
        start, before = self._first or (now, 0)
        if self.done == before or now == start:
            return ""
        rate = (self.done - before) / (now - start)
        minutes, seconds = divmod(round((self.total - self.done) / rate), 60)
        return f"{rate:,.0f} {self.unit}/s, {minutes}:{seconds:02} left"


class _Forwarded(Progress):
    """Progress in a child process, counted there and shown by its parent."""

    _interval_s = 0.2

    def advance(self, n: int = 1) -> None:
        """Record that ``n`` more units are done."""
        self.done += n
        now = time.monotonic()
        if forward and (self._first is None or now - self._told > self._interval_s or self.done == self.total):
            self._first, self._told = (now, self.done), now
            forward({"done": self.done})


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Progress]:
    """Show a bar that vanishes when done on a terminal, a line every ten seconds elsewhere."""
    if forward:
        forward({"progress": [label, total, unit]})
        yield _Forwarded(label, total, unit)
        forward({"progress": None})
        return
    state = Progress(label, total, unit)
    if quiet or not sys.stderr.isatty():
        yield state
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        state._bar, state._task = bar, bar.add_task(label, total=total, pace="")
        yield state


class LogForwarder(logging.Handler):
    """In a child process: sends log records as events, see :class:`Relay`.

    Args:
        send: takes an event, plain data.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._send({"log": record.getMessage(), "level": record.levelno, "logger": record.name})


def forward_records(send: Callable[[dict[str, Any]], None]) -> None:
    """In a child process: send whatever headstart logs as events."""
    package = logging.getLogger("headstart")
    package.addHandler(LogForwarder(send))
    package.setLevel(logging.INFO)


class Relay:
    """Shows what a child process forwards."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._bar: Progress | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        if "log" in event:
            logging.getLogger(event["logger"]).log(event["level"], event["log"])
        elif "epoch" in event:
            epoch(event["epoch"], event["left_s"])
        elif "done" in event and self._bar:
            self._bar.advance(event["done"] - self._bar.done)
        elif event.get("progress"):
            self._bar = self._open.enter_context(progress(*event["progress"]))
        else:
            self.close()

    def close(self) -> None:
        """Take the bar away, if there is one."""
        self._bar = None
        self._open.close()
