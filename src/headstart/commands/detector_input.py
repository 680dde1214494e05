"""The size of a detector's input, and how images are resized to it."""

import logging
import math
from dataclasses import replace

import numpy as np

from headstart.config import InputConfig
from headstart.data.dataset import Dataset
from headstart.errors import counted
from headstart.tasks.detection.boxes import Boxes, areas
from headstart.training.detection.network import POINT_STRIDES

logger = logging.getLogger(__name__)

_PIXELS = 288 * 384  # of the input, unless set; the size on which the prototype was measured
_SIDE_STEP = 32  # pixels: the coarsest stride
_SIDES = (160, 640)
_ASPECT_TOLERANCE = 1.15  # images of other shapes than this factor from the median are padded, not stretched
_STRETCHED_SHARE = 0.9  # of the images within the tolerance
_TINY_SHARE = 0.5  # of the objects: with more of them, the input is too small for the data


def with_detector_input(config: InputConfig, dataset: Dataset) -> InputConfig:
    """The settings of the input, with a size and a way to resize that suit the images, where none is set.

    The input has the shape of the median image and about 110,000 pixels. Images are stretched to it if nearly all have
    about this shape, else padded.
    """
    sizes = np.array([boxes.size for boxes in dataset.labels if all(boxes.size)], float)  # of images that can be read
    if not len(sizes):  # which the audit reports
        return config
    aspects = sizes[:, 1] / sizes[:, 0]
    aspect = float(np.median(aspects))
    size = config.input_size or _size_of(aspect)
    shape = size[1] / size[0]
    factor = np.maximum(aspects / shape, shape / aspects)
    stretch = np.mean(factor <= _ASPECT_TOLERANCE) >= _STRETCHED_SHARE
    resize = config.resize or ("stretch" if stretch else "pad")
    _warn_of_tiny_objects(dataset, size, resize)
    return replace(config, input_size=size, resize=resize)


def _warn_of_tiny_objects(dataset: Dataset, size: tuple[int, int], resize: str) -> None:
    """Say if most objects are smaller than the distance between two points at which a detector predicts."""
    sides = [_sides_at_input(boxes, size, resize) for boxes in dataset.labels if all(boxes.size)]
    all_sides = np.concatenate([*sides, np.empty(0)])
    n_tiny = int(np.sum(all_sides < POINT_STRIDES[0]))
    if n_tiny <= _TINY_SHARE * len(all_sides):
        return
    factor = POINT_STRIDES[0] / float(np.median(all_sides))
    h, w = (math.ceil(side * factor / _SIDE_STEP) * _SIDE_STEP for side in size)
    logger.warning(
        f"{n_tiny:,} of {counted(len(all_sides), 'object')} are smaller than {POINT_STRIDES[0]} pixels when the image "
        f"becomes {size[0]}x{size[1]}, and a detector finds few of such objects. In an input of {h}x{w}, half of the "
        "objects would reach that size; training time grows with the number of pixels. Or cut the images into tiles."
    )


def _sides_at_input(boxes: Boxes, size: tuple[int, int], resize: str) -> np.ndarray:
    """The side of a square as large as each object that has an area, in pixels of the input: float64 (k,)."""
    factors = np.array(size) / boxes.size
    if resize != "stretch":
        factors = np.full(2, factors.max() if resize == "crop" else factors.min())
    object_areas = areas(boxes.coordinates[~boxes.ignored])
    return np.sqrt(object_areas[object_areas > 0] * factors.prod())


def _size_of(aspect: float) -> tuple[int, int]:
    """(height, width) for a ratio of width to height."""
    height = (_PIXELS / aspect) ** 0.5
    sides = np.clip(np.rint(np.array([height, height * aspect]) / _SIDE_STEP) * _SIDE_STEP, *_SIDES)
    return int(sides[0]), int(sides[1])
