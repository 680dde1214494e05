"""Which layers and operations of Keras 2 can be built, and which of them scale pixels; found without Keras."""

from collections.abc import Iterator
from typing import Any

from headstart.bases.keras2.layers import ADVICE, CLASSES, WRAPPERS
from headstart.bases.keras2.operations import ARITHMETIC, find_operation
from headstart.bases.model_config import MODELS, ModelFile, layer_name, layers_of
from headstart.errors import InputError

OPERATION_LAYERS = ("TFOpLambda", "SlicingOpLambda")
"""Classes of layers that stand for an operation of TensorFlow."""


def is_arithmetic(layer: dict[str, Any]) -> bool:
    """Whether a layer is an operation that can scale pixels, such as ``x / 127.5``."""
    return layer.get("class_name") in OPERATION_LAYERS and _symbol(layer).rpartition(".")[2] in ARITHMETIC


def _symbol(layer: dict[str, Any]) -> str:
    return str((layer.get("config") or {}).get("function", ""))


def refuse_unknown_layers(file: ModelFile) -> None:
    """Check without Keras that every layer and operation is known.

    Raises:
        InputError: one is not.
    """
    for layer in _every_layer(file.config):
        kind, where = layer.get("class_name"), f"{file}: the layer {layer_name(layer)!r}"
        if kind in OPERATION_LAYERS:
            if find_operation(_symbol(layer)) is None:
                raise InputError(
                    f"{where} is TensorFlow's operation tf.{_symbol(layer)}, which headstart cannot build. " + ADVICE
                )
        elif kind not in CLASSES and kind not in WRAPPERS and kind not in MODELS and kind != "InputLayer":
            raise InputError(f"{where} is of the class {kind!r}, which is not part of Keras 3. {ADVICE}")


def _every_layer(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The model and its layers at any depth, also those inside wrappers."""
    yield model
    inner = model.get("config")
    wrapped = [inner.get(name) for name in ("layer", "backward_layer")] if isinstance(inner, dict) else []
    for layer in [*layers_of(model), *wrapped]:
        if isinstance(layer, dict):
            yield from _every_layer(layer)
