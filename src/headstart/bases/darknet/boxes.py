"""Boxes and scores from the detection layers of a Darknet model, before any choice among them.

Sources: Redmon & Farhadi, arXiv 1612.08242 (region) and 1804.02767 (yolo); Bochkovskiy et al., arXiv 2004.10934
(``scale_x_y``).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.bases.darknet.network import Layer, Network, n_anchors
from headstart.bases.darknet.sections import Section

Tensor = Any

_REFUSED = {"coords": 4, "background": 0, "softmax_tree": None, "map": None, "tree": None}


def boxes_and_scores(network: Network, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Decode the inputs of all detection layers.

    Args:
        network: of the cfg.
        maps: the input of each detection layer, (n, h, w, anchors * (5 + classes)), symbolic or not.

    Returns:
        boxes (n, points, 4): left, top, right and bottom as fractions of the network's image, and scores
        (n, points, classes): the probability of an object times that of the class. A point is an anchor at a position
        of a map; the points of the maps follow each other, each in the order of rows, columns and anchors.

    Raises:
        InputError: a detection layer has an option that is not known, or lists of another length.
    """
    import keras

    parts = [_decode(layer, network.size, x) for layer, x in zip(network.detections, maps, strict=True)]
    if len(parts) == 1:
        return parts[0]
    boxes, scores = (keras.ops.concatenate(values, axis=1) for values in zip(*parts, strict=True))
    return boxes, scores


def _decode(layer: Layer, size: tuple[int, int], x: Tensor) -> tuple[Tensor, Tensor]:
    from keras import ops

    section, (h, w, _) = layer.section, layer.shape
    _refuse_others(section)
    n = n_anchors(section)
    values = ops.reshape(x, (-1, h * w * n, 5 + section.integer("classes", 20)))
    is_raw = section.integer("new_coords", 0, high=1) == 1  # then the convolution before has the logistic function
    logistic = (lambda part: part) if is_raw else ops.sigmoid
    scale = section.number("scale_x_y", 1)
    centres = logistic(values[..., :2]) * scale - (scale - 1) / 2 + _positions(h, w, n)
    centres = centres / np.asarray([w, h], np.float32)
    sizes = (2 * values[..., 2:4]) ** 2 if is_raw else ops.exp(values[..., 2:4])
    sizes = sizes * _anchors(layer, size)
    boxes = ops.concatenate([centres - sizes / 2, centres + sizes / 2], axis=-1)
    use_softmax = section.kind == "region" and section.integer("softmax", 0, high=1) == 1
    classes = ops.softmax(values[..., 5:], axis=-1) if use_softmax else logistic(values[..., 5:])
    return boxes, logistic(values[..., 4:5]) * classes


def _refuse_others(section: Section) -> None:
    for name, neutral in _REFUSED.items():
        value = section.options.get(name)
        if value is not None and value != str(neutral):
            raise section.error(f"headstart does not know the option {name}={value}.")


def _positions(h: int, w: int, n: int) -> np.ndarray:
    """Column and row of every point, float32 (h * w * n, 2)."""
    rows, columns = np.mgrid[:h, :w]
    return np.repeat(np.stack([columns, rows], -1).reshape(-1, 2), n, 0).astype(np.float32)


def _anchors(layer: Layer, size: tuple[int, int]) -> np.ndarray:
    """Width and height of the anchor of every point, as fractions of the image, float32 (h * w * n, 2)."""
    section, (h, w, _) = layer.section, layer.shape
    in_cells = section.kind == "region"
    values = section.numbers("anchors")
    mask = section.integers("mask") or tuple(range(n_anchors(section)))
    if len(values) % 2 or not all(0 <= i < len(values) // 2 for i in mask):
        raise section.error(f"anchors={section.text('anchors', '')}: expected a pair of numbers for each anchor used.")
    unit = (w, h) if in_cells else size[::-1]
    pairs = np.asarray(values, np.float32).reshape(-1, 2)[list(mask)] / np.asarray(unit, np.float32)
    return np.tile(pairs, (h * w, 1))
