"""Jobs: trainings, audits and exports, each in its own process, which ends with the server at the latest.

The description, the events and the outcome of a job are files in its folder. So a stopped job is still listed after a
restart. Resuming runs the same work again; results in the cache are not computed twice.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from headstart.system.atomic import atomic_file
from headstart.system.locks import is_held
from headstart.system.progress import Pace
from headstart.ui.job_process import EVENTS, JOB, LOCK, OUTCOME, PID, STOP, WAITING
from headstart.ui.root_folder import NotFoundError, RootFolder

logger = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 10  # then the process is killed
_MAX_NOTES = 40
_KEEP_AUDIT_S = 7 * 24 * 60 * 60


@dataclass
class CountedWork:
    """Work with a progress bar.

    Attributes:
        label: of the work.
        unit: name of the units, in the plural.
        pace: number of finished units, and their rate.
    """

    label: str
    unit: str
    pace: Pace


@dataclass
class State:
    """The progress of a job, computed from its events. Times are seconds since the epoch.

    Attributes:
        stages: name and start time of each stage since the last start.
        bar: current progress bar, if any.
        notes: last log records: text, and whether it is a warning.
        epochs: rows as in ``history.csv``.
        left_s: seconds until the last epoch is finished, at the time ``left_updated``.
        left_updated: time of ``left_s``.
        began: time of the last start.
        last: time of the last event.
        ended: time of the end.
    """

    stages: list[tuple[str, float]] = field(default_factory=list)
    bar: CountedWork | None = None
    notes: list[tuple[str, bool]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    left_s: float | None = None
    left_updated: float = 0
    began: float = 0
    last: float = 0
    ended: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for another job."""
        return bool(self.stages) and self.stages[-1][0] == WAITING

    def update(self, event: dict[str, Any]) -> None:
        """Apply one event."""
        self.last = event["t"]
        if "began" in event:
            self.stages, self.notes, self.bar, self.left_s = [], [], None, None
            self.began, self.ended = event["t"], None
        elif "ended" in event:
            self.ended, self.bar = event["t"], None
        elif "stage" in event:
            if self.is_waiting:  # waiting is not part of the work
                self.stages, self.began = [], event["t"]
            self.stages.append((event["stage"], event["t"]))
            self.bar = self.left_s = None
        elif "log" in event:
            self.notes = [*self.notes, (event["log"], event["level"] >= logging.WARNING)][-_MAX_NOTES:]
        elif "epoch" in event:
            self._epoch(event)
        else:
            self._count(event)

    def _epoch(self, event: dict[str, Any]) -> None:
        number = event["epoch"]["epoch"]
        self.epochs = [row for row in self.epochs if row["epoch"] < number] + [event["epoch"]]
        self.left_s, self.left_updated = event["seconds_left"], event["t"]

    def _count(self, event: dict[str, Any]) -> None:
        if "start" in event:
            label, total, unit = event["start"]
            self.bar = CountedWork(label, unit, Pace(total))
        elif "done" in event and self.bar:
            self.bar.pace.count(event["done"], event["t"])
        elif "finish" in event:
            self.bar = None


class Job:
    """One job, described by the files of its folder.

    Args:
        folder: of the job.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.id = folder, folder.name
        self._state, self._read, self._reading = State(), 0, Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @cached_property
    def description(self) -> dict[str, Any]:
        """Description of the work: ``kind``, ``arguments``, ``title`` and more."""
        description = _read_json(self.folder / JOB)
        if not {"kind", "arguments", "title"} <= description.keys():
            raise ValueError("expected kind, arguments and title")
        return description

    @property
    def kind(self) -> str:
        """Kind of work: a key of :data:`headstart.ui.job_process.KINDS`."""
        return self.description["kind"]

    @property
    def outcome(self) -> dict[str, Any] | None:
        """Outcome of the work; None before the end."""
        path = self.folder / OUTCOME
        try:
            return _read_json(path) if path.is_file() else None
        except ValueError as exc:
            _set_aside(path, exc)
            return None

    @property
    def status(self) -> str:
        """``running``, ``done``, ``failed`` or ``stopped``."""
        outcome = self.outcome
        if outcome is not None:
            return "failed" if "error" in outcome else "done"
        return "running" if self.is_running else "stopped"

    @property
    def is_running(self) -> bool:
        """Whether its process runs, also one that an earlier server started."""
        if self._process is not None:
            return self._process.poll() is None
        return is_held(self.folder / LOCK)

    def state(self) -> State:
        """Its progress."""
        path = self.folder / EVENTS
        if not path.is_file():
            return self._state
        with self._reading, open(path, "rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that the disk has damaged
                    self._state.update(json.loads(line))
            return self._state

    def start(self) -> None:
        """Start or resume."""
        if self.is_running:
            return
        for name in (OUTCOME, STOP):
            (self.folder / name).unlink(missing_ok=True)
        with open(self.folder / "log.txt", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headstart.ui.job_process", str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """Stop its process and the child processes, as Ctrl-C does. Computed results stay in the cache."""
        if not self.is_running:
            return
        (self.folder / STOP).touch()
        process = self._process.pid if self._process else _read_process(self.folder / PID)
        if process is None:
            return
        _send(process, signal.SIGINT)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while self.is_running and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.is_running:
            _send(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        ValueError: it is damaged, as a disk that was full leaves it.
    """
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError("expected an object")  # noqa: TRY004 - as for every other damage
    return value


def _set_aside(path: Path, exc: ValueError) -> None:
    """Rename a damaged file, with one line: it is kept, and in nobody's way."""
    damaged = path.with_suffix(".damaged")
    logger.warning(f"{path} is damaged ({exc}) and is left out; it is now called {damaged.name}.")
    path.replace(damaged)


def _read_process(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _send(process: int, number: int) -> None:
    """Send a signal to a process, and to its child processes if the system has process groups."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if hasattr(os, "killpg") else os.kill)(process, number)


class Jobs:
    """All jobs of a root folder.

    Args:
        root_folder: the root folder.
    """

    def __init__(self, root_folder: RootFolder) -> None:
        self._root_folder = root_folder
        self._jobs: dict[str, Job] = {}

    def add(self, kind: str, arguments: dict[str, Any], *, title: str, data: str | None = None, **more: Any) -> Job:
        """Add and start a job.

        Args:
            kind: a key of :data:`headstart.ui.job_process.KINDS`.
            arguments: of the function that does the work.
            title: shown on the page.
            data: path of its data, relative to the root.
            more: further entries of the description.
        """
        folder = self._root_folder.jobs / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:6]}"
        folder.mkdir()
        job = {"kind": kind, "arguments": arguments, "title": title, "data": data, **more}
        with atomic_file(folder / JOB, durable=True) as path:
            path.write_text(json.dumps(job), encoding="utf-8")
        self._jobs[folder.name] = Job(folder)
        self._jobs[folder.name].start()
        return self._jobs[folder.name]

    def __getitem__(self, name: str) -> Job:
        """One job.

        Raises:
            NotFoundError: no job has this name.
        """
        folder = self._root_folder.jobs / name
        if folder.parent != self._root_folder.jobs or not (folder / JOB).is_file():
            raise NotFoundError(f"unknown job {name}.")
        job = self._jobs.get(name) or Job(folder)
        try:
            _ = job.description
        except ValueError as exc:
            _set_aside(folder / JOB, exc)
            raise NotFoundError(f"unknown job {name}: its description was damaged.") from exc
        return self._jobs.setdefault(name, job)

    def all(self) -> list[Job]:
        """All jobs, newest first."""
        names = sorted((path.parent.name for path in self._root_folder.jobs.glob(f"*/{JOB}")), reverse=True)
        jobs = []
        for name in names:
            with contextlib.suppress(NotFoundError):  # damaged
                jobs.append(self[name])
        return jobs

    def last(self, kind: str, *, data: str | None = None, run: str | None = None) -> Job | None:
        """The newest finished job of a kind, for given data or with a given run as its result."""
        for job in self.all():
            outcome = job.outcome or {}
            matches = job.description.get("data") == data if run is None else outcome.get("run") == run
            if job.kind == kind and matches and job.status == "done":
                return job
        return None

    def clean(self) -> None:
        """Remove finished jobs that are no longer needed. Stopped and failed jobs stay.

        Exports are stored with their runs. Audits are kept for a week, the log of a training as long as its run.
        """
        for job in self.all():
            if job.status != "done":
                continue
            if job.kind == "train":
                is_obsolete = not (self._root_folder.runs / str((job.outcome or {}).get("run"))).is_dir()
            else:
                is_obsolete = job.kind == "export" or job.state().last < time.time() - _KEEP_AUDIT_S
            if is_obsolete:
                self.remove(job)

    def remove(self, job: Job) -> None:
        """Remove a job that does not run. Its results stay."""
        if not job.is_running:
            self._jobs.pop(job.id, None)
            shutil.rmtree(job.folder, ignore_errors=True)

    def stop_all(self) -> None:
        """Stop all jobs that this server started."""
        for job in [*self._jobs.values()]:
            job.stop()
