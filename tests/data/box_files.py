"""Images with boxes in files as annotation tools write them."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from headstart.data.boxes import find_boxes
from headstart.data.example_rows import ExampleRows
from headstart.data.table_columns import Columns
from headstart.tasks.labels import BoxLabels, LabelledBox

VOC_OBJECT = """  <object>
    <name>{name}</name>
    <pose>Unspecified</pose>
    <truncated>0</truncated>
    <difficult>{difficult}</difficult>
    <bndbox>
      <xmin>{x1}</xmin>
      <ymin>{y1}</ymin>
      <xmax>{x2}</xmax>
      <ymax>{y2}</ymax>
    </bndbox>
  </object>
"""


def draw(path: Path, size: tuple[int, int] = (100, 80), orientation: int = 1, shade: int = 90) -> Path:
    """An image of (width, height) pixels as stored; the EXIF orientation says how to turn it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    image = Image.new("RGB", size, (shade, 80, 120))
    image.paste((255 - shade, 200, 40), (shade // 4, 10, shade // 4 + 30, 60))
    image.save(stream, "JPEG", exif=exif)
    path.write_bytes(stream.getvalue())
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value: Any) -> Path:
    return write(path, json.dumps(value))


def write_voc(
    path: Path, objects: Sequence[tuple[Any, ...]], size: tuple[int, int] | None = (100, 80), filename: str = "x.jpg"
) -> Path:
    """An annotation as labelImg writes it; objects are (name, xmin, ymin, xmax, ymax[, difficult])."""
    size_text = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    body = "".join(
        VOC_OBJECT.format(name=name, x1=x1, y1=y1, x2=x2, y2=y2, difficult=(*rest, 0)[0])
        for name, x1, y1, x2, y2, *rest in objects
    )
    return write(
        path,
        f"<annotation>\n  <folder>images</folder>\n  <filename>{filename}</filename>\n"
        f"  <path>C:\\Users\\me\\{filename}</path>\n  {size_text}\n  <segmented>0</segmented>\n{body}</annotation>\n",
    )


def coco(
    images: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]], categories: dict[int, str]
) -> dict[str, Any]:
    """The content of a file in COCO's form; images are 100 x 80 pixels unless they say so."""
    return {
        "info": {"year": "2026", "version": "1", "description": ""},
        "licenses": [],
        "categories": [{"id": i, "name": name, "supercategory": "none"} for i, name in categories.items()],
        "images": [{"width": 100, "height": 80, **image} for image in images],
        "annotations": [{"id": i, "iscrowd": 0, **annotation} for i, annotation in enumerate(annotations)],
    }


def read(data: Path, annotations: Path | None = None, **columns: Any) -> ExampleRows:
    root = (data if data.is_dir() else data.parent).absolute()
    rows = find_boxes(data, root, Columns(**columns), annotations=str(annotations) if annotations else None)
    assert rows is not None
    return rows


def boxes(rows: ExampleRows, file: str) -> list[tuple[Any, ...]]:
    """(name, x1, y1, x2, y2) of the objects in an image, to a thousandth of a pixel."""
    label = rows.labels[rows.files.index(file)]
    assert isinstance(label, BoxLabels)
    return [(box.name, *(round(edge, 3) for edge in box[1:5])) for box in label.boxes]


def labels(rows: ExampleRows) -> dict[str, BoxLabels]:
    return {file: label for file, label in zip(rows.files, rows.labels, strict=True) if isinstance(label, BoxLabels)}


def splits(rows: ExampleRows) -> dict[str, str]:
    assert rows.splits is not None
    return dict(zip(rows.files, rows.splits, strict=True))


def problems(rows: ExampleRows) -> list[tuple[str, str, str, str]]:
    return [(item.where, item.check, item.reason, item.action) for item in rows.label_problems]


def skipped(rows: ExampleRows) -> dict[str, str]:
    return {item.file: item.reason for item in rows.skipped}


__all__ = ["LabelledBox", "boxes", "coco", "draw", "labels", "problems", "read", "skipped", "splits", "write"]
