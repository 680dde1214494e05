"""Pages about runs: how good one is, labels to mend, try it, export it."""

import csv
import importlib
import time
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from headstart.data.corrections import DROP
from headstart.data.tables import read_cells
from headstart.errors import InputError
from headstart.report import content
from headstart.run import Run
from headstart.ui.answers import Answers
from headstart.ui.place import Place
from headstart.ui.site import Site, body, form, go_to, page

_SUSPECTS_SHOWN = 48
_MAX_QUESTION_BYTES = 64 << 20
_FILES = {
    "report.html": "the report as one page, to mail or keep",
    "model.keras": "the Keras model: raw pixels or token ids in, probabilities out",
    "predictions.csv": "what it said of every example",
    "suspects.csv": "labels that may be wrong",
}


def routes(site: Site) -> list[Route]:
    """The pages of a site that are about runs."""
    answers = Answers(site.place.scratch)

    def _folder(request: Request) -> Path:
        return site.place.run(request.path_params["run"])

    def home(request: Request) -> Response:
        jobs = site.jobs.all()
        return page(
            "home",
            runs=[row for name in site.place.run_names() if (row := _row(site.place.run(name)))],
            active=[job for job in jobs if job.status in ("running", "stopped", "failed")],
            root=site.place.root,
        )

    def results(request: Request) -> Response:
        folder = _folder(request)
        run = Run(folder)
        if not run.metrics:  # it was adopted
            return go_to(f"/runs/{folder.name}/try")
        return page("run", run=run, tab="results", can_retrain=_can_retrain(site.place, run), **content(folder, _SUSPECTS_SHOWN))

    async def retrain(request: Request) -> Response:
        fields = await form(request)
        run = Run(_folder(request))
        if not _can_retrain(site.place, run):
            raise InputError(f"the data that {run.name} was trained on are no longer there.")
        table = await run_in_threadpool(_write_verdicts, site.place, run, fields)
        asked = run.facts["asked"]
        tried = (run.facts.get("fine_tuning") or {}).get("outcome", "not tried") != "not tried"
        arguments = {
            **asked, "name": run.name, "runs": str(site.place.runs), "relabel": str(table),
            "fine_tune": "auto" if tried else "none",
        }  # fmt: skip
        data = site.place.told(site.place.inside(asked["data"]))
        job = await run_in_threadpool(site.jobs.add, "train", arguments, f"Training of {run.name} anew", data)
        return go_to(f"/jobs/{job.id}")

    def try_it(request: Request) -> Response:
        return page("try", run=Run(_folder(request)), tab="try")

    async def answer(request: Request) -> Response:
        folder = _folder(request)
        given: bytes | str = await body(request, _MAX_QUESTION_BYTES)
        if request.headers.get("content-type", "").startswith("text/plain"):
            given = given.decode("utf-8", "surrogateescape")
        name = request.query_params.get("name") or "picture"
        if not given:
            raise InputError("there is nothing to look at yet.")
        told = await run_in_threadpool(answers, folder, given, name)
        return await run_in_threadpool(lambda: page("answer", **told))

    def export(request: Request) -> Response:
        folder = _folder(request)
        files = [(name, told, _megabytes(folder / name)) for name, told in _FILES.items() if (folder / name).is_file()]
        exports = [(path.name, _megabytes(path)) for path in sorted((folder / "exports").glob("*")) if path.is_dir()]
        jobs = [
            job for job in site.jobs.all()
            if job.kind == "export" and job.told["data"] == folder.name and job.status != "done"
        ]  # fmt: skip
        return page(
            "export", run=Run(folder), tab="export", files=files, exports=exports, jobs=jobs, formats=export_formats()
        )

    async def begin_export(request: Request) -> Response:
        folder = _folder(request)
        fields = await form(request)
        chosen = [name for name in export_formats() if fields.get(name)]
        if not chosen:
            raise InputError("choose at least one format.")
        arguments = {"run": str(folder), "to": chosen}
        job = await run_in_threadpool(site.jobs.add, "export", arguments, f"Export of {folder.name}", folder.name)
        return go_to(f"/jobs/{job.id}")

    def download(request: Request) -> Response:
        folder, what = _folder(request), request.path_params["what"]
        if what in _FILES and (folder / what).is_file():
            return FileResponse(folder / what, filename=f"{folder.name}-{what}")
        exported = {f"exports/{path.name}": path for path in (folder / "exports").glob("*") if path.is_dir()}
        source = folder if what == "run" else exported.get(what)
        if source is None:
            raise InputError(f"{folder.name} has no {what}.")
        name = folder.name if source == folder else f"{folder.name}-{source.name}"
        archive = site.place.scratch / f"{uuid4().hex}.zip"
        _pack(source, archive, name)
        return FileResponse(
            archive, filename=f"{name}.zip", background=BackgroundTask(archive.unlink, missing_ok=True)
        )

    return [
        Route("/", home),
        Route("/runs/{run}", results),
        Route("/runs/{run}/retrain", retrain, methods=["POST"]),
        Route("/runs/{run}/try", try_it),
        Route("/runs/{run}/answer", answer, methods=["POST"]),
        Route("/runs/{run}/export", export),
        Route("/runs/{run}/export", begin_export, methods=["POST"]),
        Route("/runs/{run}/download/{what:path}", download),
    ]


def export_formats() -> dict[str, str]:
    """What a run can be exported to: name -> what it is."""
    try:
        return dict(importlib.import_module("headstart.exporting").FORMATS)
    except ModuleNotFoundError:
        return {}


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
            "base": run.facts["base"]["handle"],
            "classes": len(run.classes),
            "examples": (run.facts.get("data") or {}).get("examples"),
            "created": run.facts.get("created") or "",
            "tried": (run.facts.get("fine_tuning") or {}).get("outcome") == "kept",
        }
    except (OSError, ValueError, KeyError):
        return None


def _can_retrain(place: Place, run: Run) -> bool:
    """Whether the data of a run are still there, and in the root."""
    asked = run.facts.get("asked") or {}
    try:
        return bool(asked.get("data")) and place.inside(asked["data"]).exists()
    except InputError:
        return False


def _write_verdicts(place: Place, run: Run, fields: dict[str, str]) -> Path:
    """The verdicts of a form as a table for ``--relabel``, together with those that the run was trained with.

    Raises:
        InputError: there are none.
    """
    suspects = [cells for _, cells in read_cells(run.folder / "suspects.csv")]
    verdicts: dict[str, tuple[str, str]] = {}
    earlier = run.facts["asked"].get("relabel")
    if earlier and place.inside(earlier).is_file():
        for _, cells in read_cells(Path(earlier)):
            verdicts[cells["file"]] = (cells["label"], cells.get("sha256", ""))
    before = dict(verdicts)
    for i, suspect in enumerate(suspects):
        label = fields.get(f"other-{i}") or fields.get(f"verdict-{i}") or suspect["label"]
        if label in (DROP, *run.classes) and label != suspect["label"]:
            verdicts[suspect["file"]] = (label, suspect["sha256"])
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


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _pack(folder: Path, archive: Path, name: str) -> None:
    """A folder as a zip; links are left out."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                packed.write(path, Path(name, path.relative_to(folder)))


