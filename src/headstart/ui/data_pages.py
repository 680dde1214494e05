"""Pages about data: find some, look at them, check them, train on them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
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
from headstart.run import check_name
from headstart.settings import is_offline
from headstart.ui.place import Place
from headstart.ui.site import Site, form, page
from headstart.ui.uploads import CLEAN, clean_name, data_in

_THUMBNAIL_PX = 200
_SAMPLES, _CLASSES_SHOWN = 6, 12  # of each class; classes
_COLUMNS = ("text_column", "path_column", "label_column", "label_separator", "split_column")


class DataPages:
    """The pages that are about data.

    Args:
        site: that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site, self._place = site, site.place

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/new", self.new),
            Route("/data", self.look),
            Route("/data/check", self.check, methods=["POST"]),
            Route("/data/train", self.train, methods=["POST"]),
            Route("/picture", self.picture),
        ]

    def new(self, request: Request) -> Response:
        """Where data can be brought, or found on this machine."""
        place = self._place
        folder = place.inside(request.query_params.get("in", "."))
        return page(
            "new",
            here=place.told(folder),
            above=place.told(folder.parent) if folder != place.root else None,
            root=place.root,
            entries=place.entries(folder) if folder.is_dir() else [],
            uploads=list(self._uploads()),
            max_mb=self._site.max_upload_mb,
        )

    def look(self, request: Request) -> Response:
        """What is in some data, and what can be done with them."""
        asked = {name: request.query_params.get(name, "") for name in _COLUMNS}
        path = self._place.inside(request.query_params.get("path", ""))
        told: dict[str, Any] = {
            "path": self._place.told(path),
            "name": _name(self._place, path),
            "columns": asked,
            "header": list(next(read_cells(path), (0, {}))[1]) if path.is_file() else [],
            "uploaded": path.is_relative_to(self._place.uploads),
        }
        try:
            dataset = open_data(self._place, path, reading(asked))
        except InputError as exc:
            return page("data", 422, problem=str(exc), **told)
        return page("data", **told, **_shown(dataset), **_choices(dataset.modality))

    async def check(self, request: Request) -> Response:
        """Audit, in a job."""
        path, columns, _ = await self._opened(await form(request))
        name, clean = _name(self._place, path), _beside(self._place, path)
        return await self._site.submit(
            "audit",
            {"data": str(path), **columns},
            title=f"Check of {name}",
            data=self._place.told(path),
            query=urlencode({"path": self._place.told(path), **columns}),
            name=name,
            clean=str(clean),
            cleaned=clean.relative_to(self._place.root).as_posix(),
        )

    async def train(self, request: Request) -> Response:
        """Train, in a job."""
        fields = await form(request)
        path, columns, dataset = await self._opened(fields)
        name = check_name(fields.get("name") or _name(self._place, path))
        arguments = {
            "data": str(path),
            "name": name,
            "runs": str(self._place.runs),
            **columns,
            **recipe(fields, dataset.modality),
        }
        told = self._place.told(path)
        query = urlencode({"path": told, **columns})
        return await self._site.submit("train", arguments, title=f"Training of {name}", data=told, query=query)

    def picture(self, request: Request) -> Response:
        """A picture, small."""
        small = thumbnail(self._place.inside(request.query_params.get("path", "")), _THUMBNAIL_PX)
        if small is None:
            raise InputError("that is no picture.")
        return Response(jpeg(small.pixels), media_type="image/jpeg")

    async def _opened(self, fields: dict[str, str]) -> tuple[Path, dict[str, Any], Dataset]:
        """The data that a form names, and how they are read."""
        path, columns = self._place.inside(fields.get("path", "")), reading(fields)
        return path, columns, await run_in_threadpool(open_data, self._place, path, columns)

    def _uploads(self) -> Iterator[tuple[str, str]]:
        """Names and paths of the data in uploads."""
        for path in self._place.uploaded():
            with contextlib.suppress(InputError):  # nothing came of it
                yield path.name, self._place.told(data_in(path))


def open_data(place: Place, path: Path, columns: dict[str, Any]) -> Dataset:
    """The data set in a folder or table.

    Raises:
        InputError: there is none, or a file of it lies outside the root.
    """
    try:
        dataset = load_dataset(str(path), **columns)
    except PermissionError as exc:
        raise InputError(f"{exc.filename} {exc.strerror}.") from exc
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


def _beside(place: Place, path: Path) -> Path:
    """Where a table of what is good in some data goes: among the uploads, for the user's folders stay as they are."""
    if path.is_relative_to(place.uploads):
        folder = place.uploads / path.relative_to(place.uploads).parts[0]
    else:
        folder = place.uploads / f"{clean_name(_name(place, path))}-{uuid4().hex[:6]}"
    return folder / f"{CLEAN}{uuid4().hex[:6]}.csv"


def _shown(dataset: Dataset) -> dict[str, Any]:
    """The classes of a data set, each with a few examples."""
    counted = count_classes(dataset.labels, dataset.classes)
    shown = []
    for i, (name, count) in enumerate(counted.items()):
        column = dataset.labels[:, i] if is_multi_label(dataset.labels) else dataset.labels == i
        mine = np.flatnonzero(column)
        some = mine[np.linspace(0, len(mine) - 1, min(_SAMPLES, len(mine))).astype(int)] if i < _CLASSES_SHOWN else ()
        if dataset.texts is not None:
            samples = [" ".join(dataset.texts[j].split()) for j in some[:2]]
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
