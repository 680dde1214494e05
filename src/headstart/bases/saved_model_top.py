"""Recognise a whole classifier among SavedModels, and remove its top.

A module of features ends in pooling, or in a projection that is part of it; it is used as it is. A classifier has a
chain of dense layers at its end, and its output shows that it predicts classes.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.errors import InputError

logger = logging.getLogger(__name__)

CLASSIFIER_NAMES = (
    "logits", "predictions", "prediction", "probabilities", "probability", "probs", "scores", "classes",
    "class_probabilities", "softmax", "classification", "classifier",
)  # fmt: skip
"""Names of outputs and layers that classify."""

_IMAGENET_CLASSES = (1000, 1001, 21841, 21843)
_MIN_FEATURES = 16  # a dense layer without activation that gives fewer values gives classes
_ACTIVATIONS = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Tanh", "Softplus", "Softsign"}
_SOFTMAX = {"Softmax", "LogSoftmax"}
_NEUTRAL = {"Identity", "Reshape", "Squeeze", "Cast", "StopGradient"}
_BETWEEN = {*_ACTIVATIONS, *_SOFTMAX, *_NEUTRAL, "Sigmoid", "BiasAdd", "Add", "AddV2", "Sub", "Mul", "RealDiv"}
_POOLING = {"Mean", "AvgPool"}
_TEST_SIZE = 224  # of the images that are classified to see whether probabilities come out, if the module takes any


class _Chain(NamedTuple):
    """The operations at the end of a graph, from the output backwards.

    Attributes:
        below: the tensor that enters the first of its dense layers; None if it has none.
        kernels: names of its dense layers.
        end: operations after its last dense layer, in that order.
    """

    below: Any | None
    kernels: list[str]
    end: list[str]


def plain_name(name: str) -> str:
    """A name of TensorFlow in lower case, without the number that makes it unique."""
    return re.sub(r"[_\W]*\d*$", "", name.lower())


def features(frozen: Any, index: int, output_name: str, folder: Path, name: str) -> Any:
    """The tensor of a module's features: its output, or for a classifier the input of its dense layers.

    Args:
        frozen: the frozen function.
        index: of the output that is used.
        output_name: what the module calls it; empty if it has no name.
        folder: of the SavedModel.
        name: of the module, for messages.

    Raises:
        InputError: it is a classifier, and no dense layers were found at its end.
    """
    output = frozen.outputs[index]
    chain = _chain_of(output, pooled=False)
    reason = _reason(chain, output, output_name, folder)
    if not reason and _gives_probabilities(frozen, index):
        reason = "its outputs are positive and sum to 1"
    if not reason:
        return output
    if chain.below is None:
        chain = _chain_of(output, pooled=True)
    if chain.below is None:
        raise InputError(
            f"{name} is a whole classifier ({reason}), and no dense layers were found at its end: expected a module "
            "that computes features, for instance a feature vector. Save the part before its top as a module."
        )
    logger.info(f"{name} is a whole classifier ({reason}): its features are the input of its last dense layers")
    return chain.below


def _reason(chain: _Chain, output: Any, output_name: str, folder: Path) -> str:
    """What shows in its graph and files that a module is a classifier; empty if nothing does."""
    width = output.shape[-1]
    layers = {plain_name(part) for kernel in chain.kernels[:1] for part in kernel.split("/")}
    ends_in_kernel = chain.below is not None and _ACTIVATIONS.isdisjoint(chain.end)
    if not _SOFTMAX.isdisjoint(chain.end):
        return "it ends in softmax"
    if ends_in_kernel and "Sigmoid" in chain.end:
        return "it ends in a sigmoid"
    if ends_in_kernel and plain_name(output_name) in CLASSIFIER_NAMES:
        return f"its output is called {output_name}"
    if ends_in_kernel and not layers.isdisjoint(CLASSIFIER_NAMES):
        return f"its last layer is called {layers.intersection(CLASSIFIER_NAMES).pop()}"
    if ends_in_kernel and width in _label_counts(folder):
        return "it has as many labels"
    if ends_in_kernel and width is not None and (width < _MIN_FEATURES or width in _IMAGENET_CLASSES):
        return f"it ends in a dense layer of {width} values"
    return ""


def _label_counts(folder: Path) -> Iterator[int]:
    for path in folder.glob("assets*/*"):
        if re.search("label|class", path.name.lower()) and path.suffix in (".txt", ".csv", ""):
            yield len(path.read_bytes().splitlines())


def _gives_probabilities(frozen: Any, index: int) -> bool:
    import tensorflow as tf

    sizes = [size or _TEST_SIZE for size in frozen.inputs[0].shape[1:3]]
    pixels = np.random.default_rng(0).random((2, *sizes, 3), np.float32)
    try:
        values = frozen(tf.constant(pixels))[index].numpy()
    except tf.errors.OpError:  # it does not take images of this size
        return False
    return (
        values.ndim == 2
        and values.shape[-1] > 1
        and bool((values >= 0).all())
        and bool(np.allclose(values.sum(-1), 1, atol=1e-3))
    )


def _chain_of(output: Any, *, pooled: bool) -> _Chain:
    """The chain of dense layers at the end of a graph.

    Args:
        output: a symbolic tensor of a frozen graph.
        pooled: whether the chain may go on below a pooling, to a 1x1 convolution that gives a map of each class.
    """
    reached = _depending_on_input(output.graph)
    tensor, below, kernels, end, is_pooled = output, None, [], [], False
    while True:
        operation = tensor.op
        sources = [source for source in operation.inputs if source.op.name in reached]
        if operation.type in _NEUTRAL:
            sources = sources[:1]  # the shape of a Reshape may be computed from the same tensor
        if len(sources) != 1:
            break
        if _is_dense(operation, sources[0], is_pooled):
            below = sources[0]
            kernels.append(operation.name)
            is_pooled = False
        elif operation.type in _POOLING and pooled and below is None:
            is_pooled = True
        elif operation.type not in _BETWEEN:
            break
        elif below is None:
            end.append(operation.type)
        tensor = sources[0]
    return _Chain(_map_below(below, reached), kernels, end)


def _is_dense(operation: Any, source: Any, is_pooled: bool) -> bool:
    if operation.type == "MatMul":
        return True
    is_pixelwise = operation.type == "Conv2D" and operation.inputs[1].shape[:2] == (1, 1)
    return is_pixelwise and (is_pooled or tuple(source.shape[1:3]) == (1, 1))


def _map_below(tensor: Any | None, reached: set[str]) -> Any | None:
    """The feature map that is flattened below the top, which a base pools; None if there is nothing but the input."""
    while tensor is not None and tensor.op.type in _NEUTRAL and tensor.op.inputs:
        source = tensor.op.inputs[0]
        if source.shape.rank not in (2, 4):
            break
        tensor = source
    return None if tensor is None or tensor.op.type == "Placeholder" else tensor


def _depending_on_input(graph: Any) -> set[str]:
    """Names of the operations of a graph that depend on its input."""
    reached: set[str] = set()
    for operation in graph.get_operations():  # in an order in which they can be computed
        if operation.type == "Placeholder" or any(source.op.name in reached for source in operation.inputs):
            reached.add(operation.name)
    return reached
