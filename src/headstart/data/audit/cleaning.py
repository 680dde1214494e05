"""A cleaned table of the data: which examples it names, and which it does not. No file of the user is changed."""

import csv
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from headstart.data.audit.copies import KEPT_FIRST, NEAR_CHECKS, copies_of
from headstart.data.boxes.box_columns import BOX_COLUMNS
from headstart.data.dataset import Dataset
from headstart.data.delimited import NULLS
from headstart.data.example_rows import Skipped
from headstart.data.fingerprints import ImageInfo


def cleaned(
    dataset: Dataset,
    digests: Sequence[bytes | None],
    problems: Mapping[int, str],
    image_infos: Mapping[int, ImageInfo],
    near: np.ndarray | None,
    ignored: Collection[str] = (),
) -> tuple[list[int], list[Skipped]]:
    """Choose what to keep: usable examples, one of each content, none under two labels.

    Of copies and near-copies the one in a held-out split is kept, else the first.

    Args:
        dataset: the examples.
        digests: content digest of each, None where it cannot be used.
        problems: index -> why an example cannot be used.
        image_infos: index -> header and fingerprint of an image.
        near: int (p, 2), pairs that nearly repeat each other.
        ignored: names of checks whose findings stay.

    Returns:
        Indices of the examples to keep, in order; and the others, with the reason.
    """
    reasons = dict(problems)
    if "blank" not in ignored:
        reasons |= {i: "blank" for i, info in image_infos.items() if info.is_blank and i not in reasons}
    labels, splits = dataset.class_names, dataset.given_splits or [""] * len(dataset)
    same: defaultdict[int, list[int]] = defaultdict(list)
    conflicts: set[int] = set()
    for i, j, (duplicate, conflict, leak) in _pairs(digests, near):
        if labels[i] != labels[j]:
            conflicts |= {i, j} if conflict not in ignored else set()
        elif (duplicate if splits[i] == splits[j] else leak) not in ignored:
            same[i].append(j)
            same[j].append(i)
    reasons |= {i: "a copy has another label" for i in sorted(conflicts) if i not in reasons}
    kept_indices: set[int] = set()
    for i in sorted(set(range(len(dataset))) - set(reasons), key=lambda i: (KEPT_FIRST.get(splits[i], 0), i)):
        twin = next((j for j in same[i] if j in kept_indices), None)
        if twin is None:
            kept_indices.add(i)
        else:
            reasons[i] = f"the same as {dataset.files[twin]}" + (f" in {splits[twin]}" if splits[twin] else "")
    return sorted(kept_indices), dataset.skipped + [Skipped(dataset.files[i], reasons[i]) for i in sorted(reasons)]


def _pairs(digests: Sequence[bytes | None], near: np.ndarray | None) -> Iterator[tuple[int, int, tuple[str, str, str]]]:
    """Pairs of examples that are the same, with the names of the checks that report them."""
    for group in copies_of(digests):
        for i in group[1:]:
            yield group[0], i, ("exact-duplicates", "conflicting-labels", "leaks")
    for i, j in [] if near is None else near.tolist():
        yield i, j, NEAR_CHECKS


def write_manifest(path: Path, dataset: Dataset, indices: Sequence[int]) -> None:
    """Write a table that ``headstart train`` takes: path or text, label, and split and group where there are any.

    Several labels of one example are joined by ``;``. Each box of an image has a row of its own, with its corners in
    pixels of the upright image; an image without objects has one row, in which they are empty.

    Args:
        path: of the CSV file; paths of images that lie below its folder are relative to it.
        dataset: the examples.
        indices: of the examples to write.
    """
    above = Path(os.path.abspath(path.parent))
    cells = [example.cell(above) for example in dataset.examples]
    other_columns: dict[str, Sequence[str]] = {"split": dataset.given_splits} if dataset.given_splits else {}
    other_columns |= {"group": dataset.groups} if dataset.groups else {}
    header = [cells[0][0], *(BOX_COLUMNS if dataset.task.has_boxes else ["label"]), *other_columns]
    rows = [
        [cells[i][1], *label_cells, *(column[i] for column in other_columns.values())]
        for i in indices
        for label_cells in _label_cells(dataset, i)
    ]
    has_nulls = not NULLS.isdisjoint(cell for row in rows for cell in row)
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        # without quotes, NULL would be a missing value
        writer = csv.writer(file, quoting=csv.QUOTE_ALL if has_nulls else csv.QUOTE_MINIMAL)
        writer.writerows([header, *rows])


def _label_cells(dataset: Dataset, i: int) -> list[list[str]]:
    """The cells of the label of an example, in one row or several."""
    label = dataset.labels[i]
    if not dataset.task.has_boxes:
        return [[dataset.task.to_cell(label, dataset.classes)]]
    rows = zip(label.coordinates.tolist(), label.classes.tolist(), label.ignored.tolist(), strict=True)
    return [
        [*map(repr, corners), dataset.classes[number], "1" if is_ignored else ""]
        for corners, number, is_ignored in rows
    ] or [[""] * len(BOX_COLUMNS)]
