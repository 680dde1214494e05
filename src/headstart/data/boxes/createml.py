"""CreateML: one JSON file with a list of images, each with boxes given by their centres, in pixels.

Source: https://developer.apple.com/documentation/createml/building-an-object-detector-data-source
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.boxes.corner_names import from_centre
from headstart.data.boxes.data_sets import named_image, read_data_sets
from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.parsing import mappings, read_json, reading
from headstart.data.boxes.records import AnnotatedImage, Annotations, RawBox, number
from headstart.errors import InputError

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
    return read_data_sets(files, images, _read_images)


def _read_images(file: Path, source: str, images: ImageFiles, annotations: Annotations) -> Iterator[AnnotatedImage]:
    with reading(file):
        entries = read_json(file)
    if not is_createml(entries):
        raise InputError(f"{file} is not in CreateML's form: expected a list of images with annotations.")
    near_images = images.within(file.parent)
    for entry in mappings(entries):
        name = _image_name(entry)
        image = named_image(name, source, near_images, annotations)
        if image is None:
            continue
        for i, annotation in enumerate(mappings(entry.get("annotations")), 1):
            place = annotation.get("coordinates")
            sides = [number(place.get(side) if isinstance(place, Mapping) else None) for side in _SIDES]
            label = str(annotation.get("label") or "").strip()
            image.boxes.append(RawBox(f"annotation {i} of {name} in {source}", label, from_centre(sides)))
        yield image


def _image_name(entry: Mapping[str, Any]) -> str:
    return next((str(entry[key]) for key in _IMAGE_KEYS if isinstance(entry.get(key), str)), "")
