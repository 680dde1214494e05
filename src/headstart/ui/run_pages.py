"""Pages about runs: the list, the report, corrected labels, and predictions for new examples."""

import csv
import re
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headstart.commands.load import Run
from headstart.data.corrections import DROP
from headstart.data.tables import read_cells
from headstart.errors import HeadstartError, InputError
from headstart.reports.run import content
from headstart.runs.tables import LabelIssue, read_label_issues
from headstart.tasks import Task, get_task
from headstart.ui.answers import Answers
from headstart.ui.images import image_response
from headstart.ui.root_folder import RootFolder
from headstart.ui.site import Site, body, form, go_to, page, plain

_MAX_LABEL_ISSUES = 24
_LARGE_PX = 2000
_TICKED = "ticked"  # the ticked labels are the correct ones
_ACCEPTED = "accepted"  # the suggested labels are
_MAX_IMAGE_BYTES, _MAX_TEXT_BYTES = 64_000_000, 200_000  # longer than any base reads


class RunPages:
    """The pages about runs.

    Args:
        site: the server that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._answers = Answers(site.root_folder.scratch)

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/", self.home),
            Route("/runs/{run}", self.results),
            Route("/runs/{run}/retrain", self.retrain, methods=["POST"]),
            Route("/runs/{run}/try", self.try_it),
            Route("/runs/{run}/answer", self.answer, methods=["POST"]),
            Route("/runs/{run}/image", self.image),
            Route("/runs/{run}/remove", self.remove, methods=["POST"]),
        ]

    def home(self, request: Request) -> Response:
        """All runs and unfinished jobs."""
        root_folder = self._site.root_folder
        rows = [_row(root_folder.run(name)) for name in root_folder.run_names()]
        active = [job for job in self._site.jobs.all() if job.status != "done"]
        return page("home", runs=[row for row in rows if row], active=active, root=root_folder.root)

    def results(self, request: Request) -> Response:
        """The report of a run, with a form to correct label issues."""
        run = Run(self._site.run(request))
        if not run.metrics:  # an imported run
            return go_to(f"/runs/{run.name}/try")
        report_content = content(run.folder, _MAX_LABEL_ISSUES)
        return page(
            "run",
            run=run,
            tab="results",
            can_retrain=_can_retrain(self._site.root_folder, run),
            training_log=self._training_log(run.name),
            image_address=f"/runs/{quote(run.name)}/image?file=" if run.facts.modality.has_pixels else None,
            **report_content,
        )

    def _training_log(self, name: str) -> list[tuple[str, bool]]:
        """The log of the training of a run: text of each record, and whether it is a warning."""
        job = self._site.jobs.last("train", run=name)
        return (
            [(plain(text, self._site.root_folder), is_warning) for text, is_warning in job.state().notes] if job else []
        )

    async def retrain(self, request: Request) -> Response:
        """Train again with corrected labels."""
        fields = await form(request)
        run, root_folder = Run(self._site.run(request)), self._site.root_folder
        if not _can_retrain(root_folder, run):
            raise InputError(f"the training data of {run.name} no longer exist.")
        table = await run_in_threadpool(_write_corrections, root_folder, run, fields)
        fine_tuning, task = run.facts.fine_tuning, get_task(run.facts.task)
        was_fine_tuned = fine_tuning is not None and fine_tuning.outcome != "not tried"
        arguments = {
            "data": run.facts.data.path if run.facts.data else None,
            **(run.facts.config or {}),
            "name": re.sub(r"-\d+$", "", run.name),
            "runs": str(root_folder.runs),
            "relabel": str(table),
        }
        if task.trains_on == "features":
            arguments["fine_tune"] = "auto" if was_fine_tuned else "none"
        data = root_folder.relative(
            root_folder.resolve(arguments["data"])
        )  # no query: forms lack some settings of the data
        return await self._site.submit(
            "train",
            arguments,
            title=f"New training of {run.name}",
            data=data,
            has_boxes=task.has_boxes,
        )

    def try_it(self, request: Request) -> Response:
        """The form to try the run on an image or a text."""
        run = Run(self._site.run(request))
        return page("try", run=run, task=get_task(run.facts.task), tab="try")

    async def answer(self, request: Request) -> Response:
        """The prediction for an image or a text with its explanation, as a part of a page."""
        folder = self._site.run(request)
        is_text = request.headers.get("content-type", "").startswith("text/plain")
        received = await body(request, _MAX_TEXT_BYTES if is_text else _MAX_IMAGE_BYTES)
        example = received.decode("utf-8", "surrogateescape").strip() if is_text else received
        if not example:
            raise InputError("the text or image is empty.")
        name = request.query_params.get("name") or "image"
        content = await run_in_threadpool(self._answers, folder, example, name)
        return await run_in_threadpool(lambda: page("answer", **content))

    def image(self, request: Request) -> Response:
        """An image that the run was trained or evaluated on."""
        facts = Run(self._site.run(request)).facts
        example = facts.modality.example_in(Path(facts.data_root), request.query_params.get("file", ""))
        return image_response(self._site.root_folder, example.location or "", _LARGE_PX)

    async def remove(self, request: Request) -> Response:
        """Delete a run."""
        folder, runs = self._site.run(request), self._site.root_folder.runs
        if folder.parent != runs:
            raise InputError(f"{request.path_params['run']} is a link to a run in another folder: remove it there.")
        await run_in_threadpool(self._site.servers.stop, folder.name)
        await run_in_threadpool(shutil.rmtree, folder)
        return go_to("/")


def _row(folder: Path) -> dict[str, Any] | None:
    """A row of the list of runs; None if the run cannot be read."""
    try:
        run = Run(folder)
        name = next(iter(run.metrics), None)
        return {
            "name": run.name,
            "metric": get_task(run.facts.task).metric(name) if name else None,
            "value": run.metrics[name] if name else None,
            "interval": run.intervals[name] if name else (None, None),
            "base": run.facts.base.handle,
            "classes": len(run.classes),
            "examples": run.facts.data.examples if run.facts.data else None,
            "created": run.facts.created,
            "is_fine_tuned": run.facts.fine_tuning is not None and run.facts.fine_tuning.outcome == "kept",
        }
    except HeadstartError:
        return None


def _can_retrain(root_folder: RootFolder, run: Run) -> bool:
    """Whether the data of a run still exist, inside the root."""
    path = run.facts.data.path if run.facts.data else None
    try:
        return path is not None and root_folder.resolve(path).exists()
    except InputError:
        return False


def _verdict(issue: LabelIssue, choice: str, ticked: list[str], run: Run, task: Task) -> str:
    """The chosen labels of a label issue, as the table of corrections holds them."""
    if task.relabel_control == "tick several" and choice == _TICKED:
        return task.cell_of(name for name in run.classes if name in ticked)
    if task.relabel_control == "accept" and choice == _ACCEPTED:
        return issue.suggested_cell
    label = "".join(ticked[:1]) or choice
    return label if label in (DROP, *run.classes) else issue.label_cell


def _write_corrections(root_folder: RootFolder, run: Run, fields: QueryParams) -> Path:
    """Write the corrections of a form as a table for ``relabel``, with the corrections that the run was trained with.

    Raises:
        InputError: no label was changed.
    """
    issues, task = read_label_issues(run.folder, run.facts), get_task(run.facts.task)
    corrections: dict[str, tuple[str, str]] = {}
    earlier = (run.facts.config or {}).get("relabel")
    if earlier and root_folder.resolve(earlier).is_file():
        for _, cells in read_cells(Path(earlier)):
            corrections[cells["file"]] = (cells["label"], cells.get("sha256", ""))
    before = dict(corrections)
    for i, issue in enumerate(issues):
        label = _verdict(issue, fields.get(f"verdict-{i}", ""), fields.getlist(f"other-{i}"), run, task)
        if label != issue.label_cell:
            corrections[issue.file] = (label, issue.sha256)
    if corrections == before:
        raise InputError("no label was changed: change at least one label, then train again.")
    folder = root_folder.jobs.parent / "corrections"
    folder.mkdir(exist_ok=True)
    table = folder / f"{run.name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:6]}.csv"
    with open(table, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "sha256"))
        writer.writerows((name, label, digest) for name, (label, digest) in corrections.items())
    return table
