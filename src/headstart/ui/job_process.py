"""The process of a job: does the work and writes its events. ``python -m headstart.ui.job_process FOLDER``."""

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

from headstart.errors import HeadstartError
from headstart.system.atomic import atomic_file
from headstart.system.events import EventProgress, send_records
from headstart.system.locks import Watch, is_held, patient_lock
from headstart.system.progress import Progress
from headstart.ui.labels import spell_label

JOB, EVENTS, OUTCOME = "job.json", "events.jsonl", "outcome.json"
"""Files of a job: description, events, outcome."""

LOCK, TURN, PID, STOP = "running.lock", "turn.lock", "pid", "stop"
"""Lock of a running job; lock of the working job, shared by all; process id; exists when the job must stop."""

AUDIT_PAGE = "audit.html"
WAITING = "waiting for its turn"
"""The stage of a job that waits for others."""

_POLL_S = 0.3


def train(folder: Path, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Train; returns the name of the run."""
    from headstart.commands.train import train

    return {"run": train(**job["arguments"], progress=progress).name}


def audit(folder: Path, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Audit; writes the report to the folder of the job, and the table of usable examples to ``job["clean"]``."""
    from headstart.commands.audit import audit as audit_data
    from headstart.reports.audit import write_page
    from headstart.ui.templating import open_template

    progress.stage("features")
    audited = audit_data(**job["arguments"], progress=progress)
    progress.stage("writing the report")
    clean = Path(job["clean"])
    clean.parent.mkdir(exist_ok=True)
    clean.unlink(missing_ok=True)  # of an interrupted check
    left_out = len(audited.fix(clean))
    if not left_out:
        clean.unlink()
        with contextlib.suppress(OSError):  # the folder holds other files
            clean.parent.rmdir()
    cleaned = {"path": job["cleaned"], **audited.dataset.reading_settings()}
    write_page(
        folder / AUDIT_PAGE, {**audited.facts(), "source": job["name"]}, audited.dataset,
        template=open_template("audit_page"), job=job, left_out=left_out, cleaned=urlencode(cleaned),
    )  # fmt: skip
    return {"found": [finding.code for finding in audited.problems()], "left_out": left_out}


def export(folder: Path, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Export a run."""
    from headstart.commands.export import export

    progress.stage("exporting and testing")
    export(**job["arguments"], progress=progress)
    return {"run": Path(job["arguments"]["run"]).name}


Work = Callable[[Path, dict[str, Any], Progress], dict[str, Any]]
"""Does the work of a job, given its folder and description; returns the outcome for the page."""

KINDS: dict[str, Work] = {
    "train": train,
    "audit": audit,
    "export": export,
}


def main(folder: Path) -> None:
    """Run the job of a folder, after the jobs before it."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    with patient_lock(folder / LOCK, "working on this job"), open(folder / EVENTS, "a", encoding="utf-8") as events:

        def send(event: dict[str, Any]) -> None:
            events.write(json.dumps({"t": time.time(), **event}) + "\n")
            events.flush()

        with atomic_file(folder / PID) as path:
            path.write_text(str(os.getpid()))
        send_records(send)
        progress = EventProgress(send)
        send({"began": True})
        if is_held(folder.parent / TURN):
            progress.stage(WAITING)
        try:
            _queue(folder)
            with patient_lock(
                folder.parent / TURN, "working on another job"
            ):  # one job at a time: two at once would take longer
                outcome = KINDS[job["kind"]](folder, job, progress)
        except HeadstartError as exc:
            outcome = {"error": exc.render(spell_label)}
        except KeyboardInterrupt:
            return
        except Exception as exc:  # noqa: BLE001 - shown on the page
            traceback.print_exc()
            outcome = {"error": f"{type(exc).__name__}: {exc}. This is a bug in headstart; please report it."}
        if "error" in outcome and (folder / STOP).exists():
            return  # the error comes from a child process that was stopped too
        send({"ended": True})
        with atomic_file(folder / OUTCOME) as path:
            path.write_text(json.dumps(outcome), encoding="utf-8")


def _queue(folder: Path) -> None:
    """Wait until no earlier job waits or works. A lock alone would not keep the order of the jobs."""
    locks = [job / LOCK for job in folder.parent.iterdir() if job.is_dir() and job.name < folder.name]
    earlier = {lock: Watch(lock) for lock in locks}
    while any(is_held(lock) and not watch.has_stopped() for lock, watch in earlier.items()):
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
