"""Progress of long work: stages report it to a `Progress` that is passed down, and know nothing of who shows it.

What is to be said in words goes to ``logging``: notes at level INFO, warnings at level WARNING.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from headstart.system.durations import format_time_left

logger = logging.getLogger(__name__)

LOG_INTERVAL_S = 10.0
"""Seconds between two log records about the same work."""


class Bar(Protocol):
    """Work that is counted."""

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more finished units."""


class Progress(Protocol):
    """Follows long work. Any object with these methods can be passed as ``progress`` to a function of headstart."""

    def start(self, label: str, total: int, unit: str) -> AbstractContextManager[Bar]:
        """Begin work that is counted; it ends with the ``with`` block.

        Args:
            label: what is done, such as ``features``.
            total: how many units there are.
            unit: name of the units, in the plural.
        """

    def stage(self, name: str) -> None:
        """Begin a stage of a command, such as ``fine-tuning``."""

    def epoch(self, row: Mapping[str, Any], seconds_left: float) -> None:
        """End an epoch of fine-tuning.

        Args:
            row: losses and metrics of the epoch, as in ``history.csv``.
            seconds_left: until the last epoch ends, at most.
        """


class _NoBar:
    def advance(self, n: int = 1) -> None:
        pass


class NoProgress:
    """Shows nothing; what a stage reports to by default."""

    @contextmanager
    def start(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        """Count nothing."""
        yield _NoBar()

    def stage(self, name: str) -> None:
        """Do nothing."""

    def epoch(self, row: Mapping[str, Any], seconds_left: float) -> None:
        """Do nothing."""


NO_PROGRESS = NoProgress()
"""It has no state, so one is enough."""


@dataclass
class Pace:
    """Counts finished units, and estimates from them how fast the work is and how long it still takes.

    The rate is counted from the first finished units on: what came before them was preparation.

    Attributes:
        total: how many units there are.
        done: how many are finished.
        first: time in seconds, and count, when the first ones were finished.
        last: the same now.
    """

    total: int
    done: int = 0
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None

    def count(self, done: int, now: float) -> None:
        """Note that ``done`` units in all are finished at ``now``, in seconds of any clock."""
        self.done, self.last = done, (now, done)
        self.first = self.first or self.last

    @property
    def rate(self) -> float | None:
        """Units a second; None as long as there is nothing to tell it from."""
        if not self.first or not self.last or self.last[0] <= self.first[0] or self.last[1] == self.first[1]:
            return None
        return (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all units are finished; None as long as the rate is not known."""
        return None if self.rate is None else (self.total - self.done) / self.rate


class PacedBar:
    """A bar that shows its rate and the time left.

    Args:
        total: how many units there are.
        unit: name of the units.
        show: called after each advance, with what was added.
    """

    def __init__(self, total: int, unit: str, show: Callable[["PacedBar", int], None]) -> None:
        self.pace, self.unit, self._show = Pace(total), unit, show

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more finished units."""
        self.pace.count(self.pace.done + n, time.monotonic())
        self._show(self, n)

    def __str__(self) -> str:
        """Rate and time left, such as ``130 images/s, 1:05 left``; empty as long as they are not known."""
        rate, seconds_left = self.pace.rate, self.pace.seconds_left
        if rate is None or seconds_left is None:
            return ""
        return f"{rate:,.0f} {self.unit}/s, {format_time_left(seconds_left)}"


class LogProgress(NoProgress):
    """Logs a record every ten seconds: for files and pipes, where a bar cannot move."""

    @contextmanager
    def start(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        """Log how far the work is, now and then."""
        logged = time.monotonic()

        def show(bar: PacedBar, _: int) -> None:
            nonlocal logged
            now = time.monotonic()
            if bar.pace.rate is None:  # what came before the first units was preparation
                logged = now
            elif now - logged > LOG_INTERVAL_S:
                logged = now
                logger.info(f"{label}: {bar.pace.done:,} of {total:,} {unit}, {bar}")

        yield PacedBar(total, unit, show)
