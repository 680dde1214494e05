"""LabelMe: a JSON file beside each image, with outlines, rectangles and circles in pixels."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.parsing import read_json
from headstart.data.boxes.records import AnnotatedImage, Annotations, Corners, RawBox, enclosing, image_size, number
from headstart.data.boxes.splits import SplitLists, split_of_path
from headstart.errors import BadExample

NAME = "LabelMe"

_NO_AREA = ("point", "line", "linestrip", "points")


def is_labelme(value: Any) -> bool:
    """Whether a JSON value is what LabelMe writes for an image."""
    return isinstance(value, dict) and isinstance(value.get("shapes"), list)


def read_labelme(files: Sequence[Path], images: ImageFiles) -> Annotations:
    """Read the annotations of images.

    Args:
        files: JSON files, absolute; those that are no annotations of an image are listed.
        images: those that may be meant.
    """
    annotations = Annotations()
    splits = SplitLists()
    for file in files:
        source = images.relative(str(file))
        try:
            content = _read_content(file)
            name = images.find_annotated(source, str(content.get("imagePath") or ""))
        except BadExample as exc:
            annotations.skip(source, str(exc))
            continue
        size = image_size(content.get("imageHeight"), content.get("imageWidth"))
        image = AnnotatedImage(name, source, size=size)
        for i, shape in enumerate(content["shapes"], 1):
            _add(shape, f"shape {i} of {source}", image, annotations)
        splits.add(name, split_of_path(source))
        annotations.images.append(image)
    images.skip_others(annotations, "has no annotation file: an image without objects needs one, too")
    splits.assign(annotations)
    return annotations


def _read_content(file: Path) -> Mapping[str, Any]:
    content = read_json(file)
    if not is_labelme(content):
        raise BadExample("JSON without shapes: not an annotation of LabelMe")
    return content


def _add(shape: Any, where: str, image: AnnotatedImage, annotations: Annotations) -> None:
    if not isinstance(shape, Mapping):
        annotations.leave_out(image.file, where, "is no shape")
        return
    kind = str(shape.get("shape_type") or "polygon")
    if kind in _NO_AREA:
        annotations.leave_out(image.file, where, f"is a {kind}, which has no box")
        return
    image.boxes.append(RawBox(where, str(shape.get("label") or "").strip(), _corners(kind, shape.get("points"))))


def _corners(kind: str, points: Any) -> Corners:
    """The box around the points; of a circle, these are its centre and a point on it."""
    pairs = [
        (number(point[0]), number(point[1]))
        for point in (points if isinstance(points, list) else ())
        if isinstance(point, list) and len(point) == 2
    ]
    if kind == "circle" and len(pairs) == 2:
        (x, y), edge = pairs
        radius = math.dist((x, y), edge)
        return x - radius, y - radius, x + radius, y + radius
    x1, y1, x2, y2 = enclosing([x for x, _ in pairs], [y for _, y in pairs])
    last = kind == "mask"  # whose corners are its first and its last pixel
    return x1, y1, x2 + last, y2 + last
