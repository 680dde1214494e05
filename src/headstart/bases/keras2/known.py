"""Which layers and operations of Keras 2 can be built, and which of them scale pixels; found without Keras."""

from collections.abc import Iterator
from typing import Any

from headstart.bases.keras2.layers import ADVICE, CLASSES, WRAPPERS
from headstart.bases.keras2.nodes import node_name, node_symbol
from headstart.bases.keras2.operations import ARITHMETIC, find_operation
from headstart.bases.model_config import MODELS, ModelFile, layer_name, layers_of
from headstart.errors import InputError

NODE_LAYER = "TensorFlowOpLayer"
OPERATION_LAYERS = ("TFOpLambda", "SlicingOpLambda", NODE_LAYER)
"""Classes of layers that stand for an operation of TensorFlow."""


def is_arithmetic(layer: dict[str, Any]) -> bool:
    """Whether a layer is an operation that can scale pixels, such as ``x / 127.5``."""
    return layer.get("class_name") in OPERATION_LAYERS and operation_symbol(layer).rpartition(".")[2] in ARITHMETIC


def operation_symbol(layer: dict[str, Any]) -> str:
    """The name in TensorFlow's API of the operation that a layer stands for; that of its graphs if it is not known."""
    config = layer.get("config") or {}
    if layer.get("class_name") == NODE_LAYER:
        return node_symbol(config) or f"raw_ops.{node_name(config)}"
    return str(config.get("function", ""))


def refuse_unknown_layers(file: ModelFile) -> None:
    """Check without Keras that every layer and operation is known.

    Raises:
        InputError: one is not.
    """
    for layer in _every_layer(file.config):
        kind, where = layer.get("class_name"), f"{file}: the layer {layer_name(layer)!r}"
        if kind in OPERATION_LAYERS:
            if find_operation(operation_symbol(layer)) is None:
                raise InputError(
                    f"{where} is TensorFlow's operation tf.{operation_symbol(layer)}, which headstart cannot build. "
                    + ADVICE
                )
        elif kind not in CLASSES and kind not in WRAPPERS and kind not in MODELS and kind != "InputLayer":
            raise InputError(f"{where} is of the class {kind!r}, which headstart cannot build. {ADVICE}")


def _every_layer(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The model and its layers at any depth, also those inside wrappers."""
    yield model
    inner = model.get("config")
    wrapped = [inner.get(name) for name in ("layer", "backward_layer")] if isinstance(inner, dict) else []
    for layer in [*layers_of(model), *wrapped]:
        if isinstance(layer, dict):
            yield from _every_layer(layer)
