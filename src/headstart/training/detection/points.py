"""The points at which a detector predicts, and those of them that may predict an object."""

from typing import NamedTuple

import numpy as np

from headstart.training.detection.network import POINT_STRIDES, grid_of

MAX_CANDIDATES = 80
"""Points at most that may predict one object."""

_RADIUS = 2.5  # strides from the centre of an object


class Points(NamedTuple):
    """The centres of all positions of all feature maps, the finest map first, row by row.

    Attributes:
        centres: float32 (p, 2): x, y in pixels of the model's input.
        strides: float32 (p,), in pixels.
    """

    centres: np.ndarray
    strides: np.ndarray


def detector_points(input_size: tuple[int, int]) -> Points:
    """The points of a detector.

    Args:
        input_size: (height, width) of the input, in pixels.
    """
    centres, sizes = [], []
    for stride in POINT_STRIDES:
        h, w = grid_of(input_size, stride)
        y, x = np.mgrid[:h, :w]
        centres.append((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride)
        sizes.append(np.full(h * w, stride))
    return Points(np.concatenate(centres).astype(np.float32), np.concatenate(sizes).astype(np.float32))


def candidates(boxes: np.ndarray, points: Points) -> np.ndarray:
    """The points that may predict each object: inside its box, and near its centre.

    An object so small that no point is inside has the nearest point of the finest map.

    Args:
        boxes: float (k, 4), in pixels of the model's input.
        points: of the detector.

    Returns:
        int32 (k, MAX_CANDIDATES): numbers of points, the nearest ones first; -1 where there are no more.
    """
    x, y = points.centres.T
    x1, y1, x2, y2 = (boxes[:, [i]] for i in range(4))
    distance = np.maximum(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) / points.strides
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2) & (distance <= _RADIUS)
    distance = np.where(inside, distance, np.inf)
    lonely = ~inside.any(1)
    if lonely.any():
        finest = points.strides == points.strides[0]
        centres = np.concatenate([x1 + x2, y1 + y2], axis=1)[lonely] / 2
        squared = ((centres[:, None] - points.centres[finest]) ** 2).sum(-1)
        distance[lonely, squared.argmin(1)] = 0
    order = np.argsort(distance, axis=1, kind="stable")[:, :MAX_CANDIDATES]
    numbers = np.where(np.take_along_axis(distance, order, axis=1) < np.inf, order, -1)
    return np.pad(numbers, [(0, 0), (0, MAX_CANDIDATES - numbers.shape[1])], constant_values=-1).astype(np.int32)
