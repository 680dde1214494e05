"""The source ``yolo:``: models of Darknet, as a ``.cfg`` with its ``.weights``, without their top.

A detector becomes a base for images: its backbone, which has seen boxes of many objects, up to the layer that all of
its detections have in common (:mod:`headstart.bases.darknet`).
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.bases.base import BaseSpec, ImageBase, Preprocessing, files_sha256
from headstart.bases.darknet.network import Layer, Network, read_network
from headstart.bases.darknet.weights import read_weights
from headstart.bases.handle import parse_handle
from headstart.data.resizing import Resize, ResizeRule
from headstart.errors import InputError, field_name
from headstart.system.progress import NO_PROGRESS, Progress

PREPROCESSING = Preprocessing("[0, 1]", 1 / 255)
LICENCE = "see the file's source (Darknet's own: public domain)"

_RULE = ResizeRule(kept_fraction=1.0, edges="resized", interpolation="bilinear", antialias=False)
_OF_THE_FORK = {"scale_x_y", "iou_loss", "iou_normalizer", "cls_normalizer", "nms_kind", "new_coords"}


def names() -> list[str]:
    """Names for ``yolo:``: an empty list, because every path is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> ImageBase:
    """Load a model of Darknet.

    Raises:
        InputError: no such files, a cfg that cannot be built, weights that are not those of the cfg, or a size that the
            model does not accept.
    """
    cfg, weights = _find_files(spec)
    network = read_network(cfg, spec.input_size)
    features = network.find(spec.feature_layer) if spec.feature_layer else network.feature_layer
    if weights:
        read_weights(weights, network)
    paths = [cfg, weights] if weights else [cfg]
    # For a folder, the bundle contains the folder too, so that the same handle works with the bundle.
    return ImageBase(
        spec=spec if spec.folder else replace(spec, handle=f"yolo:{cfg}", weights=_absolute(spec.weights)),
        input_size=network.size,
        preprocessing=PREPROCESSING,
        build=partial(_build, cfg, weights, network.size, features.name),
        weights_path=weights,
        weights_sha256=files_sha256(paths),
        files={path.name: path for path in paths},
        feature_dim=features.shape[2],
        licence=LICENCE,
        resize=resize_of(network),
        resize_rule=_RULE,
    )


def detection_model(base: ImageBase) -> Any:
    """The whole model of a detector, with its own classes.

    Args:
        base: as :func:`load` returns it.

    Returns:
        A Keras model from raw uint8 pixels (n, h, w, 3) to boxes (n, points, 4) and scores (n, points, classes), both
        float32; see :func:`headstart.bases.darknet.boxes.boxes_and_scores`.

    Raises:
        InputError: it is not a detector.
    """
    import keras

    from headstart.bases.darknet.boxes import boxes_and_scores
    from headstart.bases.darknet.build import build_network

    cfg, weights = _find_files(base.spec)
    network = read_network(cfg, base.input_size)
    _detections(base)
    maps_model = build_network(network, read_weights(weights, network) if weights else None, network.detections)
    inputs, x = base.input_tensors()
    maps = maps_model(x)
    return keras.Model(inputs, boxes_and_scores(network, maps if isinstance(maps, list) else [maps]), name="detector")


def count_classes(base: ImageBase) -> int:
    """Number of classes of a detector.

    Raises:
        InputError: it is not a detector.
    """
    return _detections(base)[0].section.integer("classes", 20)


def _detections(base: ImageBase) -> Sequence[Layer]:
    cfg, _ = _find_files(base.spec)
    detections = read_network(cfg, base.input_size).detections
    if not detections:
        raise InputError(f"{cfg} is not a detector: expected a [yolo] or [region] layer.")
    return detections


def resize_of(network: Network) -> Resize:
    """How Darknet resizes an image of another shape for this model.

    Classifiers get the centre of the image. Darknet adds grey bars for detectors, its fork that made YOLOv4 stretches
    the image, except with ``letter_box=1``; a cfg shows by its options which of the two it was written for.
    """
    if not network.detections:
        return "crop"
    of_the_fork = any(_OF_THE_FORK & layer.section.options.keys() for layer in network.detections)
    return "stretch" if of_the_fork and not network.net.integer("letter_box", 0) else "pad"


def _absolute(weights: str) -> str:
    return weights if weights in ("imagenet", "none") else os.path.abspath(Path(weights).expanduser())


def _find_files(spec: BaseSpec) -> tuple[Path, Path | None]:
    """The absolute paths of the cfg and of its weights; None for random weights."""
    path = Path(os.path.abspath(Path(parse_handle(spec.handle).name).expanduser()))
    if spec.folder:
        path = Path(spec.folder)
    in_folder = path.is_dir()
    cfg = _only(path, ".cfg", path.glob("*.cfg")) if in_folder else path
    if cfg.suffix != ".cfg":
        raise InputError(f"cannot use {cfg} as a base: expected a Darknet .cfg file, or a folder with one.")
    if spec.weights == "none":
        return cfg, None
    if spec.weights != "imagenet":
        return cfg, Path(_absolute(spec.weights))
    beside = cfg.with_suffix(".weights")
    if in_folder and not beside.is_file():
        return cfg, _only(path, ".weights", path.glob("*.weights"))
    if cfg.is_file() and not beside.is_file():
        raise InputError(
            f"no weights file at {beside}: put it there, beside its cfg, or set {field_name('weights')} to its path."
        )
    return cfg, beside


def _only(folder: Path, suffix: str, candidates: Iterable[Path]) -> Path:
    paths = sorted(candidates)
    if len(paths) != 1:
        name_list = ", ".join(path.name for path in paths[:5]) or "none"
        raise InputError(f"expected one {suffix} file in {folder}, found {name_list}. Name the .cfg file itself.")
    return paths[0]


def _build(cfg: Path, weights: Path | None, size: tuple[int, int], feature_layer: str, include_top: bool) -> Any:
    """Build the network up to its features, or a classifier up to its probabilities (n, classes)."""
    import keras

    from headstart.bases.darknet.build import build_network

    network = read_network(cfg, size)
    arrays = read_weights(weights, network) if weights else None
    if not include_top:
        return build_network(network, arrays, [network.find(feature_layer)])
    if network.detections:
        raise InputError(f"{cfg} is a detector: its top gives boxes, and no probabilities of an image's class.")
    model = build_network(network, arrays, network.layers[-1:])
    return keras.Model(model.inputs[0], keras.layers.Flatten(name="probabilities")(model.outputs[0]), name="darknet")
