"""Pages about taking a run elsewhere: exports, and the files of the run as they are."""

import json
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from headstart.commands.load import Run
from headstart.errors import InputError, UnavailableError
from headstart.exporting.formats import FORMATS, check_installed, obstacles
from headstart.ui.place import NotThereError
from headstart.ui.site import Site, form, go_to, page

_FILES = {
    "report.html": "the report as one page, to mail or keep",
    "model.keras": "the Keras model: raw pixels or token ids in, probabilities out",
    "predictions.csv": "what it said of every example",
    "suspects.csv": "labels that may be wrong",
}

_GOOD_FOR = {
    "onnx": "servers and desktop programs, in almost any language",
    "litert": "phones and small devices; MediaPipe reads its labels",
    "litert:float16": "the same in half the size",
    "litert:int8": "the same in a quarter of the size, for chips that only count in integers; answers change a little",
    "openvino": "processors, graphics and NPUs of Intel",
    "saved-model": "TensorFlow Serving, and whatever else serves TensorFlow",
    "keras": "going on in Keras",
}


class ExportPages:
    """The pages that are about taking a run elsewhere.

    Args:
        site: that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/runs/{run}/export", self.choose),
            Route("/runs/{run}/export", self.begin, methods=["POST"]),
            Route("/runs/{run}/download/{what:path}", self.download),
            Route("/runs/{run}/serve", self.serve, methods=["POST"]),
            Route("/runs/{run}/serve/end", self.end, methods=["POST"]),
        ]

    def choose(self, request: Request) -> Response:
        """What there is, and what there can be."""
        folder = self._site.run(request)
        files = [(name, told, _megabytes(folder / name)) for name, told in _FILES.items() if (folder / name).is_file()]
        exports = [_told(path) for path in _exports(folder)]
        run = Run(folder)
        servers = self._site.servers
        server = {"address": servers.address(folder.name), "why_not": servers.why_not()}
        return page("export", run=run, tab="export", files=files, exports=exports, formats=_formats(run), server=server)

    async def begin(self, request: Request) -> Response:
        """Export, in a job."""
        folder = self._site.run(request)
        fields = await form(request)
        chosen = [name for name in FORMATS if fields.get(name)]
        if not chosen:
            raise InputError("choose at least one format.")
        arguments = {"run": str(folder), "to": chosen}
        return await self._site.submit("export", arguments, title=f"Export of {folder.name}")

    def serve(self, request: Request) -> Response:
        """Let programs ask the run."""
        folder = self._site.run(request)
        self._site.servers.start(folder)
        return go_to(f"/runs/{quote(folder.name)}/export#server")

    def end(self, request: Request) -> Response:
        """No longer."""
        folder = self._site.run(request)
        self._site.servers.stop(folder.name)
        return go_to(f"/runs/{quote(folder.name)}/export#server")

    def download(self, request: Request) -> Response:
        """A file of the run; the run or an export as a zip."""
        folder, what = self._site.run(request), request.path_params["what"]
        if what in _FILES and (folder / what).is_file():
            return FileResponse(folder / what, filename=f"{folder.name}-{what}")
        folders = {"run": folder} | {f"exports/{path.name}": path for path in _exports(folder)}
        if what not in folders:
            raise NotThereError(f"the run {folder.name} has no {what}.")
        name = folder.name if what == "run" else f"{folder.name}-{folders[what].name}"
        archive = self._site.place.scratch / f"{uuid4().hex}.zip"
        _pack(folders[what], archive, name)
        return FileResponse(archive, filename=f"{name}.zip", background=BackgroundTask(archive.unlink, missing_ok=True))


def _formats(run: Run) -> list[dict[str, str]]:
    """What a run can be exported to: ``name``, ``what`` people call it, what it is ``good_for``, and ``why_not``."""
    told, against = [], obstacles(run.folder, run.facts)
    for name, one in FORMATS.items():
        why_not_here = against[name]
        if not why_not_here:
            try:
                check_installed([one])
            except UnavailableError as exc:
                why_not_here = str(exc)
        told.append({"name": name, "what": one.title, "good_for": _GOOD_FOR[name], "why_not": why_not_here})
    return told


def _exports(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "exports").glob("[!.]*") if path.is_dir() and not path.is_symlink())


def _told(folder: Path) -> dict[str, Any]:
    """An export, and how it compares with the run."""
    path = folder / "export.json"
    replay = json.loads(path.read_text(encoding="utf-8")).get("replay", {}) if path.is_file() else {}
    return {"name": folder.name, "mb": _megabytes(folder), "replay": replay}


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _pack(folder: Path, archive: Path, name: str) -> None:
    """A folder as a zip; links are left out."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                packed.write(path, Path(name, path.relative_to(folder)))
