"""Detections in the forms of annotation tools, to be corrected there, evaluated elsewhere or trained on."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from headstart.data.examples import is_url
from headstart.errors import InputError, field_name
from headstart.tasks.detection import Detections

_PIXEL_DECIMALS, _SHARE_DECIMALS, _SCORE_DECIMALS = 2, 6, 6


class DetectedImage(NamedTuple):
    """An image with what was detected in it.

    Attributes:
        name: path of the file, or its URL.
        size: (height, width) of the upright image, in pixels.
        detections: in pixels of that image.
    """

    name: str
    size: tuple[int, int]
    detections: Detections


def to_coco(images: Sequence[DetectedImage], classes: Sequence[str]) -> dict[str, Any]:
    """COCO's form of labels, with a ``score`` in each annotation.

    Its ``annotations`` alone are COCO's form of results. All numbers count from 1: pycocotools takes a detection of an
    annotation with the number 0 for a false one.
    """
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, 1):
        for number, (x1, y1, x2, y2), score in _objects(image):
            box = [round(value, _PIXEL_DECIMALS) for value in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image_id, "category_id": number + 1, "bbox": box,
                    "area": round(box[2] * box[3], _PIXEL_DECIMALS), "iscrowd": 0,
                    "score": round(score, _SCORE_DECIMALS),
                }
            )  # fmt: skip
    files = image_files([image.name for image in images])
    return {
        "info": {"description": "detections"},
        "images": [
            {"id": i, "file_name": file.as_posix(), "height": image.size[0], "width": image.size[1]}
            for i, (file, image) in enumerate(zip(files, images, strict=True), 1)
        ],
        "categories": [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(classes, 1)],
        "annotations": annotations,
    }


def to_yolo(image: DetectedImage) -> str:
    """The rows of a YOLO label file: class number, centre, width and height as shares; no scores, as in labels."""
    height, width = image.size
    rows = []
    for number, (x1, y1, x2, y2), _ in _objects(image):
        shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        rows.append(" ".join([str(number), *(f"{share:.{_SHARE_DECIMALS}f}" for share in shares)]) + "\n")
    return "".join(rows)


def to_voc(image: DetectedImage, classes: Sequence[str]) -> str:
    """The XML of Pascal VOC: whole pixels, counted from 1, of which the first and the last belong to the box."""
    root = Element("annotation")
    path = PurePath(image.name)
    _add(root, {"folder": path.parent.name, "filename": path.name})
    height, width = image.size
    _add(SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    _add(root, {"segmented": 0})
    for number, corners, score in _objects(image):
        x1, y1, x2, y2 = map(round, corners)
        element = SubElement(root, "object")
        _add(element, {"name": classes[number], "pose": "Unspecified", "truncated": 0, "difficult": 0})
        _add(
            SubElement(element, "bndbox"),
            {"xmin": min(x1 + 1, width), "ymin": min(y1 + 1, height), "xmax": min(x2, width), "ymax": min(y2, height)},
        )
        _add(element, {"confidence": round(score, _SCORE_DECIMALS)})
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def write_detections(folder: Path, form: str, images: Sequence[DetectedImage], classes: Sequence[str]) -> list[Path]:
    """Write detections into a folder.

    Args:
        folder: created if it is not there.
        form: one of :data:`FORMS`.
        images: with their detections.
        classes: names by number.

    Returns:
        The files, of which existing ones are replaced: one JSON file of COCO; or one file for each image in a folder as
        the images are, of YOLO with the list ``classes.txt``.

    Raises:
        InputError: there is no such form; or two images would have the same label file.
    """
    if form not in FORMS:
        raise InputError(f"expected {', '.join(FORMS)}, got {form!r}.", field="format")
    check_label_files([image.name for image in images], form)
    written = []
    for name, text in FORMS[form](images, classes).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def image_files(names: Sequence[str]) -> list[PurePath]:
    """Relative paths for files about images: their paths from the folder that all of them lie in."""
    local = [os.path.abspath(name) for name in names if not is_url(name)]
    common = os.path.commonpath([os.path.dirname(path) for path in local]) if local else ""
    return [
        PurePath(PurePath(name).name) if is_url(name) else PurePath(os.path.relpath(name, common)) for name in names
    ]


def check_label_files(names: Sequence[str], form: str) -> None:
    """Check that every image has a label file of its own.

    Args:
        names: of the images, paths or URLs.
        form: one of :data:`FORMS`.

    Raises:
        InputError: two images differ only in their extension, or are the same.
    """
    if form == "coco":
        return
    name_of_file: dict[PurePath, str] = {}
    for name, file in zip(names, image_files(names), strict=True):
        other = name_of_file.setdefault(file.with_suffix(""), name)
        if other != name:
            raise InputError(
                f"{other} and {name} would have the same label file: predict them one after the other, or use "
                f"{field_name('format', 'coco')}.",
                field="format",
            )


def _coco_files(images: Sequence[DetectedImage], classes: Sequence[str]) -> dict[str, str]:
    return {"detections.coco.json": json.dumps(to_coco(images, classes), indent=1) + "\n"}


def _yolo_files(images: Sequence[DetectedImage], classes: Sequence[str]) -> dict[str, str]:
    files = image_files([image.name for image in images])
    labels = {
        str("labels" / file.with_suffix(".txt")): to_yolo(image) for file, image in zip(files, images, strict=True)
    }
    return {"classes.txt": "".join(f"{name}\n" for name in classes), **labels}


def _voc_files(images: Sequence[DetectedImage], classes: Sequence[str]) -> dict[str, str]:
    files = image_files([image.name for image in images])
    return {
        str("Annotations" / file.with_suffix(".xml")): to_voc(image, classes)
        for file, image in zip(files, images, strict=True)
    }


FORMS: Mapping[str, Callable[[Sequence[DetectedImage], Sequence[str]], dict[str, str]]] = {
    "coco": _coco_files,
    "yolo": _yolo_files,
    "voc": _voc_files,
}
"""Name of a form -> what makes the content of its files, by their names."""


def _objects(image: DetectedImage) -> list[tuple[int, list[float], float]]:
    """Class number, corners and score of each object."""
    detections = image.detections
    return list(
        zip(detections.classes.tolist(), detections.coordinates.tolist(), detections.scores.tolist(), strict=True)
    )


def _add(parent: Element, texts: Mapping[str, Any]) -> None:
    for tag, value in texts.items():
        SubElement(parent, tag).text = str(value)
