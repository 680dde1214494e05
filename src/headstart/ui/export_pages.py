"""Pages about exports: export formats, the server of a run, and downloads."""

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
from headstart.ui.root_folder import NotFoundError
from headstart.ui.site import Site, form, go_to, page

_FILES = {
    "report.html": "the report as one HTML file",
    "model.keras": "the Keras model: raw pixels or token ids in, predictions out",
    "predictions.csv": "the prediction for every example",
    "suspects.csv": "labels that may be wrong",
}

_USES = {
    "onnx": "servers and desktop programs, in almost any language",
    "onnx:nms": "the same for detectors: objects come out, nothing is left to compute",
    "litert": "phones and small devices; MediaPipe reads its labels",
    "litert:float16": "half the size of litert",
    "litert:int8": "a quarter of the size of litert, for integer-only chips; predictions change slightly",
    "openvino": "Intel CPUs, GPUs and NPUs",
    "saved-model": "TensorFlow Serving and other TensorFlow servers",
    "keras": "further work in Keras",
}


class ExportPages:
    """The pages about exports.

    Args:
        site: the server that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/runs/{run}/export", self.choose),
            Route("/runs/{run}/export", self.export, methods=["POST"]),
            Route("/runs/{run}/download/{file:path}", self.download),
            Route("/runs/{run}/serve", self.serve, methods=["POST"]),
            Route("/runs/{run}/serve/stop", self.stop_serving, methods=["POST"]),
        ]

    def choose(self, request: Request) -> Response:
        """The finished exports, and the form to export."""
        folder = self._site.run(request)
        files = [
            (name, description, _megabytes(folder / name))
            for name, description in _FILES.items()
            if (folder / name).is_file()
        ]
        exports = [_export(path) for path in _exports(folder)]
        run = Run(folder)
        servers = self._site.servers
        server = {"address": servers.address(folder.name), "why_not": servers.why_not()}
        return page("export", run=run, tab="export", files=files, exports=exports, formats=_formats(run), server=server)

    async def export(self, request: Request) -> Response:
        """Start an export."""
        folder = self._site.run(request)
        fields = await form(request)
        formats = [name for name in FORMATS if fields.get(name)]
        if not formats:
            raise InputError("choose at least one format.")
        arguments = {"run": str(folder), "to": formats}
        return await self._site.submit("export", arguments, title=f"Export of {folder.name}")

    def serve(self, request: Request) -> Response:
        """Start an HTTP server of the run."""
        folder = self._site.run(request)
        self._site.servers.start(folder)
        return go_to(f"/runs/{quote(folder.name)}/export#server")

    def stop_serving(self, request: Request) -> Response:
        """Stop the HTTP server of the run."""
        folder = self._site.run(request)
        self._site.servers.stop(folder.name)
        return go_to(f"/runs/{quote(folder.name)}/export#server")

    def download(self, request: Request) -> Response:
        """Download a file of the run; or the run, or an export, as a zip."""
        folder, file = self._site.run(request), request.path_params["file"]
        if file in _FILES and (folder / file).is_file():
            return FileResponse(folder / file, filename=f"{folder.name}-{file}")
        folders = {"run": folder} | {f"exports/{path.name}": path for path in _exports(folder)}
        if file not in folders:
            raise NotFoundError(f"the run {folder.name} has no {file}.")
        name = folder.name if file == "run" else f"{folder.name}-{folders[file].name}"
        archive = self._site.root_folder.scratch / f"{uuid4().hex}.zip"
        _pack(folders[file], archive, name)
        return FileResponse(archive, filename=f"{name}.zip", background=BackgroundTask(archive.unlink, missing_ok=True))


def _formats(run: Run) -> list[dict[str, str]]:
    """The export formats: ``name``, ``title``, ``use``, and ``why_not`` (why this run cannot be exported to it)."""
    rows, reasons = [], obstacles(run.folder, run.facts)
    for name, export_format in FORMATS.items():
        reason = reasons[name]
        if not reason:
            try:
                check_installed([export_format])
            except UnavailableError as exc:
                reason = str(exc)
        rows.append({"name": name, "title": export_format.title, "use": _USES[name], "why_not": reason})
    return rows


def _exports(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "exports").glob("[!.]*") if path.is_dir() and not path.is_symlink())


def _export(folder: Path) -> dict[str, Any]:
    """An export: ``name``, ``mb``, and ``replay``, its comparison with the run."""
    path = folder / "export.json"
    try:
        replay = json.loads(path.read_bytes())["replay"]
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or not made by headstart
        replay = {}
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
