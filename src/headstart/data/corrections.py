"""Corrections of labels by the user: other labels for some examples, and examples that are not used."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.tables import read_cells
from headstart.errors import BadExample, InputError, did_you_mean, field_name
from headstart.tasks.labels import label_names

DROP = "drop"
"""Instead of a label: the example is not used. An empty cell means the same."""


@dataclass(frozen=True)
class Corrections:
    """Corrected labels.

    Attributes:
        labels: of all examples of the data set, in its form.
        kept_mask: bool (n,), False where an example is not used.
        facts: file, number of changed labels and of examples that are not used; None without a table.
    """

    labels: np.ndarray
    kept_mask: np.ndarray
    facts: dict[str, Any] | None = None


def read_corrections(table: str | Path | None, dataset: Dataset) -> Corrections:
    """Read a table of corrections, such as an edited ``suspects.csv``; without one, all labels stay.

    Its columns ``file`` and ``label`` are used: the right label, or nothing or ``drop`` if the example is not to be
    used. In multi-label data it is all right labels, separated by ``;``, and nothing means no label. If there is a
    column ``sha256``, the example must still have that content. Other columns are ignored.

    Raises:
        InputError: there is no such table or column; it names an example or a class that the data do not have; or the
            example has changed since.
    """
    labels, kept_mask = dataset.labels.copy(), np.ones(len(dataset), bool)
    if table is None:
        return Corrections(labels, kept_mask)
    path = Path(table).expanduser()
    if not path.is_file():
        raise InputError(f"no such file: {path}. Expected a table such as the suspects.csv of a run.", field="relabel")
    try:
        for indices, label in _read(path, dataset):
            if label is None:
                kept_mask[indices] = False
            else:
                labels[indices] = label
    except InputError as exc:
        raise InputError(exc.message, field="relabel") from exc
    is_changed = dataset.task.differs(labels, dataset.labels)
    facts = {"from": str(path), "changed": int((kept_mask & is_changed).sum()), "left_out": int((~kept_mask).sum())}
    return Corrections(labels, kept_mask, facts)


def _read(table: Path, dataset: Dataset) -> Iterator[tuple[list[int], Any]]:
    """The rows of a table: indices of the examples that each is about, and their label; None to leave them out."""
    places: dict[str, list[int]] = {}
    for i, file in enumerate(dataset.files):
        places.setdefault(file, []).append(i)
    for row, cells in read_cells(table):
        where = f"row {row} of {table}"
        indices = _find(where, cells, dataset, places)
        yield indices, _corrected_label(where, cells["label"], dataset, indices[0])


def _corrected_label(where: str, cell: str, dataset: Dataset, index: int) -> Any:
    """The label of a row in the form of the data set; None if the example is not used."""
    task = dataset.task
    expected = f"expected {task.wording.cell_form}, or {DROP!r} if the example is not to be used."
    try:
        label = task.from_cell(cell)
    except ValueError as exc:
        if cell == DROP:
            return None
        raise InputError(f"{where} has the label {cell!r}: {exc}; {expected}") from exc
    unknown = sorted(label_names([label]).difference(dataset.classes))
    if not unknown:
        return task.corrected(dataset.labels[index], label, dataset.classes)
    if cell in ("", DROP):
        return None
    raise InputError(f"{where} has the label {unknown[0]!r}: {expected}{did_you_mean(unknown[0], dataset.classes)}")


def _find(where: str, cells: dict[str, str], dataset: Dataset, places: dict[str, list[int]]) -> list[int]:
    """Indices of the examples that a row is about: one, or several where a table names a file several times."""
    for name in ("file", "label"):
        if name not in cells:
            raise InputError(f"{where} has no column {name!r}: it has {', '.join(map(repr, cells))}.")
    file, digest = cells["file"], cells.get("sha256")
    if file not in places:
        raise InputError(f"{where} names {file!r}, which {dataset.source} does not have.{did_you_mean(file, places)}")
    try:
        is_changed = digest and digest != dataset.examples[places[file][0]].digest().hex()
    except BadExample as exc:
        raise InputError(f"{where}: {file} {exc}.") from exc
    if is_changed:
        raise InputError(
            f"{where}: the content of {file} has changed since its label issue was found. Train again without "
            f"{field_name('relabel')}, and check the new suspects.csv."
        )
    return places[file]
