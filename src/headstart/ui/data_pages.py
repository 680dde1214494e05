"""Pages about data: add, show and check data, and train on them."""

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

from headstart.bases.candidates import candidates
from headstart.bases.catalog import entries
from headstart.config import BASES_ALL, all_settings
from headstart.data.dataset import Dataset, load_dataset
from headstart.data.modalities import Modality
from headstart.data.split_names import SPLITS
from headstart.data.table_images import parse_address
from headstart.errors import InputError
from headstart.reports.regions import class_marks
from headstart.runs.folder import check_name
from headstart.system.keras_worker import can_train
from headstart.system.settings import is_offline
from headstart.ui.data_form import ROLES, list_columns, read_arguments, role_arguments, suggest, with_annotations
from headstart.ui.images import image_response
from headstart.ui.root_folder import RootFolder
from headstart.ui.site import Site, error_text, form, go_to, page
from headstart.ui.train_form import train_settings
from headstart.ui.uploads import CLEAN, clean_name, data_in

_THUMBNAIL_PX = 200
_SAMPLES, _CLASSES_WITH_SAMPLES = 6, 12


class DataPages:
    """The pages about data.

    Args:
        site: the server that they belong to.
    """

    def __init__(self, site: Site) -> None:
        self._site, self._root_folder = site, site.root_folder

    def routes(self) -> list[Route]:
        """The routes of these pages."""
        return [
            Route("/new", self.new),
            Route("/data", self.show),
            Route("/data/check", self.check, methods=["POST"]),
            Route("/data/train", self.train, methods=["POST"]),
            Route("/thumbnail", self.thumbnail),
        ]

    def new(self, request: Request) -> Response:
        """Upload data, or choose data on this machine."""
        root_folder = self._root_folder
        folder = root_folder.resolve(request.query_params.get("in", "."))
        return page(
            "new",
            folder=root_folder.relative(folder),
            parent=root_folder.relative(folder.parent) if folder != root_folder.root else None,
            root=root_folder.root,
            entries=root_folder.entries(folder) if folder.is_dir() else [],
            uploads=list(self._uploads()),
            max_mb=self._site.max_upload_mb,
        )

    def show(self, request: Request) -> Response:
        """Examples of a data set, and the forms to check it and to train on it."""
        query = request.query_params
        path = self._root_folder.resolve(query.get("path", ""))
        if (read := role_arguments(query)) is not None:
            return go_to(self._address(path, read))
        read = read_arguments(query)
        content: dict[str, Any] = {
            "path": self._root_folder.relative(path),
            "name": _name(self._root_folder, path),
            "read": read,
            "uploaded": path.is_relative_to(self._root_folder.uploads),
            "roles": ROLES,
        }
        dataset, problem = None, None
        try:
            dataset = open_data(self._root_folder, path, read)
        except InputError as exc:
            problem = error_text(exc, self._root_folder)
        if path.is_file():
            with contextlib.suppress(InputError):  # it is not a table: `problem` says so
                content |= {"table": list_columns(path, read), "suggestion": self._suggestion(path, read, dataset)}
        if dataset is None:
            return page("data", 422, problem=problem, settings=all_settings(), **content)
        last_check = self._site.jobs.last("audit", data=content["path"])
        return page(
            "data",
            **content,
            **_class_samples(dataset),
            **_choices(dataset.modality),
            last_check=last_check,
            settings=all_settings(),
        )

    def _suggestion(self, path: Path, read: dict[str, Any], dataset: Dataset | None) -> tuple[str, str] | None:
        """A suggestion how to read a table: a sentence, and the address that reads it that way."""
        suggestion = suggest(path, read, dataset)
        return suggestion and (suggestion[0], self._address(path, suggestion[1]))

    def _address(self, path: Path, read: dict[str, Any]) -> str:
        return f"/data?{self._query(path, read)}"

    def _query(self, path: Path, read: dict[str, Any]) -> str:
        return urlencode({"path": self._root_folder.relative(path), **read}, doseq=True)

    async def check(self, request: Request) -> Response:
        """Start an audit."""
        path, read, _ = await self._opened(await form(request))
        name, clean = _name(self._root_folder, path), _clean_table(self._root_folder, path)
        return await self._site.submit(
            "audit",
            {"data": str(path), **with_annotations(read, self._root_folder, path)},
            title=f"Check of {name}",
            data=self._root_folder.relative(path),
            query=self._query(path, read),
            name=name,
            clean=str(clean),
            cleaned=clean.relative_to(self._root_folder.root).as_posix(),
        )

    async def train(self, request: Request) -> Response:
        """Start a training."""
        fields = await form(request)
        path, read, dataset = await self._opened(fields)
        name = check_name(fields.get("name") or _name(self._root_folder, path))
        settings = await run_in_threadpool(train_settings, fields, dataset)
        arguments = {
            "data": str(path), "name": name, "runs": str(self._root_folder.runs),
            **with_annotations(read, self._root_folder, path), **settings,
        }  # fmt: skip
        data, query = self._root_folder.relative(path), self._query(path, read)
        return await self._site.submit(
            "train",
            arguments,
            title=f"Training of {name}",
            data=data,
            query=query,
            has_boxes=dataset.task.has_boxes,
        )

    def thumbnail(self, request: Request) -> Response:
        """A thumbnail of an image."""
        return image_response(self._root_folder, request.query_params.get("path", ""), _THUMBNAIL_PX)

    async def _opened(self, fields: QueryParams) -> tuple[Path, dict[str, Any], Dataset]:
        """The path of the data of a form, how to read them, and the data set."""
        path, read = self._root_folder.resolve(fields.get("path", "")), read_arguments(fields)
        if fields.get("group_pattern"):
            read["group_by"] = fields["group_pattern"]
        return path, read, await run_in_threadpool(open_data, self._root_folder, path, read)

    def _uploads(self) -> Iterator[tuple[str, str, str]]:
        """Name, origin and path of the data in each upload."""
        for path in self._root_folder.uploaded():
            with contextlib.suppress(InputError):  # an empty upload
                data = data_in(path)
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
                origin = "cleaned by a check" if data.name.startswith(CLEAN) else "uploaded"
                yield _name(self._root_folder, data), f"{origin}, {when}", self._root_folder.relative(data)


def open_data(root_folder: RootFolder, path: Path, read: dict[str, Any]) -> Dataset:
    """The data set in a folder or table.

    Raises:
        InputError: no data set can be read, or a file is outside the root.
    """
    try:
        dataset = load_dataset(str(path), **with_annotations(read, root_folder, path))
    except PermissionError as exc:
        raise InputError(f"{exc.filename} {exc.strerror}.") from exc
    locations = [example.location for example in dataset.examples if example.location]
    for file in {address.table if (address := parse_address(location)) else location for location in locations}:
        root_folder.resolve(file)
    return dataset


def _name(root_folder: RootFolder, path: Path) -> str:
    """The name of data; of an upload without the suffix that makes its folder unique."""
    if path.is_relative_to(root_folder.uploads):
        return clean_name(path.relative_to(root_folder.uploads).parts[0].rpartition("-")[0]) or "upload"
    return path.stem if path.is_file() else path.name


def _clean_table(root_folder: RootFolder, path: Path) -> Path:
    """Path for the table of usable examples: among the uploads, because the user's folders are never changed."""
    if path.is_relative_to(root_folder.uploads):
        folder = root_folder.uploads / path.relative_to(root_folder.uploads).parts[0]
    else:
        folder = root_folder.uploads / f"{clean_name(_name(root_folder, path))}-{uuid4().hex[:6]}"
    return folder / f"{CLEAN}{uuid4().hex[:6]}.csv"


def _class_samples(dataset: Dataset) -> dict[str, Any]:
    """The classes of a data set, each with a few examples."""
    counts = dataset.class_counts
    classes = []
    for i, (name, count) in enumerate(counts.items()):
        indices = np.flatnonzero(dataset.task.members(dataset.labels, i))
        positions = np.linspace(0, len(indices) - 1, min(_SAMPLES, len(indices))).astype(int)
        chosen_indices = indices[positions] if i < _CLASSES_WITH_SAMPLES else ()
        samples = [_sample(dataset, int(j), i) for j in chosen_indices]
        objects = sum(int((boxes.classes == i).sum()) for boxes in dataset.labels) if dataset.task.has_boxes else None
        classes.append({"name": name, "count": count, "objects": objects, "samples": samples})
    return {
        "dataset": dataset,
        "noun": dataset.modality.noun,
        "classes": classes,
        "largest_count": max(counts.values()),
        "split_names": sorted(set(dataset.given_splits or ()), key=SPLITS.index),
        "task": dataset.task,
        "modality": dataset.modality,
        "nested": len({os.path.dirname(file) for file in dataset.files}) > len(classes),
    }


def _sample(dataset: Dataset, position: int, class_number: int) -> dict[str, Any]:
    """An example for the page; of an image with boxes with its ``size`` and with marks, which differ by the class."""
    example = dataset.examples[position]
    content: dict[str, Any] = {"location": example.location, "text": example.text, "name": example.name}
    if dataset.task.has_boxes:
        content["size"] = dataset.labels[position].size
        content["marks"] = class_marks(dataset, position, dataset.classes[class_number])
    return content


def _choices(modality: Modality) -> dict[str, Any]:
    """The bases to choose from."""
    entries_by_handle = {entry.handle: entry for entry in entries()}
    offline = is_offline()
    rows = [
        {
            "handle": base.handle,
            "size_mb": base.size_mb,
            "is_local": base.is_local,
            "entry": entries_by_handle.get(base.handle),
        }
        for base in candidates(BASES_ALL, modality)
        if base.is_local or not offline
    ]
    rows.sort(key=lambda row: not row["is_local"])
    default = next(
        (handle for handle in modality.default_bases if any(row["handle"] == handle for row in rows)),
        None,
    )
    return {"bases": rows, "default_base": default, "offline": offline, "can_fine_tune": can_train()}
