"""The neck and the head of a detector, as Keras layers on feature maps.

The neck is a path aggregation network (Liu et al., arXiv 1803.01534) of depthwise separable convolutions. The head is
anchor-free and decoupled: at each point one branch gives a logit for each class, another one the distances to the four
sides of the box, each as a distribution over bins (Li et al., arXiv 2006.04388). Its size is about that of PicoDet's
(arXiv 2111.00902).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

POINT_STRIDES = (8, 16, 32)
"""Pixels from one point to the next at which a detector predicts, for small, medium and large objects."""

BINS = 12
"""Values of a distance to a side of a box: 0 to 11 strides."""

_PRIOR = 0.01  # share of the points that show an object, before training


_WIDTH = 96  # channels of neck and head
_KERNEL = 3  # of depthwise convolutions; 5 takes longer and finds no more, see benchmarks/RESULTS.md


def detection_layers(
    maps: Sequence[Any], strides: Sequence[int], input_size: tuple[int, int], n_classes: int
) -> tuple[Any, Any]:
    """Neck and head.

    Args:
        maps: symbolic tensors (n, h, w, c), the finest first.
        strides: of these. A map finer than :data:`POINT_STRIDES` adds detail to the next one; strides that are missing
            are made of the nearest ones, as in ViTDet (Li et al., arXiv 2203.16527).
        input_size: (height, width) of the input, in pixels.
        n_classes: number of classes.

    Returns:
        Logits of classes (n, points, classes), and of distances (n, points, 4, BINS).
    """
    from keras import layers

    levels = {
        stride: _resized(level, grid_of(input_size, stride), f"map_{stride}")
        for level, stride in zip(maps, strides, strict=True)
    }
    laterals = _laterals(levels, input_size)
    down = list(laterals)
    for i in reversed(range(len(down) - 1)):
        h, w = down[i].shape[1:3]
        larger = layers.UpSampling2D(2, name=f"up_{i}")(down[i + 1])
        excess_h, excess_w = larger.shape[1] - h, larger.shape[2] - w
        if excess_h or excess_w:
            larger = layers.Cropping2D(((0, excess_h), (0, excess_w)), name=f"crop_{i}")(larger)
        merged = layers.Add(name=f"top_down_{i}_sum")([down[i], larger])
        down[i] = _separable(merged, f"top_down_{i}")
    up = list(down)
    for i in range(1, len(up)):
        smaller = _separable(up[i - 1], f"down_{i}", strides=2)
        merged = layers.Add(name=f"bottom_up_{i}_sum")([down[i], smaller])
        up[i] = _separable(merged, f"bottom_up_{i}")
    classes, distances = zip(*(_branches(level, n_classes, i) for i, level in enumerate(up)), strict=True)
    join = layers.Concatenate
    return join(axis=1, name="class_logits")(list(classes)), join(axis=1, name="distance_logits")(list(distances))


def _laterals(levels: dict[int, Any], input_size: tuple[int, int]) -> list[Any]:
    """The maps at :data:`POINT_STRIDES` with the channels of the neck."""
    from keras import layers

    finest = min(levels)
    if finest < POINT_STRIDES[0]:
        coarse = grid_of(input_size, POINT_STRIDES[0])
        detail = _space_to_depth(levels.pop(finest), coarse)
        coarser = levels.get(POINT_STRIDES[0])
        levels[POINT_STRIDES[0]] = detail if coarser is None else layers.Concatenate(name="detail")([detail, coarser])
    laterals = []
    for i, stride in enumerate(POINT_STRIDES):
        source = min(levels, key=lambda other: (abs(math.log2(other / stride)), other))
        lateral = _conv(levels[source], 1, f"lateral_{i}")
        laterals.append(_resized(lateral, grid_of(input_size, stride), f"lateral_{i}_size"))
    return laterals


def grid_of(input_size: tuple[int, int], stride: int) -> tuple[int, int]:
    """(rows, columns) of the positions at a stride."""
    return math.ceil(input_size[0] / stride), math.ceil(input_size[1] / stride)


def _resized(x: Any, grid: tuple[int, int], name: str) -> Any:
    """A map with so many rows and columns, bilinear.

    Keras's ``Resizing`` is avoided: OpenVINO 2026.4 computes wrong values for some layers after it (see
    findings/openvino-layers-after-resizing.sh).
    """
    from keras import layers, ops

    h, w = x.shape[1:3]
    if (h, w) == grid:
        return x
    if (h, w) == (2 * grid[0], 2 * grid[1]):
        return layers.AveragePooling2D(2, name=name)(x)
    if (2 * h, 2 * w) == grid:
        return layers.UpSampling2D(2, interpolation="bilinear", name=name)(x)
    x = ops.einsum("nhwc,hi->niwc", x, _bilinear(h, grid[0]))
    return ops.einsum("nhwc,wj->nhjc", x, _bilinear(w, grid[1]))


def _bilinear(size: int, new_size: int) -> np.ndarray:
    """Weights of the positions of an axis for those of a new one: float32 (size, new_size)."""
    at = np.clip((np.arange(new_size) + 0.5) * size / new_size - 0.5, 0, size - 1)
    return np.maximum(0, 1 - abs(np.arange(size)[:, None] - at)).astype(np.float32)


def _space_to_depth(x: Any, coarse: tuple[int, int]) -> Any:
    """A map of half its height and width (those of ``coarse``), with the values of 2 x 2 positions side by side."""
    from keras import layers

    h, w, c = x.shape[1:]
    half_h, half_w = coarse
    if (h, w) != (2 * half_h, 2 * half_w):
        x = layers.ZeroPadding2D(((0, 2 * half_h - h), (0, 2 * half_w - w)), name="detail_padding")(x)
    x = layers.Reshape((half_h, 2, half_w, 2, c), name="detail_pairs")(x)
    x = layers.Permute((1, 3, 2, 4, 5), name="detail_order")(x)
    return layers.Reshape((half_h, half_w, 4 * c), name="detail_depth")(x)


def _branches(x: Any, n_classes: int, level: int) -> tuple[Any, Any]:
    from keras import initializers, layers

    points = math.prod(x.shape[1:3])
    classes = _separable(x, f"class_branch_{level}")
    distances = _separable(x, f"box_branch_{level}")
    bias = initializers.Constant(-math.log((1 - _PRIOR) / _PRIOR))
    small = initializers.RandomNormal(stddev=0.01, seed=level)
    logits = layers.Conv2D(n_classes, 1, kernel_initializer=small, bias_initializer=bias, name=f"classes_{level}")
    bins = layers.Conv2D(4 * BINS, 1, kernel_initializer=small, name=f"distances_{level}")
    return (
        layers.Reshape((points, n_classes), name=f"class_points_{level}")(logits(classes)),
        layers.Reshape((points, 4, BINS), name=f"distance_points_{level}")(bins(distances)),
    )


def _conv(x: Any, size: int, name: str) -> Any:
    from keras import layers

    x = layers.Conv2D(_WIDTH, size, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _separable(x: Any, name: str, strides: int = 1) -> Any:
    from keras import layers

    x = layers.DepthwiseConv2D(_KERNEL, strides, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
    return _conv(x, 1, name)


def boxes_of(distance_logits: Any, centres: np.ndarray, strides: np.ndarray) -> Any:
    """Boxes (n, points, 4) in pixels of the input, from logits of distances (n, points, 4, BINS)."""
    from keras import ops

    shares = ops.softmax(distance_logits, axis=-1)
    distances = ops.sum(shares * np.arange(BINS, dtype=np.float32), axis=-1) * strides[:, None]
    # Symbolic tensors come first: NumPy would take arrays for what computes with them.
    low, high = distances[..., :2] * -1.0 + centres, distances[..., 2:] + centres
    return ops.concatenate([low, high], axis=-1)
