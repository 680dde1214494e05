"""The image size and preprocessing of a Hugging Face model, from its ``preprocessor_config.json``.

Every class of image processors has its own meaning for the same settings: here are those that resize an image, cut out
its centre, and scale and shift its values. Any other class is refused, and so is a setting that headstart cannot
follow exactly.

Source: the image processors of transformers 5.24.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from headstart.bases.base import Preprocessing
from headstart.data.resizing import Interpolation, Resize, ResizeRule
from headstart.errors import InputError

_FILE, _FILE_5 = "preprocessor_config.json", "processor_config.json"
"""Files with the settings; transformers 5 writes the second for models of images and texts."""

_FILTERS: tuple[Interpolation, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters by their numbers."""


class ImageProcessor(NamedTuple):
    """Size (height, width) in pixels, preprocessing, and how an image of another shape is resized."""

    size: tuple[int, int]
    preprocessing: Preprocessing
    resize: Resize
    rule: ResizeRule


class _Kind(NamedTuple):
    """A class of image processors: the meaning of a size that is one number, and defaults of settings."""

    models: tuple[str, ...]
    one_number: Literal["square", "shortest"] = "square"
    crops: bool = False
    filter: int = 3
    enlarges: Literal["", "crop_pct", "levit", "convnext"] = ""


_KINDS = {
    "ViT": _Kind(("vit", "swin", "swinv2", "vit_mae", "vit_msn", "dinat", "ijepa", "swiftformer"), filter=2),
    "DeiT": _Kind(("deit",), crops=True),
    "Beit": _Kind(("beit", "data2vec-vision")),
    "Blip": _Kind(("blip", "blip-2")),
    "Siglip": _Kind(("siglip",)),
    "Pvt": _Kind(("pvt", "pvt_v2")),
    "Segformer": _Kind(("segformer",), filter=2),
    "DINOv3ViT": _Kind(("dinov3_vit",), filter=2),
    "EfficientNet": _Kind(("efficientnet", "align")),
    "CLIP": _Kind(("clip", "altclip", "metaclip_2", "mlcd", "groupvit", "git", "aimv2"), "shortest", crops=True),
    "ChineseCLIP": _Kind(("chinese_clip",), "shortest", crops=True),
    "Bit": _Kind(
        ("bit", "dinov2", "dinov2_with_registers", "focalnet", "hiera", "pixio"), "shortest", crops=True
    ),
    "MobileNetV1": _Kind(("mobilenet_v1",), "shortest", crops=True, filter=2),
    "MobileNetV2": _Kind(("mobilenet_v2",), "shortest", crops=True, filter=2),
    "MobileViT": _Kind(("mobilevit", "mobilevitv2"), "shortest", crops=True),
    "Levit": _Kind(("levit",), "shortest", crops=True, enlarges="levit"),
    "PoolFormer": _Kind(("poolformer",), "shortest", crops=True, enlarges="crop_pct"),
    "ConvNext": _Kind(("convnext", "convnextv2", "cvt", "regnet", "resnet"), "shortest", enlarges="convnext"),
}  # fmt: skip
_LARGE = 384  # pixels, from which ConvNext's processor stretches images and crops nothing
_MUST_BE_OFF = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_color_quantize", "do_image_splitting")


def read(folder: Path, source: str) -> ImageProcessor:
    """Read the image processor from a model's folder.

    Raises:
        InputError: the file is missing, incomplete, or of a processor that headstart cannot follow exactly.
    """
    path, settings = _read_settings(folder, source)
    name, kind = _find_kind(path, settings)
    wrong = [flag for flag in _MUST_BE_OFF if settings.get(flag)] + ["do_resize"] * (settings.get("do_resize") is False)
    if wrong:
        raise InputError(f"{path} has {wrong[0]} = {settings[wrong[0]]}, which headstart cannot follow.")
    number = settings.get("resample", kind.filter)
    if number not in range(len(_FILTERS)):
        raise InputError(f"{path} has resample = {number!r}: expected a number from 0 to {len(_FILTERS) - 1}.")
    crops = bool(settings.get("do_center_crop", kind.crops))
    resized, crop = _sizes(path, settings, kind, crops)
    resize, size, kept_fraction = _geometry(path, resized, crop)
    rule = ResizeRule(kept_fraction=kept_fraction, edges="resized", interpolation=_FILTERS[number], fast=False)
    return ImageProcessor(size, _preprocessing(path, settings, name), resize, rule)


def is_there(folder: Path) -> bool:
    """Whether a model's folder has the settings of an image processor."""
    if (folder / _FILE).is_file():
        return True
    return bool(read_json(folder / _FILE_5).get("image_processor"))


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of settings; empty where the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _read_settings(folder: Path, source: str) -> tuple[Path, dict[str, Any]]:
    """The file and its settings; ``null`` means the default, as in transformers."""
    for path, settings in (
        (folder / _FILE, read_json(folder / _FILE)),
        (folder / _FILE_5, read_json(folder / _FILE_5).get("image_processor")),
    ):
        if settings:
            return path, {name: value for name, value in settings.items() if value is not None}
    raise InputError(
        f"{source} does not state its image preprocessing: expected {_FILE} (or {_FILE_5} with image_processor) beside "
        "its config.json. Copy that file from the model's repository."
    )


def _find_kind(path: Path, settings: Mapping[str, Any]) -> tuple[str, _Kind]:
    name = settings.get("image_processor_type", settings.get("feature_extractor_type"))
    if name is None:  # older files do not name the class; transformers takes the one of the model
        model = read_json(path.with_name("config.json")).get("model_type")
        name = next((name for name, kind in _KINDS.items() if model in kind.models), f"of {model}")
    name = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", name)
    if name not in _KINDS:
        raise InputError(
            f"{path} is for the image processor {name!r}, which headstart does not know: expected one of "
            f"{', '.join(_KINDS)}."
        )
    return name, _KINDS[name]


_Resized = tuple[int, int] | int
"""The size after the resize, before the crop: (height, width), or the pixels of the shorter side."""


def _sizes(
    path: Path, settings: Mapping[str, Any], kind: _Kind, crops: bool
) -> tuple[_Resized, tuple[int, int] | None]:
    """The size after the resize, and that of the crop after it (None without a crop)."""
    resized = _size(path, settings, "size", kind.one_number)
    crop = _size(path, settings, "crop_size", "square") if crops else None
    edge = resized if isinstance(resized, int) else None
    percent = float(settings.get("crop_pct", 0.9 if kind.enlarges == "crop_pct" else 0.875))
    if kind.enlarges == "convnext":
        if edge is None:
            raise InputError(f"{path} has size = {settings['size']}: expected the shortest edge.")
        return ((edge, edge), None) if edge >= _LARGE else (int(edge / percent), (edge, edge))
    if kind.enlarges == "levit" and edge:
        resized = int(256 / 224 * edge)
    elif kind.enlarges == "crop_pct":
        edge = min(resized) if isinstance(resized, tuple) else resized
        resized = int(edge / percent)
    return resized, crop if crop is None or isinstance(crop, tuple) else (crop, crop)


def _size(path: Path, settings: Mapping[str, Any], name: str, one_number: str) -> _Resized:
    value = settings.get(name)
    if isinstance(value, int):
        return value if one_number == "shortest" else (value, value)
    if isinstance(value, list) and len(value) == 2:
        return int(value[0]), int(value[1])
    value = {key: side for key, side in value.items() if side} if isinstance(value, dict) else {}
    if value.keys() >= {"height", "width"}:
        return int(value["height"]), int(value["width"])
    if value.keys() == {"shortest_edge"}:
        return int(value["shortest_edge"])
    raise InputError(f"{path} has {name} = {settings.get(name)}: expected height and width, or the shortest edge.")


def _geometry(path: Path, resized: _Resized, crop: tuple[int, int] | None) -> tuple[Resize, tuple[int, int], float]:
    """How an image is resized, its final size, and the part of it that is kept."""
    if crop is None:
        if isinstance(resized, int):
            raise InputError(
                f"{path} resizes the shorter side only (to {resized} pixels), and crops nothing: expected one size "
                "for all images. Set do_center_crop and crop_size in it, or size with height and width."
            )
        return "stretch", resized, 1.0
    height, width = crop
    sides = (resized, resized) if isinstance(resized, int) else resized
    kept_fraction = height / sides[0]
    if kept_fraction > 1 or abs(width / sides[1] - kept_fraction) > 1e-6:
        raise InputError(
            f"{path} cuts {height}x{width} pixels out of {sides[0]}x{sides[1]}: expected a part of the same shape."
        )
    return "crop" if isinstance(resized, int) else "stretch", crop, kept_fraction


def _preprocessing(path: Path, settings: Mapping[str, Any], name: str) -> Preprocessing:
    rescales = settings.get("do_rescale", True)
    factor = float(settings.get("rescale_factor", 1 / 255)) if rescales else 1.0
    shift = -1.0 if name == "EfficientNet" and rescales and settings.get("rescale_offset") else 0.0
    scale, offset = np.full(3, factor), np.full(3, shift)
    steps = []
    if settings.get("do_normalize", True) and name != "MobileViT":  # that one never does
        steps.append((_channels(path, settings, "image_mean"), _channels(path, settings, "image_std")))
    if name == "EfficientNet" and settings.get("include_top", True):
        steps.append((np.zeros(3), _channels(path, settings, "image_std")))
    for mean, std in steps:
        scale, offset = scale / std, (offset - mean) / std
    swaps = bool(settings.get("do_flip_channel_order", name == "MobileViT"))
    return Preprocessing("the model's own", tuple(scale.tolist()), tuple(offset.tolist()), bgr=swaps)


def _channels(path: Path, settings: Mapping[str, Any], name: str) -> np.ndarray:
    """A value for each channel, (3,)."""
    value = settings.get(name)
    if value is None or np.shape(value) not in ((), (3,)):
        raise InputError(f"{path} has {name} = {value}: expected a number for each of three channels.")
    return np.broadcast_to(np.asarray(value, float), 3)
