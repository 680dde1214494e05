"""What crosses from the main process to the Keras process that trains a detector, as plain data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.resizing import Resize
from headstart.tasks.detection.boxes import Boxes


@dataclass(frozen=True)
class DetectorJob:
    """One training of a detector, as plain data.

    Attributes:
        spec: of the base with maps.
        resize: how images are resized to its input size.
        input_size: (height, width) in pixels.
        maps: ``block``, ``shape`` (h, w, c) and ``stride`` of each map, the finest first.
        xml: the frozen part as an engine runs it; None to run it with Keras.
        precision: of the engine.
        n_classes: number of classes.
        examples: training images, then validation images, as :meth:`~headstart.data.examples.Example.to_json` gives
            them.
        digests: content digest of each, hex.
        n_train: how many of them are for training.
        boxes: ``.npz`` with their objects, see :func:`write_boxes`.
        views: of each training image, the image as it is among them.
        flips: whether views may exchange left and right.
        epochs: number of epochs.
        batch_size: views in a step.
        learning_rate: highest learning rate.
        weight_decay: of AdamW.
        seed: of everything random.
        time_limit: in seconds; None for none.
        folder: for checkpoints and results; no other job uses it.
        views_folder: for the maps of views; no other job uses it at the same time.
    """

    spec: dict[str, Any]
    resize: Resize
    input_size: tuple[int, int]
    maps: list[dict[str, Any]]
    xml: str | None
    precision: str
    n_classes: int
    examples: list[dict[str, str]]
    digests: list[str]
    n_train: int
    boxes: str
    views: int
    flips: bool
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    time_limit: float | None
    folder: str
    views_folder: str


def job_from_json(values: dict[str, Any]) -> DetectorJob:
    """The job whose fields came as JSON."""
    height, width = values["input_size"]
    return DetectorJob(**{**values, "input_size": (height, width)})


def write_boxes(path: Path, objects: list[Boxes]) -> None:
    """Write the objects of some images."""
    np.savez(
        path,
        coordinates=np.concatenate([boxes.coordinates for boxes in objects] or [np.empty((0, 4))]),
        classes=np.concatenate([boxes.classes for boxes in objects] or [np.empty(0, np.int64)]),
        ignored=np.concatenate([boxes.ignored for boxes in objects] or [np.empty(0, bool)]),
        counts=[len(boxes) for boxes in objects],
        sizes=[boxes.size for boxes in objects],
    )


def read_boxes(path: Path) -> list[Boxes]:
    """The inverse of :func:`write_boxes`."""
    with np.load(path) as saved:
        ends = np.cumsum(saved["counts"])[:-1]
        parts = (np.split(saved[name], ends) for name in ("coordinates", "classes", "ignored"))
        sizes = [(int(h), int(w)) for h, w in saved["sizes"]]
        return [Boxes(a, b, c, size) for (a, b, c), size in zip(zip(*parts, strict=True), sizes, strict=True)]
