"""Pascal VOC: one XML file for each image, with pixels counted from 1, and lists of the splits.

Source: Everingham and others, "The PASCAL Visual Object Classes Challenge 2012 development kit", section 4.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.parsing import child_text, read_lines, read_xml
from headstart.data.boxes.records import AnnotatedImage, Annotations, Corners, RawBox, image_size, number
from headstart.data.boxes.splits import SplitLists, split_of_path
from headstart.data.split_names import split_of
from headstart.errors import BadExample

NAME = "Pascal VOC"

_LISTS = ("ImageSets", "Main")
_COMBINED = "trainval"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(files: Sequence[Path], images: ImageFiles) -> Annotations:
    """Read the annotations of images.

    Args:
        files: XML files, absolute.
        images: those that may be meant.
    """
    annotations = Annotations()
    lists = {parent: _read_lists(parent) for parent in {file.parent.parent for file in files}}
    splits = SplitLists()
    for file in files:
        source = images.relative(str(file))
        try:
            root = read_xml(file, "annotation")
            name = images.find_annotated(source, child_text(root, "filename"))
        except BadExample as exc:
            annotations.skip(source, str(exc))
            continue
        splits_by_name = lists[file.parent.parent]
        if splits_by_name is not None and file.stem not in splits_by_name:
            annotations.skip(name, f"in none of the lists in {'/'.join(_LISTS)}")
            continue
        for split in [split_of_path(source)] if splits_by_name is None else splits_by_name[file.stem]:
            splits.add(name, split)
        size = image_size(child_text(root, "size/height"), child_text(root, "size/width"))
        annotations.images.append(AnnotatedImage(name, source, _boxes(root, source), size))
    images.skip_others(annotations, "has no annotation file: an image without objects needs one, too")
    splits.assign(annotations)
    return annotations


def _read_lists(folder: Path) -> dict[str, list[str]] | None:
    """Name without extension -> splits, from the lists of all images; None where there are none."""
    lists = folder.joinpath(*_LISTS)
    files = {path: split_of(path.stem) for path in sorted(lists.glob("*.txt"))} if lists.is_dir() else {}
    files = {path: split for path, split in files.items() if split}
    if {"train", "val"} <= {split for path, split in files.items() if path.stem != _COMBINED}:
        files = {path: split for path, split in files.items() if path.stem != _COMBINED}
    splits_by_name: dict[str, list[str]] = {}
    for path, split in files.items():
        for line in read_lines(path):
            if words := line.split():
                splits_by_name.setdefault(words[0], []).append(split)
    return splits_by_name or None


def _boxes(root: Element, source: str) -> list[RawBox]:
    return [
        RawBox(
            f"object {i} of {source}",
            child_text(element, "name"),
            _corners(element),
            child_text(element, "difficult") in ("1", "true", "True"),
        )
        for i, element in enumerate(root.iterfind("object"), 1)
    ]


def _corners(element: Element) -> Corners:
    """The corners from 0. The file names the first and the last pixel, so that only the first ones are shifted.

    Many tools write corners from 0; these are half a pixel wrong on average, and 0 is clipped later. Where both corners
    are the same the tool had a box without area, not one of one pixel.
    """
    x1, y1, x2, y2 = (number(child_text(element, f"bndbox/{name}")) for name in _CORNERS)
    return x1 - (x1 < x2), y1 - (y1 < y2), x2 - (x2 < x1), y2 - (y2 < y1)
