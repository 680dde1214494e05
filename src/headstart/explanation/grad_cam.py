"""Grad-CAM in closed form: which places of the last feature map speak for a class, without gradients of the base.

Grad-CAM weighs the channels of a feature map by the mean gradient of the class's score. Pooling hands a gradient on
evenly, and behind it there is nothing but the head: so the weights are the gradient of the score by the pooled
features. For a linear head that is the class's kernel, and the heat map that of CAM; for hidden layers with ReLU it is
a product of matrices. Where a base goes on after pooling, as ConvNeXt does with a normalisation, that little is
differentiated by differences.

Sources: Selvaraju et al., "Grad-CAM", arXiv 1610.02391; Zhou et al. (CAM), arXiv 1512.04150.
"""

import numpy as np

from headstart.explanation.activations import Activations, AfterPooling, Computed
from headstart.model_files.head_layers import HeadLayers

_STEP = 0.01  # of the differences, in standard deviations of the pooled values


def grad_cam(activations: Activations, computed: Computed, answers: np.ndarray) -> np.ndarray:
    """What each place of a feature map adds to the score of a class: Grad-CAM before its ReLU, and with a zero.

    The score is the class's logit; of classes that exclude each other, less the mean of all logits, as softmax looks
    at nothing but differences. CAM leaves out what the head adds to every picture, and with it what zero means. Here it
    is kept, spread evenly: the value of a place is the score, to first order, of a picture that looks everywhere as
    it does there. With mean pooling their mean is the score of the picture.

    Args:
        activations: the model, with a map.
        computed: what it computed of n pictures.
        answers: int (n,), number of the class to explain of each.

    Returns:
        float32 (n, h, w).

    Raises:
        ValueError: the model has no map.
    """
    if computed.maps is None or computed.pooled is None:
        raise ValueError("Grad-CAM needs a feature map")
    score, gradient = score_and_gradient(computed.features, activations.head, answers)
    if activations.after_pooling:
        pairs = zip(computed.pooled, gradient, strict=True)
        gradient = np.stack([_pulled_back(activations.after_pooling, point, one) for point, one in pairs])
    rest = score - (computed.pooled * gradient).sum(1)
    return np.einsum("nhwc,nc->nhw", computed.maps, gradient) + rest[:, np.newaxis, np.newaxis]


def score_and_gradient(features: np.ndarray, head: HeadLayers, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of classes, (n,), and their gradients by the features, (n, d)."""
    x, active = features, []
    for kernel, bias in head.layers[:-1]:
        x = np.maximum(x @ kernel + bias, 0)
        active.append(x > 0)
    kernel, bias = head.layers[-1]
    direction = np.eye(len(bias), dtype=np.float32)[answers]
    if head.activation == "softmax":
        direction -= np.float32(1 / len(bias))
    score = ((x @ kernel + bias) * direction).sum(1)
    gradient = direction @ kernel.T
    for (kernel, _), passed in zip(reversed(head.layers[:-1]), reversed(active), strict=True):
        gradient = (gradient * passed) @ kernel.T
    return score, gradient


def _pulled_back(function: AfterPooling, point: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The gradient by what goes into a function, from that by what comes out: by central differences."""
    steps = np.eye(len(point), dtype=np.float32) * np.float32(_STEP * max(float(point.std()), 1e-6))
    up, down = np.split(function(np.concatenate([point + steps, point - steps])) @ gradient, 2)
    return (up - down) / (2 * steps.diagonal())
