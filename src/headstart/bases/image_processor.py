"""What a model of Hugging Face wants of its images, as its ``preprocessor_config.json`` says."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from headstart.bases.base import Preprocessing
from headstart.data.readers import Resize
from headstart.errors import InputError

_FILE = "preprocessor_config.json"


class ImageProcessor(NamedTuple):
    """Size (height, width) in pixels, preprocessing, and how a photo of another shape becomes that size."""

    size: tuple[int, int]
    preprocessing: Preprocessing
    resize: Resize


def read(folder: Path, source: str) -> ImageProcessor:
    """Read it from a model's folder.

    Raises:
        InputError: there is none, or it does not say what it has to.
    """
    path = folder / _FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(
            f"{source} does not say how it wants its images ({exc}): expected {_FILE} beside its config.json. Copy it "
            "from where the model comes from; headstart does not guess."
        ) from exc
    cropped = bool(settings.get("do_center_crop"))
    size = _size(settings.get("crop_size" if cropped else "size"))
    if size is None:
        raise InputError(f"{path} has no image size: expected height and width, or the shortest edge.")
    scale, offset = (1.0,) * 3, (0.0,) * 3
    if settings.get("do_rescale", True):
        scale = (float(settings.get("rescale_factor", 1 / 255)),) * 3
    if settings.get("do_normalize", True):
        try:
            mean, std = settings["image_mean"], settings["image_std"]
        except KeyError as exc:
            raise InputError(f"{path} has no {exc}: expected the mean and standard deviation it scales by.") from exc
        scale = tuple(value / by for value, by in zip(scale, std, strict=True))
        offset = tuple(-value / by for value, by in zip(mean, std, strict=True))
    preprocessing = Preprocessing("the model's own", scale, offset, bgr=bool(settings.get("do_flip_channel_order")))
    return ImageProcessor(size, preprocessing, "crop" if cropped else "stretch")


def _size(value: Any) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    if not isinstance(value, dict):
        return None
    edge = value.get("shortest_edge")
    height, width = value.get("height", edge), value.get("width", edge)
    return (int(height), int(width)) if height and width else None
