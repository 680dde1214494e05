"""Pages about data: find some, look at them, check them, train on them."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headstart.bases import DEFAULT_BASES
from headstart.bases.candidates import candidates
from headstart.bases.catalog import entries
from headstart.config import BASES_ALL, all_settings
from headstart.data.dataset import SPLITS, Dataset, count_classes, load_dataset
from headstart.data.examples import FileExample
from headstart.data.labels import is_multi_label
from headstart.data.readers import NOUNS, Modality
from headstart.data.thumbnails import jpeg, thumbnail
from headstart.errors import InputError
from headstart.runs.folder import check_name
from headstart.system.keras_worker import can_train
from headstart.system.settings import is_offline
from headstart.ui.place import Place
from headstart.ui.reading import ROLES, advice, chosen, columns, reading
from headstart.ui.recipe import recipe
from headstart.ui.site import Site, error_text, form, go_to, page
from headstart.ui.uploads import CLEAN, clean_name, data_in

_THUMBNAIL_PX = 200
_SAMPLES, _CLASSES_SHOWN = 6, 12  # of each class; classes


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
        asked = request.query_params
        path = self._place.inside(asked.get("path", ""))
        if (read := chosen(asked)) is not None:
            return go_to(self._address(path, read))
        read = reading(asked)
        told: dict[str, Any] = {
            "path": self._place.told(path),
            "name": _name(self._place, path),
            "read": read,
            "uploaded": path.is_relative_to(self._place.uploads),
            "roles": ROLES,
        }
        dataset, problem = None, None
        try:
            dataset = open_data(self._place, path, read)
        except InputError as exc:
            problem = error_text(exc, self._place)
        if path.is_file():
            with contextlib.suppress(InputError):  # it is no table after all, which the problem tells
                told |= {"table": columns(path, read), "advice": self._advice(path, read, dataset)}
        if dataset is None:
            return page("data", 422, problem=problem, **told)
        checked = self._site.jobs.last("audit", data=told["path"])
        return page(
            "data", **told, **_shown(dataset), **_choices(dataset.modality), checked=checked, settings=all_settings()
        )

    def _advice(self, path: Path, read: dict[str, Any], dataset: Dataset | None) -> tuple[str, str] | None:
        """What may have been meant by a table: in words, and the address that reads it so."""
        found = advice(path, read, dataset)
        return found and (found[0], self._address(path, found[1]))

    def _address(self, path: Path, read: dict[str, Any]) -> str:
        return f"/data?{self._query(path, read)}"

    def _query(self, path: Path, read: dict[str, Any]) -> str:
        return urlencode({"path": self._place.told(path), **read}, doseq=True)

    async def check(self, request: Request) -> Response:
        """Audit, in a job."""
        path, read, _ = await self._opened(await form(request))
        name, clean = _name(self._place, path), _beside(self._place, path)
        return await self._site.submit(
            "audit",
            {"data": str(path), **read},
            title=f"Check of {name}",
            data=self._place.told(path),
            query=self._query(path, read),
            name=name,
            clean=str(clean),
            cleaned=clean.relative_to(self._place.root).as_posix(),
        )

    async def train(self, request: Request) -> Response:
        """Train, in a job."""
        fields = await form(request)
        path, read, dataset = await self._opened(fields)
        name = check_name(fields.get("name") or _name(self._place, path))
        how = await run_in_threadpool(recipe, fields, dataset)
        arguments = {"data": str(path), "name": name, "runs": str(self._place.runs), **read, **how}
        told, query = self._place.told(path), self._query(path, read)
        return await self._site.submit("train", arguments, title=f"Training of {name}", data=told, query=query)

    def picture(self, request: Request) -> Response:
        """A picture, small."""
        small = thumbnail(FileExample(str(self._place.inside(request.query_params.get("path", "")))), _THUMBNAIL_PX)
        if small is None:
            raise InputError("that is no picture.")
        return Response(jpeg(small.pixels), media_type="image/jpeg")

    async def _opened(self, fields: QueryParams) -> tuple[Path, dict[str, Any], Dataset]:
        """The data that a form names, how they are read, and what was read."""
        path, read = self._place.inside(fields.get("path", "")), reading(fields)
        if fields.get("group_pattern"):
            read["group_by"] = fields["group_pattern"]
        return path, read, await run_in_threadpool(open_data, self._place, path, read)

    def _uploads(self) -> Iterator[tuple[str, str, str]]:
        """Of the data in uploads: name, what they are, and path."""
        for path in self._place.uploaded():
            with contextlib.suppress(InputError):  # nothing came of it
                data = data_in(path)
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
                what = "what a check left" if data.name.startswith(CLEAN) else "uploaded"
                yield _name(self._place, data), f"{what}, {when}", self._place.told(data)


def open_data(place: Place, path: Path, read: dict[str, Any]) -> Dataset:
    """The data set in a folder or table.

    Raises:
        InputError: there is none, or a file of it lies outside the root.
    """
    try:
        dataset = load_dataset(str(path), **read)
    except PermissionError as exc:
        raise InputError(f"{exc.filename} {exc.strerror}.") from exc
    if dataset.texts is None:
        for file in dataset.files:
            place.inside(str(dataset.root / file))
    return dataset


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
        "given": sorted(set(dataset.given_splits or ()), key=SPLITS.index),
        "multi_label": is_multi_label(dataset.labels),
        "nested": dataset.texts is None and len({os.path.dirname(file) for file in dataset.files}) > len(shown),
    }


def _choices(modality: Modality) -> dict[str, Any]:
    """The bases to choose from."""
    known = {entry.handle: entry for entry in entries()} if modality == "image" else {}
    offline = is_offline()
    rows = [
        {"handle": one.handle, "size_mb": one.size_mb, "here": one.is_local, "entry": known.get(one.handle)}
        for one in candidates(BASES_ALL, modality)
        if one.is_local or not offline
    ]
    rows.sort(key=lambda row: not row["here"])
    default = next((handle for handle in DEFAULT_BASES[modality] if any(row["handle"] == handle for row in rows)), None)
    return {"bases": rows, "default_base": default, "offline": offline, "can_fine_tune": can_train()}
