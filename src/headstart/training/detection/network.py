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

from headstart.bases.maps import FINEST_POINTS

BINS = 12
"""Values of a distance to a side of a box: 0 to 11 strides."""

_PRIOR = 0.01  # share of the points that show an object, before training


_WIDTH = 96  # channels of neck and head
_KERNEL = 5  # of depthwise convolutions


def detection_layers(maps: Sequence[Any], strides: Sequence[int], n_classes: int) -> tuple[Any, Any]:
    """Neck and head.

    Args:
        maps: symbolic tensors (n, h, w, c), the finest first, each half the size of the one before.
        strides: of these; a map finer than :data:`FINEST_POINTS` only adds detail to the next one.
        n_classes: number of classes.

    Returns:
        Logits of classes (n, points, classes), and of distances (n, points, 4, BINS).
    """
    from keras import layers

    levels = list(maps)
    if strides[0] < FINEST_POINTS and len(levels) > 1:
        finest, *levels = levels
        levels[0] = layers.Concatenate(name="detail")([_space_to_depth(finest, levels[0].shape), levels[0]])
    laterals = [_conv(level, 1, f"lateral_{i}") for i, level in enumerate(levels)]
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
    outputs = [_branches(level, n_classes, i) for i, level in enumerate(up)]
    if len(outputs) == 1:
        return outputs[0]
    classes, distances = zip(*outputs, strict=True)
    join = layers.Concatenate
    return join(axis=1, name="class_logits")(list(classes)), join(axis=1, name="distance_logits")(list(distances))


def _space_to_depth(x: Any, coarse: Sequence[int]) -> Any:
    """A map of half its height and width (those of ``coarse``), with the values of 2 x 2 positions side by side."""
    from keras import layers

    h, w, c = x.shape[1:]
    half_h, half_w = coarse[1:3]
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
