"""Tables with a row for each object: path, corners and label; rows with empty corners are images without objects.

Or with a row for each image, which holds all of its objects (``box_lists.py``). Images may be in the table itself.
Also those of TensorFlow's object detection: filename, width, height, class, xmin, ymin, xmax, ymax.
"""

import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headstart.data.boxes.box_columns import BoxColumns, find_box_columns
from headstart.data.boxes.box_lists import ListedBox, boxes_beside_labels, boxes_in_objects, decide_form
from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.open_images import name_classes
from headstart.data.boxes.records import AnnotatedImage, Annotations, RawBox, image_size, number
from headstart.data.boxes.splits import SplitLists, split_in_name, split_of_path
from headstart.data.cells import cell_text, file_content, image_extension, path_problem
from headstart.data.examples import is_url
from headstart.data.split_names import split_of
from headstart.data.table_columns import Columns, TableHead
from headstart.data.table_images import image_namer
from headstart.data.tables import is_frame, open_table
from headstart.errors import BadExample, InputError

logger = logging.getLogger(__name__)

NAME = "a table"


def read_tables(tables: Sequence[Any], columns: Columns, images: Callable[[], ImageFiles], root: Path) -> Annotations:
    """Read tables: one of all images, or one for each split.

    Args:
        tables: DataFrames, or paths of files.
        columns: which column is which.
        images: gives those that may be meant, where a path is not that of a file.
        root: folder that paths are relative to.

    Raises:
        InputError: a table cannot be read, or a column is missing.
        UnavailableError: the package for this kind of file is not installed.
    """
    annotations = Annotations()
    splits = SplitLists()
    by_file: dict[str, AnnotatedImage] = {}
    listed_by_file: dict[str, AnnotatedImage] = {}  # boxes of a form that is not known before the last row
    for table in tables:
        source = "the DataFrame" if is_frame(table) else os.path.relpath(table, root)
        finder = _Finder(images, root, root if is_frame(table) else Path(os.path.abspath(table)).parent)
        head, rows = open_table(table)
        at = find_box_columns(head, columns)
        split_of_table = split_of_path(source) or (split_in_name(Path(source).stem) if len(tables) > 1 else "")
        long_columns = {at.path} if at.to_corners is not None else {at.path, *at.box}  # not needed as text
        name_image = image_namer(table, root, columns.path or "")
        for row, cells, problem, nulls in rows:
            where = f"row {row} of {source}"
            values = [None if i >= len(cells) or i in nulls else cells[i] for i in range(len(head.header))]
            content = _image_content(head, values, at.path)
            path = "" if content else cell_text(values[at.path])
            problem = problem or ("" if content else path_problem(values[at.path]) or ("" if path else "has no path"))
            try:
                objects = [] if problem else _listed_objects(values, at, columns.label_separator)
            except BadExample as exc:
                problem = str(exc)
            if problem:
                annotations.skip(where, problem)
                continue
            file = name_image(row, content) if content else finder.find(path)
            image = by_file.setdefault(file, AnnotatedImage(file, source))
            _add_row(
                where, ["" if i in long_columns else cell_text(value) for i, value in enumerate(values)], at, image
            )
            if at.to_corners is None:
                list_image = listed_by_file.setdefault(file, AnnotatedImage(file, source))
                for i, item in enumerate(objects, 1):
                    box = RawBox(f"object {i} in {where}", item.label, item.numbers, item.is_ignored)
                    (image if item.has_corners else list_image).boxes.append(box)
                list_image.size = image.size
            splits.add(file, split_of_table if at.split is None else _split(where, cell_text(values[at.split])))
    decide_form([*listed_by_file.values()], root)
    for file, list_image in listed_by_file.items():
        by_file[file].boxes += list_image.boxes
        by_file[file].is_relative = list_image.is_relative
    annotations.images = [*by_file.values()]
    _use_shares(annotations)
    name_classes(annotations, [table for table in tables if not is_frame(table)])
    splits.assign(annotations)
    return annotations


def _image_content(head: TableHead, values: Sequence[Any], column: int) -> bytes | None:
    """The image in a row itself; None if the row names a file."""
    content = file_content(values[column])
    return content if content and (image_extension(content) or head.holds_images(column)) else None


def _listed_objects(values: Sequence[Any], at: BoxColumns, separator: str | None) -> list[ListedBox]:
    """The objects of a row that holds all of an image, or one.

    Raises:
        BadExample: they cannot be read.
    """
    if at.to_corners is not None:
        return []
    cell = values[at.box[0]]
    return boxes_in_objects(cell) if at.label is None else boxes_beside_labels(cell, values[at.label], separator)


def _add_row(where: str, texts: Sequence[str], at: BoxColumns, image: AnnotatedImage) -> None:
    if at.group is not None:
        image.group = texts[at.group]
    if at.size is not None:
        image.size = image_size(*(texts[i] for i in at.size)) or image.size
    values = [texts[i] for i in at.box]
    if at.to_corners is not None and at.label is not None and any(values):  # else an image without objects
        is_ignored = at.is_ignored is not None and texts[at.is_ignored].lower() in ("1", "true")
        image.boxes.append(RawBox(where, texts[at.label], at.to_corners([*map(number, values)]), is_ignored))


def _split(where: str, cell: str) -> str:
    name = split_of(cell)
    if cell and not name:
        raise InputError(f"{where} has the split {cell!r}: expected train, val or test.")
    return name


def _use_shares(annotations: Annotations) -> None:
    """Take the corners as shares of width and height where none is above 1."""
    values = [
        value for image in annotations.images for box in image.boxes for value in box.corners if math.isfinite(value)
    ]
    if values and max(values) <= 1:
        logger.info("no coordinate in the table is above 1, so they are read as shares of width and height")
        for image in annotations.images:
            image.is_relative = True


class _Finder:
    """Finds the images that a table names. Most are where it says, so that folders are seldom searched."""

    def __init__(self, images: Callable[[], ImageFiles], root: Path, folder: Path) -> None:
        self._search, self._root, self._folder = images, root, folder
        self._near: ImageFiles | None = None
        self._names: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The name of an image in the data set; as it is, if there is no such image: reading it reports that."""
        if name not in self._names:
            self._names[name] = self._find(name)
        return self._names[name]

    def _find(self, name: str) -> str:
        if is_url(name) or os.path.isfile(os.path.join(self._root, name)):
            return name
        if self._near is None:
            self._near = self._search().within(self._folder)
        try:
            return self._near.find(name)
        except BadExample:
            return name
