"""Jobs: trainings, audits and exports, each in a process of its own that outlives the page but not the server.

What a job is to do, what happened and what came out are files in a folder of its own. So a job that was stopped, by its
button or with the machine, is still there the next time. Resuming it runs the same work again, which finds in the cache
what was computed, and goes on from there.
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

from headstart.features.store import is_held
from headstart.system.progress import Pace
from headstart.ui.place import NotThereError, Place
from headstart.ui.work import EVENTS, JOB, LOCK, OUTCOME, PID, STOP, WAITING

_PATIENCE_S = 10  # until what was asked to stop is made to
_NOTES = 40
_CHECK_S = 7 * 24 * 60 * 60  # how long a check of data is kept


@dataclass
class CountedWork:
    """Work that is counted.

    Attributes:
        label: what is done.
        unit: name of the units, in the plural.
        pace: how many are finished, and how fast.
    """

    label: str
    unit: str
    pace: Pace


@dataclass
class State:
    """How far a job is, folded from its events.

    Attributes:
        stages: name and start of each, since it last began.
        bar: what is being counted, if anything.
        notes: what it told, the last ones; each with whether it is a warning.
        epochs: rows as in ``history.csv``.
        left_s: seconds until the last epoch is done, when that was last told.
        told: when that was.
        began: when it last began.
        last: when the last event was.
        ended: when it ended.
    """

    stages: list[tuple[str, float]] = field(default_factory=list)
    bar: CountedWork | None = None
    notes: list[tuple[str, bool]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    left_s: float | None = None
    told: float = 0
    began: float = 0
    last: float = 0
    ended: float | None = None

    @property
    def waits(self) -> bool:
        """Whether another job is at work now."""
        return bool(self.stages) and self.stages[-1][0] == WAITING

    def take(self, event: dict[str, Any]) -> None:
        """Follow one event."""
        self.last = event["t"]
        if "began" in event:
            self.stages, self.notes, self.bar, self.left_s = [], [], None, None
            self.began, self.ended = event["t"], None
        elif "ended" in event:
            self.ended, self.bar = event["t"], None
        elif "stage" in event:
            if self.waits:  # no part of the work
                self.stages, self.began = [], event["t"]
            self.stages.append((event["stage"], event["t"]))
            self.bar = self.left_s = None
        elif "log" in event:
            self.notes = [*self.notes, (event["log"], event["level"] >= logging.WARNING)][-_NOTES:]
        elif "epoch" in event:
            self._epoch(event)
        else:
            self._count(event)

    def _epoch(self, event: dict[str, Any]) -> None:
        number = event["epoch"]["epoch"]
        self.epochs = [row for row in self.epochs if row["epoch"] < number] + [event["epoch"]]
        self.left_s, self.told = event["seconds_left"], event["t"]

    def _count(self, event: dict[str, Any]) -> None:
        if "start" in event:
            label, total, unit = event["start"]
            self.bar = CountedWork(label, unit, Pace(total))
        elif "done" in event and self.bar:
            self.bar.pace.count(event["done"], event["t"])
        elif "finish" in event:
            self.bar = None


class Job:
    """One job, going by its folder.

    Args:
        folder: of the job.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.id = folder, folder.name
        self._state, self._read, self._reading = State(), 0, Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @cached_property
    def told(self) -> dict[str, Any]:
        """What is to be done: ``kind``, ``arguments``, and ``title`` for people."""
        return json.loads((self.folder / JOB).read_text(encoding="utf-8"))

    @property
    def kind(self) -> str:
        """What kind of work it is."""
        return self.told["kind"]

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What came out; None while there is nothing."""
        path = self.folder / OUTCOME
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    @property
    def status(self) -> str:
        """``running``, ``done``, ``failed`` or ``stopped``."""
        outcome = self.outcome
        if outcome is not None:
            return "failed" if "error" in outcome else "done"
        return "running" if self.is_running else "stopped"

    @property
    def is_running(self) -> bool:
        """Whether its process lives; also if an earlier server started it."""
        if self._process is not None:
            return self._process.poll() is None
        return is_held(self.folder / LOCK)

    def state(self) -> State:
        """How far it is."""
        path = self.folder / EVENTS
        if not path.is_file():
            return self._state
        with self._reading, open(path, "rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._state.take(json.loads(line))
            return self._state

    def start(self) -> None:
        """Begin, or go on with what the cache holds."""
        if self.is_running:
            return
        for name in (OUTCOME, STOP):
            (self.folder / name).unlink(missing_ok=True)
        with open(self.folder / "log.txt", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headstart.ui.work", str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """End its process and those that it started, as Ctrl-C does; what is computed by now stays in the cache."""
        if not self.is_running:
            return
        (self.folder / STOP).touch()
        process = self._process.pid if self._process else int((self.folder / PID).read_text())
        _send(process, signal.SIGINT)
        deadline = time.monotonic() + _PATIENCE_S
        while self.is_running and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.is_running:
            _send(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def _send(process: int, number: int) -> None:
    """Signal a process and all that it started, where the system has groups of processes."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if hasattr(os, "killpg") else os.kill)(process, number)


class Jobs:
    """All jobs of a place.

    Args:
        place: where they are.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._known: dict[str, Job] = {}

    def add(self, kind: str, arguments: dict[str, Any], *, title: str, data: str | None = None, **more: Any) -> Job:
        """Make a job and begin it.

        Args:
            kind: one of :data:`headstart.ui.work.KINDS`.
            arguments: of the function that does it.
            title: for people.
            data: path of its data, as the browser knows it.
            more: that this kind of work needs to know.
        """
        folder = self._place.jobs / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:6]}"
        folder.mkdir()
        job = {"kind": kind, "arguments": arguments, "title": title, "data": data, **more}
        (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
        self._known[folder.name] = Job(folder)
        self._known[folder.name].start()
        return self._known[folder.name]

    def __getitem__(self, name: str) -> Job:
        """One job.

        Raises:
            NotThereError: there is none of that name.
        """
        folder = self._place.jobs / name
        if folder.parent != self._place.jobs or not (folder / JOB).is_file():
            raise NotThereError(f"there is no job {name}.")
        return self._known.setdefault(name, Job(folder))

    def all(self) -> list[Job]:
        """The newest first."""
        names = sorted((path.parent.name for path in self._place.jobs.glob(f"*/{JOB}")), reverse=True)
        return [self[name] for name in names]

    def last(self, kind: str, *, data: str | None = None, run: str | None = None) -> Job | None:
        """The newest job of a kind that is done: about some data, or that gave a run of some name."""
        for job in self.all():
            outcome = job.outcome or {}
            fits = job.told.get("data") == data if run is None else outcome.get("run") == run
            if job.kind == kind and fits and job.status == "done":
                return job
        return None

    def tidy(self) -> None:
        """Forget what is done and of no more use; what was stopped or failed waits for its user.

        Exports are with their runs, checks become old, and of a training only what it told is still shown, by its run.
        """
        for job in self.all():
            if job.status != "done":
                continue
            if job.kind == "train":
                is_over = not (self._place.runs / str((job.outcome or {}).get("run"))).is_dir()
            else:
                is_over = job.kind == "export" or job.state().last < time.time() - _CHECK_S
            if is_over:
                self.remove(job)

    def remove(self, job: Job) -> None:
        """Forget a job that does not run; what came out of it stays."""
        if not job.is_running:
            self._known.pop(job.id, None)
            shutil.rmtree(job.folder, ignore_errors=True)

    def stop_all(self) -> None:
        """Stop whatever this server started."""
        for job in [*self._known.values()]:
            job.stop()
