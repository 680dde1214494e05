"""The user's verdicts on labels: which are to be other ones, and which examples are to be left out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.labels import SEPARATOR, encoded, is_multi_label
from headstart.data.tables import read_cells
from headstart.errors import InputError, did_you_mean, field_name

DROP = "drop"
"""Stands in place of a label where an example is to be left out; an empty cell does, too."""


@dataclass(frozen=True)
class Corrections:
    """Labels as they are to be.

    Attributes:
        labels: of all examples of the data set, in the form that it has them.
        kept: bool (n,), False where an example is to be left out.
        facts: where they come from, and how many of both kinds there are; None where there are none.
    """

    labels: np.ndarray
    kept: np.ndarray
    facts: dict[str, Any] | None = None


def read_corrections(table: str | Path | None, dataset: Dataset) -> Corrections:
    """Read a table of verdicts, such as an edited ``suspects.csv``; without one, everything stays as it is.

    Its columns ``file`` and ``label`` count: the label that is right, or nothing or ``drop`` to leave the example out.
    Of multi-label data it is all labels that are right, divided by ``;``, and nothing means that none is.
    If there is a column ``sha256``, the example must still have that content. Other columns are passed over.

    Raises:
        InputError: there is no such table or column; it names an example or a class that the data do not have; or the
            example has changed since.
    """
    labels, kept = dataset.labels.copy(), np.ones(len(dataset), bool)
    if table is None:
        return Corrections(labels, kept)
    path = Path(table).expanduser()
    if not path.is_file():
        raise InputError(f"no such file: {path}. Expected a table such as the suspects.csv of a run.", field="relabel")
    places: dict[str, list[int]] = {}
    for i, file in enumerate(dataset.files):
        places.setdefault(file, []).append(i)
    for row, cells in read_cells(path):
        where = f"row {row} of {path}"
        mine = _find(where, cells, dataset, places)
        label = _meant(where, cells["label"], dataset)
        if label is None:
            kept[mine] = False
        else:
            labels[mine] = label
    is_other = (labels != dataset.labels).reshape(len(labels), -1).any(1)
    facts = {"from": str(path), "changed": int((kept & is_other).sum()), "left_out": int((~kept).sum())}
    return Corrections(labels, kept, facts)


def _meant(where: str, label: str, dataset: Dataset) -> np.ndarray | None:
    """The label of a row in the form that the data have it, or None to leave the example out."""
    several = is_multi_label(dataset.labels)
    names = label.split(SEPARATOR) if several and label else [] if several else [label]
    strange = [name for name in names if name not in dataset.classes]
    if not strange:
        return encoded([names] if several else names, dataset.classes)[0]
    if label in ("", DROP):
        return None
    raise InputError(
        f"{where} has the label {strange[0]!r}: expected one of the classes"
        + (f" or several divided by {SEPARATOR!r}" if several else "")
        + f", or {DROP!r} to leave the example out.{did_you_mean(strange[0], dataset.classes)}"
    )


def _find(where: str, cells: dict[str, str], dataset: Dataset, places: dict[str, list[int]]) -> list[int]:
    """Indices of the examples that a row is about: one, but for a file that a table names several times."""
    for name in ("file", "label"):
        if name not in cells:
            raise InputError(f"{where} has no column {name!r}: it has {', '.join(map(repr, cells))}.")
    file, digest = cells["file"], cells.get("sha256")
    if file not in places:
        raise InputError(f"{where} names {file!r}, which {dataset.source} does not have.{did_you_mean(file, places)}")
    if digest and digest != dataset.examples[places[file][0]].digest().hex():
        raise InputError(
            f"{where}: the content of {file} has changed since its label issue was found. Train again without "
            f"{field_name('relabel')}, and check the new suspects.csv."
        )
    return places[file]
