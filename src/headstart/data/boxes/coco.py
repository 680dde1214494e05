"""COCO: one JSON file with all images, categories and annotations of a split.

Source: https://cocodataset.org/#format-data
"""

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from headstart.data.boxes.data_sets import named_image, read_data_sets
from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.outlines import mask_corners
from headstart.data.boxes.parsing import mappings, read_json, reading
from headstart.data.boxes.records import AnnotatedImage, Annotations, Corners, RawBox, image_size, number
from headstart.errors import InputError

NAME = "COCO"

_PREFIX = "instances_"


def is_coco(value: Any) -> bool:
    """Whether a JSON value is a data set in COCO's form, with boxes or masks; captions and classes have none."""
    if not (isinstance(value, dict) and isinstance(value.get("images"), list) and "annotations" in value):
        return False
    annotations = mappings(value["annotations"])
    return not annotations or any("bbox" in entry or "segmentation" in entry for entry in annotations)


def read_coco(files: Sequence[Path], images: ImageFiles) -> Annotations:
    """Read data sets, one for each split.

    Args:
        files: JSON files, absolute.
        images: those that may be meant.

    Raises:
        InputError: a file is not in COCO's form.
    """
    return read_data_sets(files, images, _read_images)


def _read_images(file: Path, source: str, images: ImageFiles, annotations: Annotations) -> list[AnnotatedImage]:
    content = read_coco_json(file)
    names = _category_names(content)
    annotations.classes += [name for name in names.values() if name not in annotations.classes]
    by_id = _images(content["images"], source, _scope(file, images), annotations)
    for i, annotation in enumerate(mappings(content["annotations"]), 1):
        where = f"annotation {annotation.get('id', f'number {i}')} of {source}"
        image_id = _key(annotation.get("image_id"))
        if image_id not in by_id:
            annotations.leave_out(source, where, f"is of the image {image_id}, which the file does not have")
            continue
        image, name = by_id[image_id], names.get(_key(annotation.get("category_id")))
        if image is None:  # which is listed
            continue
        if name is None:
            annotations.leave_out(image.file, where, f"has the unknown category {annotation.get('category_id')!r}")
            continue
        image.boxes.append(RawBox(where, name, _corners(annotation), annotation.get("iscrowd") in (1, True, "1")))
    return [image for image in by_id.values() if image is not None]


def read_coco_json(file: Path) -> Any:
    """The content of a file in COCO's form.

    Raises:
        InputError: it is not.
    """
    with reading(file):
        content = read_json(file)
    if not is_coco(content):
        raise InputError(f"{file} is not in COCO's form: expected images, annotations and categories.")
    return content


def _images(
    entries: Any, source: str, images: ImageFiles, annotations: Annotations
) -> dict[str, AnnotatedImage | None]:
    """Number of an image -> the image; None for one that is not there, which is listed."""
    by_id: dict[str, AnnotatedImage | None] = {}
    for entry in mappings(entries):
        image = named_image(str(entry.get("file_name") or ""), source, images, annotations)
        if image is not None:
            image.size = image_size(entry.get("height"), entry.get("width"))
        by_id[_key(entry.get("id"))] = image
    return by_id


def _category_names(content: Mapping[str, Any]) -> dict[str, str]:
    return {
        _key(category.get("id")): str(category.get("name") or "").strip()
        for category in mappings(content.get("categories"))
    }


def _key(number_: Any) -> str:
    """A number as it identifies things: 3, 3.0 and "3" are the same."""
    value = number(number_)
    return str(int(value)) if value.is_integer() else str(number_)


def _corners(annotation: Mapping[str, Any]) -> Corners:
    """From ``bbox``: x, y, width and height; without one from the outline."""
    box = annotation.get("bbox")
    if not box:
        return mask_corners(annotation.get("segmentation"))
    x, y, w, h = (*map(number, box),) if isinstance(box, list) and len(box) == 4 else (nan,) * 4
    return x, y, x + w, y + h


def _scope(file: Path, images: ImageFiles) -> ImageFiles:
    """The images that a file is about: below its own folder, or in the folder that it is named for."""
    if file.stem.startswith("_annotations"):
        return images.within(file.parent)
    return images.below_name(file.stem.removeprefix(_PREFIX))
