"""Pages about jobs: progress, stop, resume, remove."""

import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from headstart.config import AUTO
from headstart.errors import InputError
from headstart.reports import plots
from headstart.ui.job_process import AUDIT_PAGE
from headstart.ui.jobs import Job, State
from headstart.ui.root_folder import RootFolder
from headstart.ui.site import Site, go_to, page, plain


class JobPages:
    """The pages about jobs.

    Args:
        site: the server that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/jobs/{job}", self.show),
            Route("/jobs/{job}/progress", self.progress),
            Route("/jobs/{job}/stop", self.stop, methods=["POST"]),
            Route("/jobs/{job}/resume", self.resume, methods=["POST"]),
            Route("/jobs/{job}/remove", self.remove, methods=["POST"]),
            Route("/jobs/{job}/audit", self.audit),
        ]

    def show(self, request: Request) -> Response:
        """The progress of a job."""
        job = self._job(request)
        return page(
            "job", job=job, result_address=_result_address(job), **progress_content(job, self._site.root_folder)
        )

    def progress(self, request: Request) -> Response:
        """The part of that page that changes. The headers hold the status and the address of the result."""
        job = self._job(request)
        response = page(
            "progress", job=job, result_address=_result_address(job), **progress_content(job, self._site.root_folder)
        )
        response.headers["X-Status"] = job.status
        response.headers["X-Go-To"] = _result_address(job) or ""
        return response

    async def stop(self, request: Request) -> Response:
        """Stop a job."""
        job = self._job(request)
        await run_in_threadpool(job.stop)
        return go_to(f"/jobs/{job.id}")

    async def resume(self, request: Request) -> Response:
        """Resume or repeat a job."""
        job = self._job(request)
        if job.status in ("stopped", "failed"):
            await run_in_threadpool(job.start)
        return go_to(f"/jobs/{job.id}")

    async def remove(self, request: Request) -> Response:
        """Remove a job."""
        await run_in_threadpool(self._site.jobs.remove, self._job(request))
        return go_to("/")

    def audit(self, request: Request) -> Response:
        """The report of an audit."""
        path = self._job(request).folder / AUDIT_PAGE
        if not path.is_file():
            raise InputError("this check is not finished.")
        return HTMLResponse(path.read_bytes())

    def _job(self, request: Request) -> Job:
        return self._site.jobs[request.path_params["job"]]


_STAGES = {
    "data": "Reading the data",
    "choice of the base": "Comparing bases",
    "base": "Loading the base",
    "features": "Computing features",
    "audit and split": "Auditing and splitting the data",
    "detector": "Training the detector",
    "head": "Training the head",
    "search": "Searching for a better head",
    "fine-tuning": "Fine-tuning",
    "evaluation": "Evaluating",
    "run": "Writing and verifying the run",
}
"""Stages of :func:`headstart.train` -> their titles on the page."""


def progress_content(job: Job, root_folder: RootFolder) -> dict[str, Any]:
    """The progress of a job, as ``progress.html.j2`` shows it."""
    state, now, status = job.state(), time.time(), job.status
    end = state.ended or (now if status == "running" else state.last)
    outcome = job.outcome
    if outcome and "error" in outcome:
        outcome["error"] = plain(outcome["error"], root_folder)
    starts = [start for _, start in state.stages]
    stages = [
        {
            "name": _STAGES.get(name, name.capitalize()),
            "seconds": (starts[i + 1] if i + 1 < len(starts) else end) - start,
            "is_current": i + 1 == len(starts),
        }
        for i, (name, start) in enumerate(state.stages)
        if name != "fine-tuning" or job.description["arguments"].get("fine_tune") != "none"
    ]
    return {
        "status": status,
        "outcome": outcome,
        "stages": stages,
        "waits": state.is_waiting,
        "next_stages": _next_stages(job, state) if status == "running" else [],
        "bar": state.bar,
        "notes": [(plain(text, root_folder), is_warning) for text, is_warning in state.notes],
        "seconds": end - state.began if state.began else None,
        "curves": _curves(state),
        "left_s": max(0.0, state.left_s - (now - state.left_updated)) if state.left_s else None,
    }


def _next_stages(job: Job, state: State) -> list[str]:
    """The stages of a training that are still to come."""
    if job.kind != "train" or state.is_waiting:
        return []
    arguments, started = job.description["arguments"], {name for name, _ in state.stages}
    is_left_out = {
        "choice of the base": arguments.get("base") != AUTO,
        "search": not arguments.get("search"),
        "fine-tuning": arguments.get("fine_tune") == "none",
        "detector": True,
    }
    if job.description.get("has_boxes"):
        is_left_out |= {"detector": False, "head": True, "search": True, "fine-tuning": True}
    return [title for name, title in _STAGES.items() if name not in started and not is_left_out.get(name)]


def _curves(state: State) -> list[Any]:
    """Plots of loss and accuracy by epoch, and of the mAP of a detector."""
    curves = []
    for name, train_key, val_key in (
        ("loss", "loss", "val_loss"), ("accuracy", "accuracy", "val_accuracy"), ("mAP50-95", "", "val_map"),
    ):  # fmt: skip
        train, val = (
            [(row["epoch"], row[key]) for row in state.epochs if row.get(key) is not None]
            for key in (train_key, val_key)
        )
        if len(train) > 1 or len(val) > 1:
            curves.append(plots.epoch_curve(train, val, name, None))
    return curves


def _result_address(job: Job) -> str | None:
    """The address of the result; None before there is one."""
    outcome = job.outcome
    if not outcome or "error" in outcome:
        return None
    return {
        "train": f"/runs/{outcome.get('run')}",
        "audit": f"/jobs/{job.id}/audit",
        "export": f"/runs/{outcome.get('run')}/export",
    }[job.kind]
