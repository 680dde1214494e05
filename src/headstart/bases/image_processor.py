"""The image size and preprocessing of a Hugging Face model, from its ``preprocessor_config.json``."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from headstart.bases.base import Preprocessing
from headstart.data.readers import Resize
from headstart.errors import InputError

_FILE = "preprocessor_config.json"


class ImageProcessor(NamedTuple):
    """Size (height, width) in pixels, preprocessing, and how an image of another shape is resized."""

    size: tuple[int, int]
    preprocessing: Preprocessing
    resize: Resize


def read(folder: Path, source: str) -> ImageProcessor:
    """Read the image processor from a model's folder.

    Raises:
        InputError: the file is missing, or incomplete.
    """
    path = folder / _FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(
            f"{source} does not state its image preprocessing ({exc}): expected {_FILE} beside its config.json. Copy "
            "that file from the model's repository."
        ) from exc
    crops = bool(settings.get("do_center_crop"))
    size = _size(settings.get("crop_size" if crops else "size"))
    if size is None:
        raise InputError(f"{path} has no image size: expected height and width, or the shortest edge.")
    scale, offset = (1.0,) * 3, (0.0,) * 3
    if settings.get("do_rescale", True):
        scale = (float(settings.get("rescale_factor", 1 / 255)),) * 3
    if settings.get("do_normalize", True):
        try:
            mean, std = settings["image_mean"], settings["image_std"]
        except KeyError as exc:
            raise InputError(f"{path} has no {exc}: expected image_mean and image_std.") from exc
        scale = tuple(value / by for value, by in zip(scale, std, strict=True))
        offset = tuple(-value / by for value, by in zip(mean, std, strict=True))
    preprocessing = Preprocessing("the model's own", scale, offset, bgr=bool(settings.get("do_flip_channel_order")))
    return ImageProcessor(size, preprocessing, "crop" if crops else "stretch")


def _size(value: Any) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    if not isinstance(value, dict):
        return None
    edge = value.get("shortest_edge")
    height, width = value.get("height", edge), value.get("width", edge)
    return (int(height), int(width)) if height and width else None
