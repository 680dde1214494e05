"""VGG Image Annotator (VIA): a project or its annotations as JSON, or a CSV with a row for each region; in pixels.

Source: https://www.robots.ox.ac.uk/~vgg/software/via/docs/user_guide.html
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from headstart.data.boxes.data_sets import named_image, read_data_sets
from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.parsing import mappings, read_json, read_lines, reading
from headstart.data.boxes.records import AnnotatedImage, Annotations, Corners, RawBox, enclosing, number
from headstart.errors import BadExample

NAME = "VGG Image Annotator"

_COLUMNS = ("region_shape_attributes", "region_attributes")
_CLASS_KEYS = ("label", "class", "category", "type", "name", "object", "object_name")
_NO_AREA = ("point", "line", "polyline")


class _Region(NamedTuple):
    file: str
    shape: Any
    attributes: Any


def is_via(value: Any) -> bool:
    """Whether a JSON value is a project of VIA, or its exported annotations."""
    return any("regions" in entry and "filename" in entry for entry in _entries(value)[:1])


def is_via_csv(beginning: str) -> bool:
    """Whether a CSV is an export of VIA, by its beginning."""
    return all(name in beginning.split("\n", 1)[0] for name in _COLUMNS)


def read_via(files: Sequence[Path], images: ImageFiles) -> Annotations:
    """Read exports, one for each split.

    Args:
        files: JSON and CSV files, absolute.
        images: those that may be meant.

    Raises:
        InputError: a file is not in this form.
    """
    return read_data_sets(files, images, _read_images)


def _read_images(file: Path, source: str, images: ImageFiles, annotations: Annotations) -> list[AnnotatedImage]:
    with reading(file):
        regions = list(_csv_regions(file) if file.suffix.lower() == ".csv" else _json_regions(file))
    class_key, near_images = _class_key([region.attributes for region in regions]), images.within(file.parent)
    by_name: dict[str, AnnotatedImage | None] = {}
    for i, region in enumerate(regions, 1):
        if region.file not in by_name:
            by_name[region.file] = named_image(region.file, source, near_images, annotations)
        image = by_name[region.file]
        if image is not None and region.shape is not None:
            _add(region, f"region {i} of {source}", class_key, image, annotations)
    return [image for image in by_name.values() if image is not None]


def _entries(value: Any) -> list[Mapping[str, Any]]:
    """What a JSON value says of each image; empty if it is no export of VIA."""
    if not isinstance(value, Mapping):
        return []
    content = value.get("_via_img_metadata", value)
    return mappings([*content.values()]) if isinstance(content, Mapping) else []


def _json_regions(file: Path) -> Iterator[_Region]:
    content = read_json(file)
    if not is_via(content):
        raise BadExample("expected a project or annotations of VGG Image Annotator")
    for entry in _entries(content):
        name, regions = str(entry.get("filename") or ""), entry.get("regions")
        regions = mappings([*regions.values()] if isinstance(regions, Mapping) else regions)
        if not regions:
            yield _Region(name, None, None)
        for region in regions:
            yield _Region(name, region.get("shape_attributes") or {}, region.get("region_attributes"))


def _csv_regions(file: Path) -> Iterator[_Region]:
    try:
        for row in csv.DictReader(read_lines(file)):
            shape = _json_cell(row.get(_COLUMNS[0]))
            yield _Region(
                row.get("filename") or row.get("#filename") or "", shape or None, _json_cell(row[_COLUMNS[1]])
            )
    except (csv.Error, KeyError) as exc:
        raise BadExample(f"not a CSV of VGG Image Annotator: {exc}") from exc


def _json_cell(cell: str | None) -> Any:
    try:
        return json.loads(cell or "{}")
    except (ValueError, RecursionError):
        return {"name": "a shape that is not JSON"}


def _class_key(attributes: Sequence[Any]) -> str:
    """The attribute that names the class: one with a usual name, else the most frequent one."""
    keys = [key for values in attributes if isinstance(values, Mapping) for key in values]
    usual_key = next((key for name in _CLASS_KEYS for key in keys if key.strip().lower() == name), "")
    return usual_key or (max(keys, key=keys.count) if keys else "")


def _add(region: _Region, where: str, class_key: str, image: AnnotatedImage, annotations: Annotations) -> None:
    shape = region.shape if isinstance(region.shape, Mapping) else {}
    kind = str(shape.get("name") or "")
    if kind in _NO_AREA:
        annotations.leave_out(image.file, where, f"is a {kind}, which has no box")
        return
    value = region.attributes.get(class_key) if isinstance(region.attributes, Mapping) else None
    if isinstance(value, Mapping):  # checkboxes: those that are ticked
        names = [str(name).strip() for name, is_ticked in value.items() if is_ticked]
    else:
        names = [str(value if value is not None else "").strip()]
    image.boxes += [RawBox(where, name, _corners(kind, shape)) for name in names or [""]]


def _corners(kind: str, shape: Mapping[str, Any]) -> Corners:
    """The box around a shape; NaN where it cannot be read."""
    if kind == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not (isinstance(xs, list) and isinstance(ys, list)):
            return enclosing([], [])
        return enclosing(map(number, xs), map(number, ys))
    if kind in ("circle", "ellipse"):
        x, y = number(shape.get("cx")), number(shape.get("cy"))
        rx, ry = (
            (number(shape.get("r")),) * 2 if kind == "circle" else (number(shape.get("rx")), number(shape.get("ry")))
        )
        return x - rx, y - ry, x + rx, y + ry
    x, y, w, h = (number(shape.get(side)) for side in ("x", "y", "width", "height"))
    return x, y, x + w, y + h
