"""A job's own process: does the work and writes down how it goes. ``python -m headstart.ui.work FOLDER``."""

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from filelock import FileLock

from headstart.data.labels import SEPARATOR
from headstart.errors import HeadstartError
from headstart.features.store import is_held
from headstart.system.atomic import atomic_file
from headstart.system.events import EventProgress, send_records
from headstart.system.progress import Progress
from headstart.ui.labels import spell_label

JOB, EVENTS, OUTCOME = "job.json", "events.jsonl", "outcome.json"
"""Files of a job: what is to be done, what happened, what came out."""

LOCK, TURN, PID, STOP = "running.lock", "turn.lock", "pid", "stop"
"""Held while a job runs; held by the one at work, of all; the number of its process; there when it is to stop."""

AUDIT_PAGE = "audit.html"
WAITING = "waiting for its turn"
"""The stage of a job that others are before."""

_LOOK_S = 0.3


def train(folder: Path, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Train; gives the name of the run."""
    from headstart.commands.train import train

    return {"run": train(**job["arguments"], progress=progress).name}


def audit(folder: Path, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Audit; the page goes into the job's folder, and a table of what is good where the job says."""
    from headstart.commands.audit import audit as audit_data
    from headstart.reports.audit import write_page
    from headstart.ui.templating import open_template

    progress.stage("features")
    found = audit_data(**job["arguments"], progress=progress)
    progress.stage("writing the page")
    clean = Path(job["clean"])
    clean.parent.mkdir(exist_ok=True)
    clean.unlink(missing_ok=True)  # of the same check, broken off
    left_out = len(found.fix(clean))
    if not left_out:
        clean.unlink()
        with contextlib.suppress(OSError):  # there is something else in it
            clean.parent.rmdir()
    cleaned = {"path": job["cleaned"]} | ({"label_separator": SEPARATOR} if found.dataset.labels.ndim == 2 else {})
    write_page(
        folder / AUDIT_PAGE, {**found.facts(), "source": job["name"]}, found.dataset,
        template=open_template("audit_page"), job=job, left_out=left_out, cleaned=urlencode(cleaned),
    )  # fmt: skip
    return {"found": [finding.code for finding in found.found()], "left_out": left_out}


def export(folder: Path, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Export a run."""
    from headstart.commands.export import export

    progress.stage("exporting, and comparing what comes out")
    export(**job["arguments"], progress=progress)
    return {"run": Path(job["arguments"]["run"]).name}


Work = Callable[[Path, dict[str, Any], Progress], dict[str, Any]]
"""Does a job in its folder, as it is described, and gives what the page needs of the outcome."""

KINDS: dict[str, Work] = {
    "train": train,
    "audit": audit,
    "export": export,
}


def main(folder: Path) -> None:
    """Do the job in a folder, when it is its turn."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    with FileLock(folder / LOCK), open(folder / EVENTS, "a", encoding="utf-8") as events:

        def send(event: dict[str, Any]) -> None:
            events.write(json.dumps({"t": time.time(), **event}) + "\n")
            events.flush()

        (folder / PID).write_text(str(os.getpid()))
        send_records(send)
        progress = EventProgress(send)
        send({"began": True})
        if is_held(folder.parent / TURN):
            progress.stage(WAITING)
        try:
            _queue(folder)
            with FileLock(folder.parent / TURN):  # two at once would take longer than one after the other
                outcome = KINDS[job["kind"]](folder, job, progress)
        except HeadstartError as exc:
            outcome = {"error": exc.render(spell_label)}
        except KeyboardInterrupt:
            return
        except Exception as exc:  # noqa: BLE001 - told on the page
            traceback.print_exc()
            outcome = {"error": f"{type(exc).__name__}: {exc}. This is a bug in headstart; please report it."}
        if "error" in outcome and (folder / STOP).exists():
            return  # what it started was stopped as well, which may have come to light first
        send({"ended": True})
        with atomic_file(folder / OUTCOME) as path:
            path.write_text(json.dumps(outcome), encoding="utf-8")


def _queue(folder: Path) -> None:
    """Wait until no job that was made earlier waits or works: a lock alone is given to any of those who wait for it."""
    earlier = [other / LOCK for other in folder.parent.iterdir() if other.is_dir() and other.name < folder.name]
    while any(map(is_held, earlier)):
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
