"""Pages about runs: all of them, how good one is, labels to mend, and trying it."""

import csv
import re
import shutil
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headstart.commands.load import Run
from headstart.data.corrections import DROP
from headstart.data.labels import SEPARATOR
from headstart.data.tables import read_cells
from headstart.errors import HeadstartError, InputError
from headstart.reports.run import content
from headstart.runs.tables import LabelIssue, read_label_issues
from headstart.ui.answers import Answers
from headstart.ui.place import Place
from headstart.ui.site import Site, body, form, go_to, page, plain

_SUSPECTS_SHOWN = 24
_TICKED = "ticked"  # where an example has any number of labels: those that are right
_MAX_PICTURE_BYTES, _MAX_TEXT_BYTES = 64_000_000, 200_000  # of what is tried; no base reads so long a text


class RunPages:
    """The pages that are about runs.

    Args:
        site: that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._answers = Answers(site.place.scratch)

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/", self.home),
            Route("/runs/{run}", self.results),
            Route("/runs/{run}/retrain", self.retrain, methods=["POST"]),
            Route("/runs/{run}/try", self.try_it),
            Route("/runs/{run}/answer", self.answer, methods=["POST"]),
            Route("/runs/{run}/remove", self.remove, methods=["POST"]),
        ]

    def home(self, request: Request) -> Response:
        """All runs, and what is not finished."""
        place = self._site.place
        rows = [_row(place.run(name)) for name in place.run_names()]
        active = [job for job in self._site.jobs.all() if job.status != "done"]
        return page("home", runs=[row for row in rows if row], active=active, root=place.root)

    def results(self, request: Request) -> Response:
        """The report of a run, with buttons beside the labels in doubt."""
        run = Run(self._site.run(request))
        if not run.metrics:  # it was adopted
            return go_to(f"/runs/{run.name}/try")
        told = content(run.folder, _SUSPECTS_SHOWN)
        return page(
            "run",
            run=run,
            tab="results",
            can_retrain=_can_retrain(self._site.place, run),
            said=self._said(run.name),
            **told,
        )

    def _said(self, name: str) -> list[tuple[str, bool]]:
        """What the training of a run told while nobody may have been looking; each with whether it is a warning."""
        job = self._site.jobs.last("train", run=name)
        return [(plain(text, self._site.place), is_warning) for text, is_warning in job.state().notes] if job else []

    async def retrain(self, request: Request) -> Response:
        """Train again, with the labels that were mended."""
        fields = await form(request)
        run, place = Run(self._site.run(request)), self._site.place
        if not _can_retrain(place, run):
            raise InputError(f"the data that {run.name} was trained on are no longer there.")
        table = await run_in_threadpool(_write_verdicts, place, run, fields)
        fine_tuning = run.facts.fine_tuning
        tried = fine_tuning is not None and fine_tuning.outcome != "not tried"
        arguments = {
            "data": run.facts.data.path if run.facts.data else None,
            **(run.facts.config or {}),
            "name": re.sub(r"-\d+$", "", run.name),
            "runs": str(place.runs),
            "relabel": str(table),
            "fine_tune": "auto" if tried else "none",
        }
        data = place.told(
            place.inside(arguments["data"])
        )  # no query: a run may know more of how they are read than a form
        return await self._site.submit("train", arguments, title=f"Training of {run.name} anew", data=data)

    def try_it(self, request: Request) -> Response:
        """Where a picture or a text can be brought."""
        return page("try", run=Run(self._site.run(request)), tab="try")

    async def answer(self, request: Request) -> Response:
        """What a run says of one, and why, as part of a page."""
        folder = self._site.run(request)
        is_text = request.headers.get("content-type", "").startswith("text/plain")
        given = await body(request, _MAX_TEXT_BYTES if is_text else _MAX_PICTURE_BYTES)
        asked = given.decode("utf-8", "surrogateescape").strip() if is_text else given
        if not asked:
            raise InputError("there is nothing to look at yet.")
        name = request.query_params.get("name") or "picture"
        told = await run_in_threadpool(self._answers, folder, asked, name)
        return await run_in_threadpool(lambda: page("answer", **told))

    async def remove(self, request: Request) -> Response:
        """Delete a run."""
        folder, runs = self._site.run(request), self._site.place.runs
        if folder.parent != runs:
            raise InputError(f"{request.path_params['run']} is a link to a run that lies elsewhere: remove it there.")
        await run_in_threadpool(self._site.servers.stop, folder.name)
        await run_in_threadpool(shutil.rmtree, folder)
        return go_to("/")


def _row(folder: Path) -> dict[str, Any] | None:
    """A run in the list; None if it cannot be read."""
    try:
        run = Run(folder)
        name = next(iter(run.metrics), None)
        return {
            "name": run.name,
            "figure": name,
            "value": run.metrics[name] if name else None,
            "interval": run.intervals[name] if name else (None, None),
            "base": run.facts.base.handle,
            "classes": len(run.classes),
            "examples": run.facts.data.examples if run.facts.data else None,
            "created": run.facts.created,
            "tried": run.facts.fine_tuning is not None and run.facts.fine_tuning.outcome == "kept",
        }
    except HeadstartError:
        return None


def _can_retrain(place: Place, run: Run) -> bool:
    """Whether the data of a run are still there, and in the root."""
    path = run.facts.data.path if run.facts.data else None
    try:
        return path is not None and place.inside(path).exists()
    except InputError:
        return False


def _verdict(issue: LabelIssue, chosen: str, ticked: list[str], run: Run) -> str:
    """What a form says about a suspected label, as it stands in a table."""
    if run.facts.is_multi_label and chosen == _TICKED:
        return SEPARATOR.join(name for name in run.classes if name in ticked)
    label = "".join(ticked[:1]) or chosen
    return label if label in (DROP, *run.classes) else SEPARATOR.join(issue.labels)


def _write_verdicts(place: Place, run: Run, fields: QueryParams) -> Path:
    """The verdicts of a form as a table for ``--relabel``, together with those that the run was trained with.

    Raises:
        InputError: there are none.
    """
    issues = read_label_issues(run.folder, run.facts)
    verdicts: dict[str, tuple[str, str]] = {}
    earlier = (run.facts.config or {}).get("relabel")
    if earlier and place.inside(earlier).is_file():
        for _, cells in read_cells(Path(earlier)):
            verdicts[cells["file"]] = (cells["label"], cells.get("sha256", ""))
    before = dict(verdicts)
    for i, issue in enumerate(issues):
        label = _verdict(issue, fields.get(f"verdict-{i}", ""), fields.getlist(f"other-{i}"), run)
        if label != SEPARATOR.join(issue.labels):
            verdicts[issue.file] = (label, issue.sha256)
    if verdicts == before:
        raise InputError("no label was changed: accept or change at least one, then train again.")
    folder = place.jobs.parent / "verdicts"
    folder.mkdir(exist_ok=True)
    table = folder / f"{run.name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:6]}.csv"
    with open(table, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "sha256"))
        writer.writerows((name, label, digest) for name, (label, digest) in verdicts.items())
    return table
