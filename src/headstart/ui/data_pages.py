"""Pages about data: bring some, look at them, check them, train on them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headstart.bases import DEFAULT_BASES
from headstart.bases.candidates import ALL, AUTO, candidates
from headstart.bases.catalog import entries
from headstart.data.dataset import Dataset, count_classes, load_dataset
from headstart.data.labels import is_multi_label
from headstart.data.tables import read_cells
from headstart.errors import InputError
from headstart.keras_process import can_train
from headstart.pictures import jpeg, thumbnail
from headstart.reader import NOUNS, Modality
from headstart.report import beginning
from headstart.run import check_name
from headstart.settings import is_offline
from headstart.ui.place import Place
from headstart.ui.site import Site, form, go_to, page, stream
from headstart.ui.uploads import Upload, clean_name

_THUMBNAIL_PX = 200
_SAMPLES, _CLASSES_SHOWN = 6, 12  # of each class; classes
_COLUMNS = ("text_column", "path_column", "label_column", "label_separator", "split_column")


def routes(site: Site) -> list[Route]:
    """The pages of a site that are about data."""

    def new(request: Request) -> Response:
        folder = site.place.inside(request.query_params.get("in", "."))
        uploads = [site.place.told(path) for path in site.place.uploaded()]
        return page(
            "new",
            here=site.place.told(folder),
            above=site.place.told(folder.parent) if folder != site.place.root else None,
            root=site.place.root,
            entries=site.place.entries(folder) if folder.is_dir() else [],
            looked="in" in request.query_params,
            uploads=uploads,
            max_mb=site.max_upload_mb,
        )

    async def begin(request: Request) -> Response:
        name = (await form(request)).get("name", "")
        upload = await run_in_threadpool(Upload.begin, site.place, name, site.max_upload_mb)
        site.uploads[upload.folder.name] = upload
        return JSONResponse({"upload": upload.folder.name})

    async def receive(request: Request) -> Response:
        await _upload(request).receive(request.path_params["path"], stream(request))
        return Response(status_code=204)

    async def finish(request: Request) -> Response:
        upload = _upload(request)
        site.uploads.pop(upload.folder.name)
        try:
            data = await run_in_threadpool(upload.finish)
        except InputError:
            upload.abandon()
            raise
        return JSONResponse({"data": site.place.told(data)})

    async def abandon(request: Request) -> Response:
        upload = _upload(request)
        site.uploads.pop(upload.folder.name)
        await run_in_threadpool(upload.abandon)
        return Response(status_code=204)

    def _upload(request: Request) -> Upload:
        upload = site.uploads.get(request.path_params["upload"])
        if upload is None:
            raise InputError("that upload is over, or was never begun.")
        return upload

    def data(request: Request) -> Response:
        asked = {name: request.query_params.get(name, "") for name in _COLUMNS}
        path = site.place.inside(request.query_params.get("path", ""))
        told = {"path": site.place.told(path), "name": _name(site.place, path), "columns": asked}
        told["header"] = next(iter(read_cells(path)), (0, {}))[1] if path.is_file() else {}
        told["uploaded"] = path.is_relative_to(site.place.uploads)
        try:
            dataset = open_data(site.place, path, reading(asked))
        except InputError as exc:
            return page("data", 422, problem=str(exc), **told)
        return page("data", **told, **_shown(dataset), **_choices(dataset.modality))

    async def check(request: Request) -> Response:
        fields = await form(request)
        path = site.place.inside(fields.get("path", ""))
        arguments = {"data": str(path), **reading(fields)}
        title = f"Check of {_name(site.place, path)}"
        job = await run_in_threadpool(site.jobs.add, "audit", arguments, title, site.place.told(path))
        return go_to(f"/jobs/{job.id}")

    async def train(request: Request) -> Response:
        fields = await form(request)
        path = site.place.inside(fields.get("path", ""))
        columns = reading(fields)
        dataset = await run_in_threadpool(open_data, site.place, path, columns)
        arguments = {"data": str(path), **columns, **recipe(fields, dataset.modality), "runs": str(site.place.runs)}
        arguments["name"] = check_name(fields.get("name") or _name(site.place, path))
        title = f"Training of {arguments['name']}"
        job = await run_in_threadpool(site.jobs.add, "train", arguments, title, site.place.told(path))
        return go_to(f"/jobs/{job.id}")

    async def remove(request: Request) -> Response:
        path = site.place.inside((await form(request)).get("path", ""))
        uploads = site.place.uploads
        if not path.is_relative_to(uploads) or path == uploads:
            raise InputError("only what was uploaded can be removed here.")
        await run_in_threadpool(shutil.rmtree, uploads / path.relative_to(uploads).parts[0])
        return go_to("/new")

    def picture(request: Request) -> Response:
        small = thumbnail(site.place.inside(request.query_params.get("path", "")), _THUMBNAIL_PX)
        if small is None:
            raise InputError("that is no picture.")
        return Response(jpeg(small.pixels), media_type="image/jpeg")

    return [
        Route("/new", new),
        Route("/uploads", begin, methods=["POST"]),
        Route("/uploads/{upload}/finish", finish, methods=["POST"]),
        Route("/uploads/{upload}", abandon, methods=["DELETE"]),
        Route("/uploads/{upload}/{path:path}", receive, methods=["PUT"]),
        Route("/data", data),
        Route("/data/check", check, methods=["POST"]),
        Route("/data/train", train, methods=["POST"]),
        Route("/data/remove", remove, methods=["POST"]),
        Route("/picture", picture),
    ]


def open_data(place: Place, path: Path, columns: dict[str, Any]) -> Dataset:
    """The data set in a folder or table.

    Raises:
        InputError: there is none, or a file of it lies outside the root.
    """
    dataset = load_dataset(str(path), **columns)
    if dataset.texts is None:
        for file in dataset.files:
            place.inside(str(dataset.root / file))
    return dataset


def reading(fields: dict[str, str]) -> dict[str, Any]:
    """How data are read, of a form."""
    return {name: fields[name] for name in _COLUMNS if fields.get(name)}


def recipe(fields: dict[str, str], modality: Modality) -> dict[str, Any]:
    """How to train, of a form.

    Raises:
        InputError: a base that is not offered, or a size that is no number.
    """
    base = fields.get("base", "")
    if base not in ("", AUTO, *(one.handle for one in candidates(ALL, modality))):
        raise InputError(f"the base {base!r} is not one of those that can be chosen here.")
    size = fields.get("input_size", "")
    if size and not size.isdecimal():
        raise InputError(f"the size {size!r} is not a number of pixels.")
    return {
        "base": base or None,
        "fine_tune": "auto" if fields.get("fine_tune") == "auto" else "none",
        "input_size": int(size) if size else None,
    }


def _name(place: Place, path: Path) -> str:
    """What data are called: of an upload, without what made its name unique."""
    if path.is_relative_to(place.uploads):
        return clean_name(path.relative_to(place.uploads).parts[0].rpartition("-")[0]) or "upload"
    return path.stem if path.is_file() else path.name


def _shown(dataset: Dataset) -> dict[str, Any]:
    """The classes of a data set, each with a few examples."""
    counted = count_classes(dataset.labels, dataset.classes)
    shown = []
    for i, (name, count) in enumerate(counted.items()):
        column = dataset.labels[:, i] if is_multi_label(dataset.labels) else dataset.labels == i
        mine = np.flatnonzero(column)
        some = mine[np.linspace(0, len(mine) - 1, min(_SAMPLES, len(mine))).astype(int)] if i < _CLASSES_SHOWN else ()
        if dataset.texts is not None:
            samples = [beginning(dataset.texts[j]) for j in some[:2]]
        else:
            samples = [str(dataset.root / dataset.files[j]) for j in some]
        shown.append({"name": name, "count": count, "samples": samples})
    return {
        "dataset": dataset,
        "noun": NOUNS[dataset.modality],
        "classes": shown,
        "most": max(counted.values()),
        "given": sorted(set(dataset.given_splits or ())),
    }


def _choices(modality: Modality) -> dict[str, Any]:
    """The bases to choose from."""
    known = {entry.handle: entry for entry in entries()} if modality == "image" else {}
    offline = is_offline()
    rows = [
        {"handle": one.handle, "size_mb": one.size_mb, "here": one.is_here, "entry": known.get(one.handle)}
        for one in candidates(ALL, modality)
        if one.is_here or not offline
    ]
    rows.sort(key=lambda row: not row["here"])
    default = next((handle for handle in DEFAULT_BASES[modality] if any(row["handle"] == handle for row in rows)), None)
    return {"bases": rows, "default_base": default, "offline": offline, "can_fine_tune": can_train()}
