"""Images with boxes, from a folder, a table or an annotation file: the way in to this package."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.boxes import coco, createml, cvat, kitti, label_studio, labelme, via, voc, yolo
from headstart.data.boxes import tables as box_tables
from headstart.data.boxes.box_columns import is_box_table
from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.layout import Reading, kind_of_file, readings
from headstart.data.boxes.placement import place_boxes
from headstart.data.boxes.records import Annotations
from headstart.data.boxes.yolo_config import find_config
from headstart.data.class_folders import group_of
from headstart.data.example_rows import ExampleRows
from headstart.data.folders import subfolders
from headstart.data.modalities import IMAGE
from headstart.data.table_columns import Columns
from headstart.data.table_files import is_table
from headstart.data.tables import is_frame
from headstart.errors import InputError, did_you_mean, field_name
from headstart.tasks import task_for

logger = logging.getLogger(__name__)

_READERS: Mapping[str, Callable[[Sequence[Path], ImageFiles], Annotations]] = {
    voc.NAME: voc.read_voc,
    coco.NAME: coco.read_coco,
    cvat.NAME: cvat.read_cvat,
    labelme.NAME: labelme.read_labelme,
    label_studio.NAME: label_studio.read_label_studio,
    createml.NAME: createml.read_createml,
    via.NAME: via.read_via,
    kitti.NAME: kitti.read_kitti,
}
_SHOWN = 3
_WRAPPERS = 3  # folders with one folder in them


def find_boxes(data: Any, root: Path, columns: Columns, *, annotations: str | None = None) -> ExampleRows | None:
    """Find the images with boxes of a data set.

    Args:
        data: a DataFrame; or the path of a folder, a table or an annotation file.
        root: folder that file names are relative to, absolute.
        columns: which column of a table is which; its group is also the pattern for folders.
        annotations: an annotation file, or a folder of such files, that lies elsewhere or is one of several.

    Returns:
        None if the data hold no boxes: they are read in another way then.

    Raises:
        InputError: the annotations cannot be read, can be read in two ways, or name no image that is there.
    """
    reading = _reading(data, root, annotations)
    if reading is None:
        return None
    content = _read(data, root, reading, columns)
    source = "the DataFrame" if is_frame(data) else str(data)
    logger.info(f"{source}: boxes from {reading.format}")
    if not content.images:
        skipped = "; ".join(f"{item.file}: {item.reason}" for item in content.skipped[:_SHOWN])
        raise InputError(
            f"{source} has annotations in the form of {reading.format}, but no image with them: {skipped}. If boxes "
            f"are not meant, set the kind of labels ({field_name('task')})."
        )
    rows = ExampleRows(IMAGE, files=[image.file for image in content.images], skipped=content.skipped)
    rows.examples = [IMAGE.example_in(root, file) for file in rows.files]
    rows.label_problems = content.problems
    rows.labels = [*place_boxes(content.images, rows.examples, content.problems)]
    _check_boxes(source, rows)
    splits = [image.split for image in content.images]
    rows.splits = splits if any(splits) else None
    rows.groups = _groups(content, columns.group, is_in_table=reading.format == box_tables.NAME)
    _log_unused_classes(content, rows)
    return rows


def _reading(data: Any, root: Path, annotations: str | None) -> Reading | None:
    """Which annotations are read; None if the data hold no boxes."""
    path = None if is_frame(data) else Path(data).expanduser()
    if annotations is not None:
        if path is None or not path.is_dir():
            raise InputError(
                "expected a folder of images as the data, whose annotations it names.", field="annotations"
            )
        return _named_reading(Path(annotations).expanduser(), root)
    if path is None or (path.is_file() and is_table(path) and not kind_of_file(path)):
        return Reading(box_tables.NAME, []) if is_box_table(data if path is None else path) else None
    if path.is_file():
        kind = kind_of_file(path)
        return Reading(kind, [Path(os.path.abspath(path))]) if kind else None
    return _only(_readings_below(root), str(data), root)


def _readings_below(root: Path) -> list[Reading]:
    """The readings of a folder, or of the only folder in it: an archive is unpacked into a folder of its name."""
    for _ in range(_WRAPPERS):
        if candidates := readings(root):
            return candidates
        if len(folders := subfolders(root)) != 1:
            break
        (root,) = folders
    return []


def _named_reading(path: Path, root: Path) -> Reading:
    path = Path(os.path.abspath(path))
    if not path.exists():
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"no such file or folder: {path}.{did_you_mean(path.name, names)}", field="annotations")
    reading = (
        _only(readings(path, is_named=True), str(path), root) if path.is_dir() else Reading(kind_of_file(path), [path])
    )
    if reading is None or not reading.format:
        raise InputError(
            f"{path} holds no labels of boxes in a known form: expected Pascal VOC, COCO (labels, not results), YOLO, "
            "CVAT for images, LabelMe, Label Studio, CreateML, VGG Image Annotator, KITTI, or a table with the columns "
            "path, x1, y1, x2, y2 and label, or with a column of objects.",
            field="annotations",
        )
    return reading


def _only(candidates: Sequence[Reading], source: str, root: Path) -> Reading | None:
    if len(candidates) > 1:
        ways = " and ".join(f"{reading.format} ({os.path.relpath(reading.files[0], root)})" for reading in candidates)
        raise InputError(
            f"{source} holds boxes in {len(candidates)} forms: {ways}. Name the file or folder of the one to use "
            f"({field_name('annotations')})."
        )
    return candidates[0] if candidates else None


def _read(data: Any, root: Path, reading: Reading, columns: Columns) -> Annotations:
    def images() -> ImageFiles:
        inner = ImageFiles.of_folders(root, [root])
        is_file = not is_frame(data) and not Path(data).expanduser().is_dir()
        return inner if inner.paths or not is_file else ImageFiles.of_folders(root, [root.parent])

    if reading.format == box_tables.NAME:
        tables: Sequence[Any] = reading.files or [data if is_frame(data) else Path(data).expanduser()]
        return box_tables.read_tables(tables, columns, images, root)
    _check_no_columns(reading, columns)
    if reading.format == yolo.NAME:
        folders = [path for path in reading.files if path.is_dir()]
        return yolo.read_yolo(find_config(reading.files, root), images(), folders)
    return _READERS[reading.format](reading.files, images())


def _check_no_columns(reading: Reading, columns: Columns) -> None:
    """Check that no column is named where no table is read.

    Raises:
        InputError: one is.
    """
    for name in ("path", "text", "label", "split"):
        if getattr(columns, name):
            raise InputError(
                f"it is for tables, and the boxes are in the form of {reading.format}.", field=f"{name}_column"
            )


def _groups(content: Annotations, group_by: str | None, *, is_in_table: bool) -> list[str] | None:
    if group_by is None:
        return None
    if is_in_table:
        return [image.group or "" for image in content.images]
    return [group_of(image.file, group_by) for image in content.images]


def _check_boxes(source: str, rows: ExampleRows) -> None:
    """Check that a box can be used, if there are any, and that the tables of a run can hold the names of classes.

    Raises:
        InputError: all boxes were left out, or a name cannot be written.
    """
    if fault := task_for(rows.labels).label_fault(rows.present):
        raise InputError(f"{source} {fault}")
    lost = [problem for problem in rows.label_problems if problem.is_left_out]
    if lost and not any(map(len, rows.labels)):
        raise InputError(
            f"{source} has no box that can be used: all {len(lost):,} are left out, such as {lost[0].where} of "
            f"{lost[0].file}, which {lost[0].reason}."
        )


def _log_unused_classes(content: Annotations, rows: ExampleRows) -> None:
    unused = [name for name in content.classes if name not in rows.present]
    if unused:
        names = ", ".join(unused[:_SHOWN]) + (" …" if len(unused) > _SHOWN else "")
        logger.info(f"classes that the annotations name, but no box has: {names}")
