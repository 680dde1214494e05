"""Locks between processes: a process that waits names the one that it waits for, and does not wait forever.

The operating system releases the locks of a process that ends, also after a crash. A process that is stopped (Ctrl-Z, a
frozen virtual machine) keeps its locks. Therefore each lock has a ``.pulse`` file with the number of its process, which
updates the time of the file every few seconds. If the time does not change for :data:`STOPPED_S`, the process counts as
stopped. Clocks are not compared: a wrong clock or a machine that was asleep makes no difference.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

STOPPED_S = 30.0
"""Seconds without a change of its pulse file after which a process counts as stopped."""

_PULSE_S = 3.0
_SILENT_S = 2.0  # of waiting, before a message
_POLL_S = 0.1
_PROBE_S = 0.05  # longer than another process takes to see whether a lock is held


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock file, even one that is stopped."""
    if not lock.exists():
        return False
    probe = FileLock(lock)
    try:
        probe.acquire(timeout=0)
    except Timeout:
        return True
    probe.release()
    return False


_last_pulses: dict[str, int] = {}
"""Stopped process -> time of its last pulse, in nanoseconds as its file system gives it."""


def remove_lock(path: Path) -> None:
    """Remove a lock file that no process holds, and its pulse file."""
    for file in (path, _pulse_file(path)):
        file.unlink(missing_ok=True)


class HeldLock:
    """A lock that this process takes at once and holds until :meth:`release`.

    Args:
        path: of the lock file.

    Raises:
        Timeout: another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, FileLock(path)
        self._lock.acquire(timeout=_PROBE_S)
        _pulse_file(path).write_text(str(os.getpid()))
        _PULSE.add(path)

    def release(self) -> None:
        """Release the lock."""
        _PULSE.remove(self._path)
        _pulse_file(self._path).unlink(missing_ok=True)
        self._lock.release()


class Watch:
    """Watches the process that holds a lock.

    Args:
        path: of the lock file.
    """

    def __init__(self, path: Path) -> None:
        self._file = _pulse_file(path)
        self._stamp, self._since = self._read_stamp(), time.monotonic()

    @property
    def process(self) -> str:
        """The process, for messages: ``process 4711``."""
        with suppress(OSError):
            if number := self._file.read_text():
                return f"process {number}"
        return "another process"

    def has_stopped(self) -> bool:
        """Whether the pulse file has not changed for :data:`STOPPED_S` while this watch has existed.

        A process that another watch has found stopped is not waited for again: it touches all its pulse files together.
        """
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._stamp, self._since = stamp, time.monotonic()
        if stamp is not None and stamp <= _last_pulses.get(self.process, 0) + _PULSE_S * 1e9 / 2:
            return True
        has_stopped = time.monotonic() - self._since > STOPPED_S
        if has_stopped and stamp is not None:
            _last_pulses[self.process] = stamp
        return has_stopped

    def _read_stamp(self) -> int | None:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return None


@contextmanager
def patient_lock(path: Path | str, work: str) -> Iterator[bool]:
    """Hold a lock; if another process holds it, wait, and log one line with its number.

    Args:
        path: of the lock file.
        work: what is done under the lock, such as ``preparing keras:Xception``.

    Yields:
        True. False if the process that holds the lock has stopped: the block runs without the lock, and must not
        change files that this process uses when it continues.
    """
    lock, watch, started, is_said = Path(path), Watch(Path(path)), time.monotonic(), False
    while True:
        try:
            held_lock = HeldLock(lock)
            break
        except Timeout:
            pass
        if watch.has_stopped():
            logger.warning(f"{watch.process} has stopped while {work}; this process continues without it.")
            yield False
            return
        if not is_said and time.monotonic() - started > _SILENT_S:
            logger.info(f"waiting for {watch.process}, which is {work} …")
            is_said = True
        time.sleep(_POLL_S)
    try:
        yield True
    finally:
        held_lock.release()


@contextmanager
def own_folder(folder: Path, work: str) -> Iterator[Path]:
    """A folder that no other process uses: ``folder``, or ``folder-2`` … if a stopped process holds the first.

    Args:
        folder: made if missing.
        work: as for :func:`patient_lock`.
    """
    number, candidate = 1, folder
    while True:
        candidate.mkdir(parents=True, exist_ok=True)
        with patient_lock(f"{candidate}.lock", work) as is_held_here:
            if is_held_here:
                yield candidate
                return
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")


def _pulse_file(lock: Path) -> Path:
    return lock.with_suffix(".pulse")


class _Pulse:
    """Touches the pulse files of all locks that this process holds."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, path: Path) -> None:
        with self._guard:
            self._paths.append(path)
            if self._thread is None or not self._thread.is_alive():  # threads do not survive a fork
                self._thread = threading.Thread(target=self._run, name="headstart-pulse", daemon=True)
                self._thread.start()

    def remove(self, path: Path) -> None:
        with self._guard:
            self._paths.remove(path)

    def _run(self) -> None:
        while True:
            time.sleep(_PULSE_S)
            with self._guard:
                paths = list(self._paths)
            for path in paths:
                with suppress(OSError):  # the folder has been removed
                    os.utime(_pulse_file(path))


_PULSE = _Pulse()
