"""Functional and sequential models of Keras 2, rebuilt as functional models of Keras 3."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from headstart.bases.keras2.known import NODE_LAYER, OPERATION_LAYERS, operation_symbol
from headstart.bases.keras2.layers import ADVICE, WRAPPERS, build_layer, keras3_name
from headstart.bases.keras2.nodes import node_call
from headstart.bases.keras2.operations import (
    SEVERAL_OUTPUTS,
    UnsupportedError,
    apply_operation,
    is_tensor,
)
from headstart.bases.keras2.recurrent import CUDNN_GATES
from headstart.bases.keras2.values import decode, input_dtype
from headstart.bases.model_config import MODELS, ModelFile, layer_name, layers_of, stated_shape
from headstart.errors import InputError, one_line
from headstart.system import keras_compat

_CONSTANT = "_CONSTANT_VALUE"


@dataclass
class Part:
    """A layer of a model as the file describes it, beside the layer of Keras 3.

    Attributes:
        name: in the file.
        kind: its class in Keras 2.
        trainable: its own flag.
        layer: of Keras 3; None for an input or an operation, which have no weights.
        parts: of a model, its layers; of a wrapper, the wrapped ones by the names of their attributes.
        cudnn_gates: number of gates, if its weights are in cuDNN's layout; else 0.
    """

    name: str
    kind: str
    trainable: bool = True
    layer: Any = None
    parts: dict[str, "Part"] = field(default_factory=dict)
    cudnn_gates: int = 0

    @property
    def is_model(self) -> bool:
        """Whether it is a model."""
        return self.kind in MODELS


class Builder:
    """Builds a model from the config in a file.

    Args:
        file: the model file.
    """

    def __init__(self, file: ModelFile) -> None:
        self._file = file

    def build(self) -> Part:
        """The whole model.

        Raises:
            InputError: a layer or operation cannot be built.
        """
        return self._model(self._file.config)

    def where(self, config: dict[str, Any]) -> str:
        """The file and a layer of it, to begin a message with."""
        return f"{self._file}: the layer {layer_name(config)!r}"

    def damaged(self, reason: str) -> InputError:
        """The error for a config that contradicts itself."""
        return InputError(f"{self._file.path} is damaged: {reason}.")

    def _model(self, config: dict[str, Any], shape: Iterable[int | None] | None = None) -> Part:
        """A model; ``shape`` is that of its input, for a Sequential that does not state it."""
        inner = config.get("config")
        trainable = inner.get("trainable", True) if isinstance(inner, dict) else True
        part = Part(layer_name(config), config["class_name"], bool(trainable))
        if config["class_name"] == "Sequential":
            self._sequential(config, part, shape)
        else:
            _Graph(self, inner or {}, part).build()
        return part

    def _sequential(self, config: dict[str, Any], part: Part, shape: Iterable[int | None] | None) -> None:
        import keras

        layers = layers_of(config)
        shape = stated_shape(config) or shape
        if shape is None:
            raise InputError(
                f"{self._file}: the Sequential {part.name!r} does not state the shape of its input. {ADVICE}"
            )
        inputs = x = keras.Input(tuple(shape)[1:], dtype=_input_dtype(layers[0] if layers else {}))
        for number, layer in enumerate(layers):
            child, call = self.layer(layer)
            part.parts[child.name or f"layer {number}"] = child  # up to Keras 2.2.2, a Sequential inside has no name
            if child.kind != "InputLayer":
                x = call(x)
        part.layer = keras.Model(inputs, x, name=keras3_name({"name": part.name}))

    def layer(self, config: dict[str, Any]) -> tuple[Part, Callable[..., Any]]:
        """A layer, and the function that applies it to tensors."""
        kind, inner = config["class_name"], config.get("config") or {}
        part = Part(layer_name(config), kind, bool(inner.get("trainable", True)) if isinstance(inner, dict) else True)
        if kind == "InputLayer" or kind in OPERATION_LAYERS:
            return part, _not_called
        if kind in MODELS:
            if kind == "Sequential" and stated_shape(config) is None:
                return self._when_called(config, part)
            part = self._model(config)
            return part, part.layer
        if kind in WRAPPERS:
            return self._wrapper(config, part)
        built = build_layer(kind, inner, self.where(config))
        part.layer, part.cudnn_gates = built.layer, CUDNN_GATES.get(kind, 0)
        return part, built

    def _when_called(self, config: dict[str, Any], part: Part) -> tuple[Part, Callable[..., Any]]:
        """A Sequential that takes the shape of its first input."""

        def call(x: Any, **arguments: Any) -> Any:
            if part.layer is None:
                built = self._model(config, x.shape)
                part.layer, part.parts = built.layer, built.parts
            return part.layer(x, **arguments)

        return part, call

    def _wrapper(self, config: dict[str, Any], part: Part) -> tuple[Part, Callable[..., Any]]:
        import keras

        inner = config["config"]
        child, call = self.layer(inner["layer"])
        if call is not child.layer and getattr(call, "after", None):
            raise InputError(
                f"{self.where(config)} contains a layer with an activation that Keras 3 does not have. {ADVICE}"
            )
        if part.kind == "TimeDistributed":
            part.layer = keras.layers.TimeDistributed(child.layer, name=keras3_name(inner))
            part.parts = {"layer": child}
            return part, part.layer
        backward_config = inner.get("backward_layer") or _opposite(inner["layer"])
        backward = self.layer(backward_config)[0] if backward_config else None
        part.layer = keras.layers.Bidirectional(
            child.layer,
            merge_mode=inner.get("merge_mode", "concat"),
            backward_layer=backward.layer if backward else None,
            name=keras3_name(inner),
        )
        part.cudnn_gates = child.cudnn_gates
        return part, part.layer


def _opposite(layer: dict[str, Any]) -> dict[str, Any] | None:
    """The backward layer for a forward layer that goes backwards itself: Keras 3 gives both the same direction."""
    config = layer.get("config") or {}
    if not config.get("go_backwards"):
        return None
    return {**layer, "config": {**config, "name": f"backward_{config.get('name')}", "go_backwards": False}}


class _NotComputedError(Exception):
    """A layer needs a tensor that does not exist yet."""


class _Graph:
    """Builds one functional model.

    Args:
        builder: builds its layers.
        config: of the model.
        part: is filled with the layers.
    """

    def __init__(self, builder: Builder, config: dict[str, Any], part: Part) -> None:
        self._builder, self._config, self._part = builder, config, part
        self._outputs: dict[tuple[str, int], list[Any]] = {}
        self._calls: dict[str, Callable[..., Any]] = {}
        self._operations: set[int] = set()

    def build(self) -> None:
        """Apply every layer as often as the config says, and make the model."""
        import keras

        layers = self._config.get("layers") or []
        first_calls = _first_calls(self._config)
        waiting: list[tuple[dict[str, Any], int, Any]] = []
        for layer in layers:
            self._add(layer)
            first = first_calls.get(layer_name(layer), 0)
            waiting += [(layer, first + i, node) for i, node in enumerate(layer.get("inbound_nodes") or [])]
        while waiting:
            remaining = [entry for entry in waiting if not self._apply(*entry)]
            if len(remaining) == len(waiting):
                names = sorted({layer_name(layer) for layer, _, _ in remaining})
                raise self._builder.damaged(f"the inputs of {', '.join(names)} do not exist")
            waiting = remaining
        inputs, outputs = (_single(self._value(self._config.get(name))) for name in ("input_layers", "output_layers"))
        self._part.layer = keras.Model(inputs, outputs, name=keras3_name({"name": self._part.name}))

    def _add(self, layer: dict[str, Any]) -> None:
        child, call = self._builder.layer(layer)
        self._part.parts[child.name], self._calls[child.name] = child, call
        if child.kind == "InputLayer":
            self._outputs[child.name, 0] = [_input(layer)]

    def _apply(self, layer: dict[str, Any], number: int, node: Any) -> bool:
        """Apply a layer for the ``number``-th time; False if a tensor that it needs does not exist yet."""
        name, is_operation = layer_name(layer), layer["class_name"] in OPERATION_LAYERS
        try:
            inputs, arguments = self._value(node), self._value(_arguments(node))
        except _NotComputedError:
            return False
        if is_operation:
            self._outputs[name, number] = self._compute(layer, inputs, arguments)
        else:
            set_arguments = {key: value for key, value in arguments.items() if value is not None}
            self._outputs[name, number] = _flat(self._calls[name](_single(inputs), **set_arguments))
        return True

    def _compute(self, layer: dict[str, Any], first: Any, arguments: dict[str, Any]) -> list[Any]:
        """The outputs of an operation of TensorFlow."""
        import keras

        symbol, inputs = operation_symbol(layer), [first]
        try:
            if layer["class_name"] == NODE_LAYER:
                inputs, arguments = node_call(layer["config"], first if isinstance(first, list) else [first])
            result = apply_operation(keras, symbol, inputs, arguments)
        except (UnsupportedError, ValueError) as exc:
            raise InputError(
                f"{self._builder.where(layer)}, TensorFlow's operation tf.{symbol}, has no counterpart in Keras 3: "
                f"{one_line(str(exc))}. {ADVICE}"
            ) from exc
        outputs = _flat(result) if symbol in SEVERAL_OUTPUTS or _has_tensor(result) else [result]
        self._name_operations(layer_name(layer), outputs)
        return outputs

    def _name_operations(self, name: str, outputs: list[Any]) -> None:
        """Name new operations by the file's name for them, which is unique: Keras's own may equal that of a layer."""
        nodes = [keras_compat.node_of(tensor) for tensor in outputs if is_tensor(tensor)]
        count = 0
        while nodes:
            node = nodes.pop()
            if id(node.operation) in self._operations or hasattr(node.operation, "weights"):
                continue
            self._operations.add(id(node.operation))
            node.operation.name = keras3_name({"name": f"{name}_part_{count}" if count else name})
            count += 1
            nodes += [keras_compat.node_of(tensor) for tensor in node.input_tensors]

    def _value(self, data: Any) -> Any:
        """The value that a part of the config stands for, with tensors in place of references."""
        if _is_reference(data):
            if data[0] == _CONSTANT:
                return decode(data[2])
            outputs = self._outputs.get((data[0], data[1]))
            if outputs is None or data[2] >= len(outputs):
                raise _NotComputedError
            return outputs[data[2]]
        if isinstance(data, list):
            return [self._value(item) for item in data]
        if isinstance(data, dict) and "class_name" not in data and set(data) != {"start", "stop", "step"}:
            return {name: self._value(item) for name, item in data.items()}
        return decode(data)


def _is_reference(data: Any) -> bool:
    """Whether a list stands for a tensor: layer, number of its call, number of the output, and maybe arguments."""
    return (
        isinstance(data, list)
        and len(data) in (3, 4)
        and isinstance(data[0], str)
        and all(isinstance(number, int) for number in data[1:2])
        and (data[0] == _CONSTANT or isinstance(data[2], int))
    )


def _references(data: Any) -> Iterator[list[Any]]:
    if _is_reference(data):
        yield data
        data = data[3:]
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _references(item)


def _first_calls(config: dict[str, Any]) -> dict[str, int]:
    """Layer -> the number of its first call in this model: a nested model was called before, when it was made."""
    nodes = [layer.get("inbound_nodes") for layer in config.get("layers") or []]
    first: dict[str, int] = {}
    for name, number, *_ in _references([nodes, config.get("output_layers")]):
        first[name] = min(number, first.get(name, number))
    return first


def _arguments(node: Any) -> dict[str, Any]:
    """The arguments of a call other than the first, which are written beside each tensor of the first."""
    reference = next(_references(node), [])
    return reference[3] if len(reference) > 3 else {}


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _flat(outputs: Any) -> list[Any]:
    """The tensors in a structure, in TensorFlow's order: dicts by their sorted keys."""
    if isinstance(outputs, dict):
        outputs = [outputs[key] for key in sorted(outputs)]
    return [item for part in outputs for item in _flat(part)] if isinstance(outputs, (list, tuple)) else [outputs]


def _has_tensor(value: Any) -> bool:
    return any(is_tensor(item) for item in _flat(value))


def _input(layer: dict[str, Any]) -> Any:
    import keras

    inner = layer.get("config") or {}
    shape = inner.get("batch_input_shape") or inner.get("batch_shape") or [None]
    return keras.Input(tuple(shape)[1:], dtype=_input_dtype(layer), name=keras3_name(inner))


def _input_dtype(layer: dict[str, Any]) -> str:
    inner = layer.get("config") or {}
    return input_dtype(inner.get("dtype") if layer.get("class_name") == "InputLayer" else None)


def _not_called(*_: Any, **__: Any) -> None:
    """Stands for a part that is no layer in Keras 3."""
