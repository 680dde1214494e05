"""Which annotations a folder holds, told by names and by the beginnings of a few files.

A folder of class folders costs one look at the names in it and in its split folders.
"""

import mmap
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from headstart.data.boxes import coco, createml, cvat, kitti, label_studio, labelme, tables, via, voc, yolo
from headstart.data.boxes.box_columns import is_box_table
from headstart.data.boxes.box_lists import BOXES, OBJECTS
from headstart.data.boxes.image_files import is_image
from headstart.data.boxes.parsing import read_json
from headstart.data.folders import is_folder, is_hidden
from headstart.data.split_names import is_wrapper, splits_of
from headstart.data.table_files import PARQUET, is_table
from headstart.errors import BadExample
from headstart.system.settings import check_readable

_FOLDERS = {"annotations", "annotation", "labels", "jpegimages", "xml", "xmls", "json", "csv", "obj_train_data"}
_LABELS = re.compile(r"(?i)labels?(_\d)?")  # label_2 in KITTI
_VOC = re.compile(r"(?i)voc(devkit|\d{4}|trainval|test)?([_ -].*)?")
_DEEPEST = 4
_BEGINNING, _SMALL = 4096, 5_000_000  # bytes: of a file that is looked at; of one that is parsed to know its kind
_COCO_TASKS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")
_SAMPLED, _MOST_SETS = 3, 8  # files of one for each image; files of data sets in one folder
_LISTS = re.compile(rf'"({"|".join((*OBJECTS, *BOXES))})"', re.IGNORECASE)  # in the first rows of JSON lines
_YAML = (".yaml", ".yml")
EXTENSIONS = (".xml", ".json", ".data", ".names", *_YAML)
"""Of files of annotations, beside tables and text files."""


class Reading(NamedTuple):
    """Annotations of one format.

    Attributes:
        format: its name.
        files: that hold them, absolute; of YOLO the description of the data set, or folders of label files.
    """

    format: str
    files: list[Path]


class _Listed(NamedTuple):
    """The names of the files in a folder, sorted, by their extension in lower case."""

    folder: Path
    names: dict[str, list[str]]

    def paths(self, *extensions: str) -> list[Path]:
        return [self.folder / name for extension in extensions for name in self.names.get(extension, ())]

    @property
    def has_images(self) -> bool:
        return any(is_image(extension) or is_image(f"x{extension}") for extension in self.names)


def readings(folder: Path, *, is_named: bool = False) -> list[Reading]:
    """The ways in which a folder can be read as annotations, one for each format that it has files of.

    Args:
        folder: absolute.
        is_named: whether it is known to hold annotations, so that all folders in it are looked at.
    """
    folders = [*_list(folder, is_named=is_named)]
    files_by_format: dict[str, list[Path]] = {}
    for entry in folders:
        for path in _candidates(entry):
            kind = kind_of_file(path)
            if kind:
                files_by_format.setdefault(kind, []).append(path)
    for kind in (voc.NAME, labelme.NAME):  # one file for each image: one of them tells what all are
        extension = ".xml" if kind == voc.NAME else ".json"
        if kind in files_by_format:
            with_files = {path.parent for path in files_by_format[kind]}
            files_by_format[kind] = [
                path for entry in folders if entry.folder in with_files for path in entry.paths(extension)
            ]
    if coco.NAME in files_by_format:
        files_by_format[coco.NAME] = _of_boxes(files_by_format[coco.NAME])
    for kind, is_label_file in ((yolo.NAME, yolo.is_label_file), (kitti.NAME, kitti.is_kitti_file)):
        label_folders = [
            entry.folder for entry in folders if _has_labels(entry, folder, is_label_file, is_named=is_named)
        ]
        if label_folders:
            files_by_format.setdefault(kind, label_folders)
    if len(files_by_format) > 1:
        files_by_format.pop(tables.NAME, None)  # lists of the images are common beside annotations
    return [Reading(kind, files) for kind, files in files_by_format.items()]


def kind_of_file(path: Path) -> str:
    """The format of an annotation file; empty if it has none that is known.

    Args:
        path: absolute.
    """
    suffix = path.suffix.lower()
    if suffix in _YAML:
        return yolo.NAME if _is_yolo_yaml(_beginning(path)) else ""
    if suffix == ".data":
        return yolo.NAME if re.search(r"^\s*(train|valid|names)\s*=", _beginning(path), re.MULTILINE) else ""
    if suffix == ".xml":
        return _kind_of_xml(_beginning(path))
    if suffix == ".json":
        return _kind_of_json(path)
    if suffix == ".csv" and via.is_via_csv(_beginning(path)):
        return via.NAME
    return tables.NAME if is_table(path) and suffix != ".txt" and is_box_table(path) else ""


def _list(root: Path, *, is_named: bool) -> Iterator[_Listed]:
    """The folder and those in it that may hold annotations; all of them below one that is named for them."""
    waiting = [(root, 0, is_named)]
    while waiting:
        folder, depth, takes_all = waiting.pop()
        names: dict[str, list[str]] = {}
        inner = []
        for entry in _entries(folder):
            if is_folder(entry):
                inner.append(entry.name)
            else:
                names.setdefault(os.path.splitext(entry.name)[1].lower(), []).append(entry.name)
        yield _Listed(folder, names)
        splits = splits_of(inner)
        waiting += [
            (folder / name, depth + 1, takes_all or name.lower() in _FOLDERS)
            for name in reversed(inner)
            if depth < _DEEPEST and (takes_all or name in splits or _is_known(name))
        ]


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    try:
        check_readable(folder)
        with os.scandir(folder) as scan:
            return sorted((entry for entry in scan if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError:  # reading the data reports it
        return []


def _is_known(name: str) -> bool:
    """Whether a folder has a name that annotation tools give to folders of images or of labels."""
    return name.lower() in _FOLDERS or is_wrapper(name) or bool(_VOC.fullmatch(name) or _LABELS.fullmatch(name))


def _candidates(entry: _Listed) -> Iterator[Path]:
    """Files that may be annotations; only the first ones where there may be one for each image."""
    yield from entry.paths(*_YAML, ".data")
    yield from entry.paths(".xml")[:_SAMPLED]
    json_files = entry.paths(".json")
    yield from json_files if len(json_files) <= _MOST_SETS else json_files[:_SAMPLED]
    yield from entry.paths(".csv", ".tsv", *PARQUET)
    yield from (path for path in entry.paths(".jsonl", ".ndjson") if _LISTS.search(_beginning(path)))


def _has_labels(entry: _Listed, root: Path, is_label_file: Callable[[Path], bool], *, is_named: bool) -> bool:
    """Whether a folder holds label files of a form: in a folder of labels, or beside images of the same names."""
    texts = entry.names.get(".txt", ())
    if not texts:
        return False
    stems = {
        os.path.splitext(name)[0]
        for extension, names in entry.names.items()
        if is_image(f"x{extension}")
        for name in names
    }
    is_below_labels = is_named or any(map(_LABELS.fullmatch, entry.folder.relative_to(root).parts))
    files = [entry.folder / name for name in texts if is_below_labels or os.path.splitext(name)[0] in stems]
    return any(map(is_label_file, files[:50]))


def _of_boxes(files: list[Path]) -> list[Path]:
    """Without COCO's files for other tasks, where there are some for boxes."""
    boxes = [path for path in files if not path.name.startswith(_COCO_TASKS)]
    return boxes or files


def _beginning(path: Path) -> str:
    try:
        check_readable(path)
        with open(path, "rb") as file:
            return file.read(_BEGINNING).decode("utf-8", "replace")
    except OSError:
        return ""


def _is_yolo_yaml(text: str) -> bool:
    keys = set(re.findall(r"^(\w+)\s*:", text, re.MULTILINE))
    return bool({"names", "nc"} & keys) and bool({"train", "val", "test", "path", "nc"} & keys)


def _kind_of_xml(text: str) -> str:
    first = re.search(r"<([A-Za-z]\w*)[\s/>]", text)
    return {"annotation": voc.NAME, "annotations": cvat.NAME}.get(first[1] if first else "", "")


def _has_boxes(path: Path) -> bool:
    """Whether a large JSON file has boxes, and not only classes or captions: it holds their names."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(name) >= 0 for name in (b'"bbox"', b'"segmentation"', b"labels"))


def _kind_of_json(path: Path) -> str:
    text = _beginning(path).lstrip("\ufeff \t\r\n")
    if not text.startswith(("{", "[")) or not re.search(
        r'"(images|annotations|categories|licenses|info|shapes|data|image|regions|_via_settings)"', text
    ):
        return ""
    try:
        if path.stat().st_size > _SMALL:
            return (coco.NAME if text.startswith("{") else label_studio.NAME) if _has_boxes(path) else ""
        content = read_json(path)
    except (BadExample, OSError):
        return coco.NAME if path.name.startswith(("_annotations.coco", "instances_")) else ""
    kinds = {
        coco.NAME: coco.is_coco, labelme.NAME: labelme.is_labelme, label_studio.NAME: label_studio.is_label_studio,
        createml.NAME: createml.is_createml, via.NAME: via.is_via,
    }  # fmt: skip
    return next((kind for kind, is_kind in kinds.items() if is_kind(content)), "")
