"""Pages about jobs: watch them, stop them, go on with them."""

import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from headstart.config import AUTO
from headstart.errors import InputError
from headstart.reports import plots
from headstart.ui.jobs import Job, State
from headstart.ui.place import Place
from headstart.ui.site import Site, go_to, page, plain
from headstart.ui.work import AUDIT_PAGE


class JobPages:
    """The pages that are about jobs.

    Args:
        site: that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/jobs/{job}", self.watch),
            Route("/jobs/{job}/progress", self.progress),
            Route("/jobs/{job}/stop", self.stop, methods=["POST"]),
            Route("/jobs/{job}/resume", self.resume, methods=["POST"]),
            Route("/jobs/{job}/remove", self.remove, methods=["POST"]),
            Route("/jobs/{job}/audit", self.audit),
        ]

    def watch(self, request: Request) -> Response:
        """How far a job is."""
        job = self._job(request)
        return page("job", job=job, goto=_result(job), **told(job, self._site.place))

    def progress(self, request: Request) -> Response:
        """The part of that page that changes; headers tell the script when it is over, and where the result is."""
        job = self._job(request)
        answer = page("progress", job=job, goto=_result(job), **told(job, self._site.place))
        answer.headers["X-Status"] = job.status
        answer.headers["X-Go-To"] = _result(job) or ""
        return answer

    async def stop(self, request: Request) -> Response:
        """End its process."""
        job = self._job(request)
        await run_in_threadpool(job.stop)
        return go_to(f"/jobs/{job.id}")

    async def resume(self, request: Request) -> Response:
        """Go on, or try again."""
        job = self._job(request)
        if job.status in ("stopped", "failed"):
            await run_in_threadpool(job.start)
        return go_to(f"/jobs/{job.id}")

    async def remove(self, request: Request) -> Response:
        """Forget it."""
        await run_in_threadpool(self._site.jobs.remove, self._job(request))
        return go_to("/")

    def audit(self, request: Request) -> Response:
        """The page that an audit wrote."""
        path = self._job(request).folder / AUDIT_PAGE
        if not path.is_file():
            raise InputError("that check is not done.")
        return HTMLResponse(path.read_bytes())

    def _job(self, request: Request) -> Job:
        return self._site.jobs[request.path_params["job"]]


_STAGES = {
    "data": "Reading the data",
    "choice of the base": "Comparing bases",
    "base": "Opening the base",
    "features": "Running the base over every example, once",
    "audit and split": "Checking, and setting some apart to judge by",
    "head": "Solving the head",
    "search": "Searching for a better head",
    "fine-tuning": "Fine-tuning",
    "evaluation": "Judging it on what it has not seen",
    "run": "Writing the run, and proving it",
}
"""What the stages of :func:`headstart.train` are called on the page."""


def told(job: Job, place: Place) -> dict[str, Any]:
    """How far a job is, for its page."""
    state, now, status = job.state(), time.time(), job.status
    end = state.ended or (now if status == "running" else state.last)
    outcome = job.outcome
    if outcome and "error" in outcome:
        outcome["error"] = plain(outcome["error"], place)
    starts = [start for _, start in state.stages]
    stages = [
        {
            "name": _STAGES.get(name, name.capitalize()),
            "seconds": (starts[i + 1] if i + 1 < len(starts) else end) - start,
            "now": i + 1 == len(starts),
        }
        for i, (name, start) in enumerate(state.stages)
        if name != "fine-tuning" or job.told["arguments"].get("fine_tune") != "none"
    ]
    return {
        "status": status,
        "outcome": outcome,
        "stages": stages,
        "waits": state.waits,
        "to_come": _to_come(job, state) if status == "running" else [],
        "bar": state.bar,
        "notes": [(plain(text, place), is_warning) for text, is_warning in state.notes],
        "seconds": end - state.began if state.began else None,
        "curves": _curves(state),
        "left_s": max(0.0, state.left_s - (now - state.told)) if state.left_s else None,
    }


def _to_come(job: Job, state: State) -> list[str]:
    """The stages of a training that are still to come."""
    if job.kind != "train" or state.waits:
        return []
    asked, begun = job.told["arguments"], {name for name, _ in state.stages}
    passed = {
        "choice of the base": asked.get("base") != AUTO,
        "search": not asked.get("search"),
        "fine-tuning": asked.get("fine_tune") == "none",
    }
    return [told for name, told in _STAGES.items() if name not in begun and not passed.get(name)]


def _curves(state: State) -> list[Any]:
    """Loss and accuracy by epoch, as far as they are known."""
    drawn = []
    for name in ("loss", "accuracy"):
        train, val = (
            [(row["epoch"], row[key]) for row in state.epochs if row.get(key) is not None]
            for key in (name, f"val_{name}")
        )
        if len(train) > 1 or len(val) > 1:
            drawn.append(plots.epoch_curve(train, val, name, None))
    return drawn


def _result(job: Job) -> str | None:
    """Where what came out can be seen."""
    outcome = job.outcome
    if not outcome or "error" in outcome:
        return None
    return {
        "train": f"/runs/{outcome.get('run')}",
        "audit": f"/jobs/{job.id}/audit",
        "export": f"/runs/{outcome.get('run')}/export",
    }[job.kind]
