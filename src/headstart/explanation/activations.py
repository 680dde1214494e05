"""Activations of a finished model: its features, and the feature map that they are pooled from.

Both are found in the graph of the model by a search backwards from the head, so no table of layer names is needed. On
OpenVINO they are additional outputs of the compiled graph; Keras is not imported.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from headstart.bases.blocks import nodes_in_order
from headstart.bases.feature_layer import inline_nested_models
from headstart.data.images import Box
from headstart.explanation.heat import FULL_INPUT
from headstart.explanation.receptive_field import cell_bounds
from headstart.features.engines import compile_graph, read_graph
from headstart.model_files.head_layers import Activation, HeadLayers
from headstart.model_files.openvino_file import FEATURES
from headstart.runs.predictor import Predictor, precision_here
from headstart.system import keras_worker
from headstart.tasks import classification_task

_POOLINGS = {"ReduceMean", "ReduceMax"}
_KERAS_POOLINGS = {"GlobalAveragePooling2D", "GlobalMaxPooling2D"}
_HALF = 0.5
_NO_VALUES = {"Constant", "ShapeOf"}
_SAME_VALUES = {"Convert", "Reshape", "Squeeze", "Unsqueeze"}

Node = TypeVar("Node")
AfterPooling = Callable[[np.ndarray], np.ndarray]


class Computed(NamedTuple):
    """Activations of a model for n examples.

    Attributes:
        probabilities: float32 (n, classes).
        features: float32 (n, d).
        maps: float32 (n, h, w, c) each, the feature maps before pooling; empty if the base has none.
        pooled: float32 (n, c) each, their mean or maximum.
    """

    probabilities: np.ndarray
    features: np.ndarray
    maps: Sequence[np.ndarray] = ()
    pooled: Sequence[np.ndarray] = ()


class PooledMap(NamedTuple):
    """A feature map from which some of the features are pooled.

    Attributes:
        columns: which features.
        cells: bounds of its cells in the input, as shares of its width and height.
        after_pooling: computes these features (n, d) from pooled values (n, c); None if they are the same.
        is_variance: whether they are the square roots of the pooled values instead: standard deviations.
    """

    columns: slice
    cells: Box = FULL_INPUT
    after_pooling: AfterPooling | None = None
    is_variance: bool = False


class Activations(Protocol):
    """A finished model that returns its activations.

    Attributes:
        head: the layers after the features.
        pooled_maps: the maps that the features are pooled from; empty if they depend on the input in another way, too.
    """

    head: HeadLayers
    pooled_maps: tuple[PooledMap, ...]

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute the activations for a batch from the reader."""


def evidence_cells(activations: Activations) -> Box:
    """Bounds of the cells of the evidence in the input: those of the one map, or of a grid for several maps."""
    return activations.pooled_maps[0].cells if len(activations.pooled_maps) == 1 else FULL_INPUT


def open_activations(predictor: Predictor) -> Activations:
    """Open the model of a run so that it returns its activations."""
    engine, folder = predictor.facts.engine, predictor.folder
    if engine.kind == "openvino":
        return OpenVINOActivations(
            folder / "engine" / "model.xml", precision_here(engine), classification_task(predictor.task).activation
        )
    keras = keras_worker.import_keras()
    return KerasActivations(
        keras.models.load_model(folder / "model.keras"), classification_task(predictor.task).activation
    )


class OpenVINOActivations:
    """The graph of ``engine/model.xml``, with additional outputs.

    Args:
        xml: the file, written by :func:`headstart.model_files.openvino_file.write_engine`.
        precision: precision of the computation.
        activation: activation function of the last layer.
    """

    def __init__(self, xml: Path, precision: str, activation: Activation) -> None:
        import openvino
        from openvino import opset13 as op

        graph = read_graph(xml)
        probabilities = graph.output(0).get_node().input_value(0)
        layers, features = _head_and_features(probabilities)
        self.head = HeadLayers(tuple(layers), activation)
        self._poolings = poolings = _poolings_of(features)
        outputs = [probabilities, features, *(tensor for item in poolings for tensor in (item.map, item.output))]
        results = [op.result(output) for output in outputs]
        self._compiled = compile_graph(openvino.Model(results, graph.get_parameters(), "activations"), precision)
        cells = [cell_bounds(graph, item.map, item.cells) or FULL_INPUT for item in poolings]
        self.pooled_maps = tuple(
            PooledMap(
                item.columns, bounds, None if item.is_last or item.is_variance else _subgraph(item.output, item.part),
                item.is_variance,
            )
            for item, bounds in zip(poolings, cells, strict=True)
        )  # fmt: skip

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute the activations for a batch from the reader."""
        outputs = self._compiled(np.ascontiguousarray(inputs))
        probabilities, features, *rest = (np.array(outputs[i], np.float32) for i in range(len(outputs)))
        maps = [
            np.moveaxis(values, 1, -1) if item.channels_first else values
            for item, values in zip(self._poolings, rest[::2], strict=True)
        ]
        return Computed(probabilities, features, maps, [values.reshape(len(values), -1) for values in rest[1::2]])


class KerasActivations:
    """A Keras model with the head of a run on a nested base, in this process.

    Args:
        model: takes batches from the reader, returns probabilities.
        activation: activation function of the last layer.
    """

    def __init__(self, model: Any, activation: Activation) -> None:
        import keras

        dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        kernels_and_biases = (layer.get_weights() for layer in dense)
        self.head = HeadLayers(tuple((kernel, bias) for kernel, bias in kernels_and_biases), activation)
        graph = inline_nested_models(model)
        node_of = {id(tensor): node for node in nodes_in_order(graph) for tensor in node.outputs}
        first = next(node for node in node_of.values() if node.operation is dense[0])
        features = first.input_tensors[0]
        poolings = _keras_poolings(features, node_of)
        self.pooled_maps = tuple(
            PooledMap(
                columns,
                after_pooling=None if is_variance or pooling.outputs[0] is part else _keras_function(pooling, part),
                is_variance=is_variance,
            )
            for pooling, part, columns, is_variance in poolings
        )
        tensors = [tensor for pooling, *_ in poolings for tensor in (pooling.input_tensors[0], pooling.outputs[0])]
        self._model = keras.Model(graph.input, [graph.output, features, *tensors])

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute the activations for a batch from the reader."""
        probabilities, features, *rest = self._model.predict_on_batch(inputs)
        return Computed(probabilities, features, rest[::2], [values.reshape(len(values), -1) for values in rest[1::2]])


def _keras_poolings(features: Any, node_of: dict[int, Any]) -> list[tuple[Any, Any, slice, bool]]:
    """The poolings that features come from, each with its part of them, their columns, and whether it is a variance."""
    node = node_of[id(features)]
    is_joined = type(node.operation).__name__ == "Concatenate"
    poolings, start = [], 0
    for part in node.input_tensors if is_joined else [features]:
        pooling = _only_pooling(
            node_of[id(part)],
            name_of=id,
            inputs_of=lambda node: [node_of[id(tensor)] for tensor in node.input_tensors],
            is_pooling=_is_keras_pooling,
        )
        if pooling is None or math.prod(pooling.input_tensors[0].shape[1:3]) < 2:
            return []
        columns = slice(start, start + part.shape[-1])
        is_variance = is_joined and type(node_of[id(part)].operation).__name__ == "Sqrt"
        poolings.append((pooling, part, columns, is_variance))
        start = columns.stop
    return poolings


def _is_keras_pooling(node: Any) -> bool:
    kind = type(node.operation).__name__
    return kind in _KERAS_POOLINGS or (kind == "Mean" and len(node.input_tensors[0].shape) == 4)


def _keras_function(pooling: Any, part: Any) -> AfterPooling:
    """What lies between a pooling and its features, as a function."""
    import keras

    remaining = keras.Model(pooling.outputs[0], part)
    return lambda values: np.asarray(keras.ops.convert_to_numpy(remaining(values, training=False)))


def _only_pooling(
    node: Node,
    *,
    name_of: Callable[[Node], Hashable],
    inputs_of: Callable[[Node], Sequence[Node]],
    is_pooling: Callable[[Node], bool],
) -> Node | None:
    """The one pooling through which a node depends on the input; None if there is no such pooling."""
    poolings: dict[Hashable, Node] = {}
    visited, stack = {name_of(node)}, [node]
    while stack:
        node = stack.pop()
        if is_pooling(node):
            poolings[name_of(node)] = node
            continue
        inputs = inputs_of(node)
        if not inputs:  # the input of the model
            return None
        stack += [source for source in inputs if name_of(source) not in visited]
        visited.update(map(name_of, inputs))
    return next(iter(poolings.values())) if len(poolings) == 1 else None


def _head_and_features(probabilities: Any) -> tuple[list[tuple[np.ndarray, np.ndarray]], Any]:
    """Kernel and bias of each layer of the head, and the input tensor of the first one."""
    layers: list[tuple[np.ndarray, np.ndarray]] = []
    x = probabilities
    while FEATURES not in x.get_names():
        add = x.get_node().input_value(0).get_node()  # below softmax, sigmoid or ReLU
        if add.input_value(1).get_node().get_type_name() != "Constant":  # logits of token counts are added to these
            add = add.input_value(0).get_node()
        matmul = add.input_value(0).get_node()
        kernel, bias = (node.input_value(1).get_node().get_data() for node in (matmul, add))
        layers.insert(0, (np.array(kernel, np.float32), np.array(bias, np.float32).ravel()))
        x = matmul.input_value(0)
    return layers, x


class _Pooling(NamedTuple):
    """The pooling of a feature map in an OpenVINO graph.

    Attributes:
        map: the feature map, a tensor with four axes.
        cells: its number of rows and columns.
        channels_first: whether its axes are (n, c, h, w).
        output: the tensor with the pooled values.
        part: the tensor with the features that come from it.
        columns: these features among all.
        is_last: whether the pooled values are these features.
        is_variance: whether these features are the square roots of the pooled values.
    """

    map: Any
    cells: tuple[int, int]
    channels_first: bool
    output: Any
    part: Any
    columns: slice
    is_last: bool
    is_variance: bool


def _poolings_of(features: Any) -> list[_Pooling]:
    """The poolings that features come from, one for each part of them; empty if not all are of feature maps."""
    node = _skip_same_values(features.get_node())
    is_joined = node.get_type_name() == "Concat" and node.get_input_size() > 1
    poolings, start = [], 0
    for part in node.input_values() if is_joined else [features]:
        columns = slice(start, start + part.get_partial_shape()[1].get_length())
        pooling = _pooling_of(part, columns, is_joined=is_joined)
        if pooling is None:
            return []
        poolings.append(pooling)
        start = columns.stop
    return poolings


def _skip_same_values(node: Any) -> Any:
    while node.get_type_name() in _SAME_VALUES:
        node = node.input_value(0).get_node()
    return node


def _pooling_of(features: Any, columns: slice, *, is_joined: bool) -> _Pooling | None:
    """The pooling that a part of the features comes from, if it is of a feature map with several cells."""
    node = _only_pooling(
        features.get_node(),
        name_of=lambda node: node.get_name(),
        inputs_of=_inputs_of,
        is_pooling=lambda node: _pooled_axes(node) is not None,
    )
    if node is None:
        return None
    axes = _pooled_axes(node) or []
    shape = node.input_value(0).get_partial_shape()
    rows, across = (shape[axis].get_length() for axis in axes)
    if rows * across < 2:
        return None
    last = _skip_same_values(features.get_node())
    return _Pooling(
        node.input_value(0), (rows, across), axes == [2, 3], node.output(0), features, columns,
        is_last=last.get_name() == node.get_name(), is_variance=is_joined and _is_root(last),
    )  # fmt: skip


def _is_root(node: Any) -> bool:
    """Whether a node computes square roots, as the standard deviations of a block's output do last."""
    if node.get_type_name() == "Sqrt":
        return True
    if node.get_type_name() != "Power":
        return False
    exponent = node.input_value(1).get_node()
    return exponent.get_type_name() == "Constant" and bool((exponent.get_data() == _HALF).all())


def _inputs_of(node: Any) -> list[Any]:
    nodes = [value.get_node() for value in node.input_values()]
    return [node for node in nodes if node.get_type_name() not in _NO_VALUES]


def _pooled_axes(node: Any) -> list[int] | None:
    """The axes that a node pools, if they are those of rows and columns."""
    if node.get_type_name() not in _POOLINGS or len(node.get_input_partial_shape(0)) != 4:
        return None
    axes = node.input_value(1).get_node()
    if axes.get_type_name() != "Constant":
        return None
    pooled = sorted(int(axis) % 4 for axis in axes.get_data().ravel())
    return pooled if pooled in ([1, 2], [2, 3]) else None


def _subgraph(pooled: Any, features: Any) -> AfterPooling:
    """The part of a graph between two tensors, as a function; modifies the graph."""
    import openvino
    from openvino import opset13 as op

    shape = pooled.get_partial_shape()
    start = op.parameter(shape, pooled.get_element_type())
    for consumer in pooled.get_target_inputs():
        consumer.replace_source_output(start.output(0))
    compiled = compile_graph(openvino.Model([op.result(features)], [start], "after_pooling"), "float32")
    lengths = [shape[axis].get_length() for axis in range(1, len(shape))]
    return lambda values: np.array(compiled(values.reshape(-1, *lengths))[0])
