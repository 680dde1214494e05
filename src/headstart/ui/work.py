"""A job's own process: does the work and writes down how it goes. ``python -m headstart.ui.work FOLDER``."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from headstart import console
from headstart.errors import HeadstartError

JOB, EVENTS, OUTCOME, LOCK, TURN = "job.json", "events.jsonl", "outcome.json", "running.lock", "turn.lock"
"""Files of a job: what is to be done, what happened, what came out; held while it runs; held by the one at work."""

AUDIT_PAGE = "audit.html"


def train(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Train; gives the name of the run."""
    from headstart.pipeline import train

    return {"run": train(**arguments).name}


def audit(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Audit; the page goes into the job's folder."""
    from headstart.audit_report import write_page
    from headstart.auditing import audit_data

    console.stage("looking at every example")
    found = audit_data(**arguments)
    console.stage("writing the page")
    write_page(folder / AUDIT_PAGE, found.facts(), found.dataset, template="ui/audit.html.j2", job=folder.name)
    return {"found": [finding.code for finding in found.found()]}


def export(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Export a run."""
    import headstart as hs

    console.stage("exporting, and comparing what comes out")
    hs.export(**arguments)
    return {"run": Path(arguments["run"]).name}


KINDS: dict[str, Callable[[Path, dict[str, Any]], dict[str, Any]]] = {"train": train, "audit": audit, "export": export}


def main(folder: Path) -> None:
    """Do the job in a folder, when it is its turn."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    with FileLock(folder / LOCK), open(folder / EVENTS, "a", encoding="utf-8") as events:

        def send(event: dict[str, Any]) -> None:
            events.write(json.dumps({"t": time.time(), **event}) + "\n")
            events.flush()

        console.forward = send
        send({"began": True})
        try:
            with FileLock(folder.parent / TURN):  # two at once would take longer than one after the other
                outcome = KINDS[job["kind"]](folder, job["arguments"])
        except HeadstartError as exc:
            outcome = {"error": str(exc)}
        except KeyboardInterrupt:
            return
        except Exception as exc:  # noqa: BLE001 - told on the page
            traceback.print_exc()
            outcome = {"error": f"{type(exc).__name__}: {exc}. This is a bug in headstart.", "bug": True}
        send({"ended": True})
        partial = folder / f"{OUTCOME}.partial"
        partial.write_text(json.dumps(outcome), encoding="utf-8")
        partial.replace(folder / OUTCOME)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
