"""Label Studio: one JSON file with all tasks, in the form JSON or JSON-MIN; boxes in percent of the image.

Source: https://labelstud.io/guide/export
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from headstart.data.boxes.data_sets import read_data_sets
from headstart.data.boxes.image_files import ImageFiles, is_image
from headstart.data.boxes.outlines import turned_corners
from headstart.data.boxes.parsing import mappings, read_json, reading
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
from headstart.data.example_rows import LabelProblem
from headstart.data.examples import is_url
from headstart.errors import BadExample, InputError

NAME = "Label Studio"

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file


def is_label_studio(value: Any) -> bool:
    """Whether a JSON value is an export of Label Studio: JSON or JSON-MIN."""
    first = value[0] if isinstance(value, list) and value else None
    if not isinstance(first, Mapping):
        return False
    return (isinstance(first.get("data"), Mapping) and isinstance(first.get("annotations"), list)) or (
        "annotation_id" in first and "annotator" in first
    )


def read_label_studio(files: Sequence[Path], images: ImageFiles) -> Annotations:
    """Read exports.

    Args:
        files: JSON files, absolute.
        images: those that may be meant.

    Raises:
        InputError: a file is not in this form.
    """
    return read_data_sets(files, images, _read_images)


def _read_images(file: Path, source: str, images: ImageFiles, annotations: Annotations) -> Iterator[AnnotatedImage]:
    with reading(file):
        tasks = read_json(file)
    if not is_label_studio(tasks):
        raise InputError(f"{file} is no export of Label Studio in the form JSON or JSON-MIN.")
    for task in mappings(tasks):
        if (image := _read_task(task, source, images, annotations)) is not None:
            yield image


def _read_task(
    task: Mapping[str, Any], source: str, images: ImageFiles, annotations: Annotations
) -> AnnotatedImage | None:
    """The objects in the image of a task; None if it cannot be used, which is listed."""
    task_text = f"task {task.get('id', '?')} of {source}"
    address = _address(task.get("data") or task)
    if not address:
        annotations.skip(task_text, "has no image")
        return None
    try:
        image = AnnotatedImage(_find(address, images), source, is_relative=True)
    except BadExample as exc:
        annotations.skip(address, f"named in {task_text}: {exc}")
        return None
    regions = _regions(task, image, task_text, annotations)
    if regions is None:
        annotations.skip(image.file, f"{task_text} is not annotated")
        return None
    for i, (kind, value, size) in enumerate(regions, 1):
        _add(f"region {i} of {task_text}", kind, value, size, image, annotations)
        image.size = size or image.size
    return image


def _address(data: Mapping[str, Any]) -> str:
    """The path or URL of the image among the data of a task."""
    values = [value for value in data.values() if isinstance(value, str)]
    return next((value for value in values if is_image(_file_part(value))), "")


def _file_part(address: str) -> str:
    """The path in an address: of ``/data/local-files/?d=a/1.jpg`` it is ``a/1.jpg``."""
    parts = urlsplit(address)
    return unquote(parse_qs(parts.query).get("d", [parts.path])[0])


def _find(address: str, images: ImageFiles) -> str:
    """The image under its name, or under that before the upload; else by its URL."""
    path = _file_part(address)
    own = PurePath(path).name
    for name in (path, str(PurePath(path).with_name(_UPLOAD.sub("", own)))):
        try:
            return images.find(name)
        except BadExample:
            continue
    return address if is_url(address) else images.find(path)


Region = tuple[str, Mapping[str, Any], tuple[int, int] | None]
"""Kind, value, and (height, width) of the image in pixels."""


def _regions(
    task: Mapping[str, Any], image: AnnotatedImage, task_text: str, annotations: Annotations
) -> list[Region] | None:
    """The regions of one annotation of a task; None if it has none that counts."""
    if "annotations" not in task:
        lists = [value for value in task.values() if isinstance(value, list) and _is_region_list(value)]
        return [
            (_kind(value), value, image_size(value.get("original_height"), value.get("original_width")))
            for values in lists
            for value in values
        ]
    candidates = [a for a in mappings(task["annotations"]) if not a.get("was_cancelled")]
    if not candidates:
        return None
    annotation = next((a for a in candidates if a.get("ground_truth")), candidates[-1])
    if len(candidates) > 1:
        which = "the one marked as ground truth" if annotation.get("ground_truth") else "the last one"
        reason = f"has {len(candidates)} annotations of one image"
        annotations.problems.append(LabelProblem(image.file, task_text, APPROXIMATE, reason, f"{which} is used"))
    results = [r for r in mappings(annotation.get("result")) if isinstance(r.get("value"), Mapping)]
    labelled = {r.get("id") for r in results if _labels(r["value"])}
    return [
        (_kind(r["value"]), r["value"], image_size(r.get("original_height"), r.get("original_width")))
        for r in results
        if "choices" not in r["value"] and (_labels(r["value"]) or r.get("id") not in labelled)
    ]


def _is_region_list(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, Mapping) and _labels(value) for value in values)


def _kind(value: Mapping[str, Any]) -> str:
    if isinstance(value.get("points"), list):
        return "polygon"
    if "radiusX" in value:
        return "ellipse"
    return "rectangle" if {"x", "y", "width", "height"} <= value.keys() and "keypointlabels" not in value else "other"


def _labels(value: Mapping[str, Any]) -> list[str]:
    lists = (labels for key, labels in value.items() if key.endswith("labels") and isinstance(labels, list))
    return [str(label).strip() for labels in lists for label in labels]


def _add(
    where: str,
    kind: str,
    value: Mapping[str, Any],
    size: tuple[int, int] | None,
    image: AnnotatedImage,
    annotations: Annotations,
) -> None:
    if kind == "other":
        annotations.leave_out(image.file, where, "has no box")
        return
    rotation = number(value.get("rotation", 0))
    if rotation:
        problem = LabelProblem(
            image.file, where, APPROXIMATE, f"is turned by {rotation:g} degrees", "the upright box around it is used"
        )
        annotations.problems.append(problem)
    corners = _corners(kind, value, rotation, size or (100, 100))
    image.boxes += [RawBox(where, label, corners) for label in _labels(value) or [""]]


def _corners(kind: str, value: Mapping[str, Any], rotation: float, size: tuple[int, int]) -> Corners:
    """As shares of the image. Angles are in its pixels, so that turned boxes are computed there."""
    h, w = size[0] / 100, size[1] / 100
    if kind == "polygon":
        points = [point for point in value["points"] if isinstance(point, list) and len(point) == 2]
        corners = enclosing([number(x) * w for x, _ in points], [number(y) * h for _, y in points])
    elif kind == "ellipse":
        x, rx = number(value.get("x")) * w, number(value.get("radiusX")) * w
        y, ry = number(value.get("y")) * h, number(value.get("radiusY")) * h
        left, top, right, bottom = turned_corners(0, 0, 2 * rx, 2 * ry, rotation)
        corners = (x - (right - left) / 2, y - (bottom - top) / 2, x + (right - left) / 2, y + (bottom - top) / 2)
    else:
        x, y, width, height = (number(value[name]) for name in ("x", "y", "width", "height"))
        corners = turned_corners(x * w, y * h, width * w, height * h, rotation)
    x1, y1, x2, y2 = corners
    return x1 / size[1], y1 / size[0], x2 / size[1], y2 / size[0]
