"""CreateML: one JSON file with a list of images, each with boxes given by their centres, in pixels.

Source: https://developer.apple.com/documentation/createml/building-an-object-detector-data-source
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.boxes.box_columns import from_centre
from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.parsing import mappings, read_json, reading
from headstart.data.boxes.records import AnnotatedImage, Annotations, RawBox, number
from headstart.data.boxes.splits import SplitLists, split_in_name, split_of_path
from headstart.errors import BadExample, InputError

NAME = "CreateML"

_IMAGE_KEYS = ("image", "imagefilename", "filename")
_SIDES = ("x", "y", "width", "height")


def is_createml(value: Any) -> bool:
    """Whether a JSON value is a data set in this form."""
    return isinstance(value, list) and any(
        _image_name(entry) and isinstance(entry.get("annotations"), list) for entry in mappings(value[:1])
    )


def read_createml(files: Sequence[Path], images: ImageFiles) -> Annotations:
    """Read data sets, one for each split.

    Args:
        files: JSON files, absolute.
        images: those that may be meant.

    Raises:
        InputError: a file is not in this form.
    """
    annotations, splits = Annotations(), SplitLists()
    for file in files:
        source = images.relative(str(file))
        with reading(file):
            entries = read_json(file)
        if not is_createml(entries):
            raise InputError(f"{file} is not in CreateML's form: expected a list of images with annotations.")
        for entry in mappings(entries):
            name = _image_name(entry)
            try:
                image = AnnotatedImage(images.within(file.parent).find(name), source)
            except BadExample as exc:
                annotations.skip(name or source, f"named in {source}: {exc}")
                continue
            for i, annotation in enumerate(mappings(entry.get("annotations")), 1):
                place = annotation.get("coordinates")
                sides = (
                    [number(place.get(side)) for side in _SIDES] if isinstance(place, Mapping) else [number(None)] * 4
                )
                label = str(annotation.get("label") or "").strip()
                image.boxes.append(RawBox(f"annotation {i} of {name} in {source}", label, from_centre(sides)))
            splits.add(image.file, split_in_name(file.stem) or split_of_path(image.file))
            annotations.images.append(image)
    images.skip_others(annotations, "not among the images of the annotation file")
    splits.assign(annotations)
    return annotations


def _image_name(entry: Mapping[str, Any]) -> str:
    return next((str(entry[key]) for key in _IMAGE_KEYS if isinstance(entry.get(key), str)), "")
