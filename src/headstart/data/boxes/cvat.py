"""CVAT for images 1.1: one XML file with all images, and boxes, outlines and masks in pixels.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.outlines import turned_corners
from headstart.data.boxes.parsing import read_xml, reading
from headstart.data.boxes.records import (
    APPROXIMATE,
    AnnotatedImage,
    Annotations,
    Corners,
    RawBox,
    enclosing,
    image_size,
    number,
)
from headstart.data.boxes.splits import SplitLists, split_in_name, split_of_path
from headstart.data.example_rows import LabelProblem
from headstart.errors import BadExample, InputError

NAME = "CVAT"

_BOX = ("xtl", "ytl", "xbr", "ybr")
_NO_AREA = ("polyline", "points", "skeleton", "cuboid", "tag")


def read_cvat(files: Sequence[Path], images: ImageFiles) -> Annotations:
    """Read the annotations of images.

    Args:
        files: XML files, absolute.
        images: those that may be meant.

    Raises:
        InputError: a file is not in this form.
    """
    annotations = Annotations()
    splits = SplitLists()
    for file in files:
        source = images.relative(str(file))
        with reading(file):
            root = read_xml(file, "annotations")
        if root.find("track") is not None:
            raise InputError(f"{file} is not in the form CVAT for images 1.1: export the task again in that form.")
        for element in root.iterfind("image"):
            _add(element, source, images, annotations, splits)
    images.skip_others(annotations, "not among the images of the annotation file")
    splits.assign(annotations)
    return annotations


def _add(element: Element, source: str, images: ImageFiles, annotations: Annotations, splits: SplitLists) -> None:
    name = element.get("name", "")
    try:
        file = images.find(name)
    except BadExample as exc:
        annotations.skip(name or source, f"named in {source}: {exc}")
        return
    image = AnnotatedImage(file, source, size=image_size(element.get("height"), element.get("width")))
    splits.add(file, split_in_name(element.get("subset", "")) or split_of_path(file))
    for i, shape in enumerate(element, 1):
        where = f"shape {i} of {name} in {source}"
        if shape.tag in _NO_AREA:
            if shape.tag != "tag":
                annotations.leave_out(file, where, f"is a {shape.tag}, which has no box")
            continue
        rotation = number(shape.get("rotation", "0"))
        if rotation:
            reason = f"is turned by {rotation:g} degrees"
            annotations.problems.append(
                LabelProblem(file, where, APPROXIMATE, reason, "the upright box around it is used")
            )
        image.boxes.append(RawBox(where, shape.get("label", "").strip(), _corners(shape, rotation)))
    annotations.images.append(image)


def _corners(shape: Element, rotation: float) -> Corners:
    if shape.tag == "box":
        x1, y1, x2, y2 = (number(shape.get(name)) for name in _BOX)
        return _turned_about_centre((x1, y1, x2, y2), rotation) if rotation else (x1, y1, x2, y2)
    if shape.tag == "ellipse":
        x, y, rx, ry = (number(shape.get(name)) for name in ("cx", "cy", "rx", "ry"))
        return _turned_about_centre((x - rx, y - ry, x + rx, y + ry), rotation)
    if shape.tag == "mask":
        x, y, w, h = (number(shape.get(name)) for name in ("left", "top", "width", "height"))
        return x, y, x + w, y + h
    points = [point.split(",") for point in shape.get("points", "").split(";")]
    return enclosing([number(point[0]) for point in points], [number(point[-1]) for point in points])


def _turned_about_centre(corners: Corners, degrees: float) -> Corners:
    """The upright box around one that is turned clockwise about its centre."""
    x1, y1, x2, y2 = corners
    w, h = x2 - x1, y2 - y1
    left, top, right, bottom = turned_corners(0, 0, w, h, degrees)
    half_w, half_h = (right - left) / 2, (bottom - top) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return x - half_w, y - half_h, x + half_w, y + half_h
