"""Grad-CAM in closed form: heat maps from the last feature map, without backpropagation through the base.

Grad-CAM weights the channels of a feature map by the mean gradient of the class score. Pooling distributes a gradient
evenly, and only the head follows it, so the weights are the gradient of the score with respect to the pooled features.
For a linear head that is the kernel of the class, and Grad-CAM equals CAM. For hidden layers with ReLU it is a product
of matrices. Where a base has further layers after the pooling (ConvNeXt normalises), their gradient is computed by
finite differences.

Features of all blocks come from several maps, and from the means of squared deviations in them. The evidence of each
map is computed by itself; all are added up on one grid.

Sources: Selvaraju et al., "Grad-CAM", arXiv 1610.02391; Zhou et al. (CAM), arXiv 1512.04150.
"""

import numpy as np

from headstart.data.images import Box
from headstart.explanation.activations import Activations, AfterPooling, Computed, PooledMap
from headstart.explanation.heat import interpolation
from headstart.model_files.head_layers import HeadLayers

GRID = 14
"""Rows and columns of the evidence of several maps together."""

_SMALLEST_DEVIATION = 1e-2  # as a divisor
_STEP = 0.01  # of the finite differences, in standard deviations of the pooled values


def grad_cam(activations: Activations, computed: Computed, class_numbers: np.ndarray) -> np.ndarray:
    """The evidence of each cell of a feature map for a class: Grad-CAM without its ReLU, and with the bias.

    The score is the logit of the class; for softmax, minus the mean of all logits, because softmax depends on
    differences only. CAM drops the bias of the head, and its values have no zero point. Here the bias is kept and
    spread evenly over the cells: the value of a cell is, to first order, the score of an image that looks everywhere
    like this cell. With mean pooling, the mean of the values is the score of the image.

    Args:
        activations: the model, with a feature map.
        computed: its activations for n images.
        class_numbers: int (n,), the class to explain for each image.

    Returns:
        float32 (n, h, w), over :attr:`Activations.cells`.

    Raises:
        ValueError: the model has no feature map.
    """
    if not activations.pooled_maps:
        raise ValueError("Grad-CAM needs a feature map")
    score, gradient = score_and_gradient(computed.features, activations.head, class_numbers)
    evidence, pooled_score = [], np.zeros_like(score)
    for part, values, pooled in zip(activations.pooled_maps, computed.maps, computed.pooled, strict=True):
        of_part = _gradient_of_pooled(part, computed.features, pooled, gradient)
        evidence.append(np.einsum("nhwc,nc->nhw", values, of_part))
        pooled_score += (pooled * of_part).sum(1)
    if len(evidence) == 1:
        return evidence[0] + (score - pooled_score)[:, np.newaxis, np.newaxis]
    total = sum(_on_grid(values, part.cells) for part, values in zip(activations.pooled_maps, evidence, strict=True))
    return (total + (score - np.mean(total, (1, 2)))[:, np.newaxis, np.newaxis]).astype(np.float32)


def _gradient_of_pooled(part: PooledMap, features: np.ndarray, pooled: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The gradient of the scores with respect to the pooled values of a map, (n, c), from that of all features."""
    gradient = gradient[:, part.columns]
    if part.is_variance:
        return gradient / (2 * np.maximum(features[:, part.columns], _SMALLEST_DEVIATION))
    if part.after_pooling is None:
        return gradient
    return np.stack([_backpropagate(part.after_pooling, *pair) for pair in zip(pooled, gradient, strict=True)])


def _on_grid(evidence: np.ndarray, cells: Box) -> np.ndarray:
    """Evidence (n, h, w) of cells with these bounds on a grid of :data:`GRID` x GRID cells over the whole input."""
    while min(evidence.shape[1:]) >= 2 * GRID:
        rows, columns = (size // 2 for size in evidence.shape[1:])
        evidence = evidence[:, : 2 * rows, : 2 * columns].reshape(-1, rows, 2, columns, 2).mean((2, 4))
    left, top, right, bottom = cells
    down = interpolation(evidence.shape[1], (0, GRID), (top, bottom), GRID)
    across = interpolation(evidence.shape[2], (0, GRID), (left, right), GRID)
    return np.einsum("gh,nhw,kw->ngk", down, evidence, across, optimize=True)


def score_and_gradient(
    features: np.ndarray, head: HeadLayers, class_numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Class scores (n,), and their gradients with respect to the features (n, d)."""
    x, active = features, []
    for kernel, bias in head.layers[:-1]:
        x = np.maximum(x @ kernel + bias, 0)
        active.append(x > 0)
    kernel, bias = head.layers[-1]
    direction = np.eye(len(bias), dtype=np.float32)[class_numbers]
    if head.activation == "softmax":
        direction -= np.float32(1 / len(bias))
    score = ((x @ kernel + bias) * direction).sum(1)
    gradient = direction @ kernel.T
    for (kernel, _), active_mask in zip(reversed(head.layers[:-1]), reversed(active), strict=True):
        gradient = (gradient * active_mask) @ kernel.T
    return score, gradient


def _backpropagate(function: AfterPooling, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Turn the gradient with respect to a function's output into that of its input, by central differences."""
    steps = np.eye(len(point), dtype=np.float32) * np.float32(_STEP * max(float(point.std()), 1e-6))
    up, down = np.split(function(np.concatenate([point + steps, point - steps])) @ gradient, 2)
    return (up - down) / (2 * steps.diagonal())
