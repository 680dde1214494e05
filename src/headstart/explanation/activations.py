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
from headstart.features.engines import compile_graph
from headstart.model_files.head_layers import Activation, HeadLayers
from headstart.model_files.openvino_file import FEATURES
from headstart.runs.predictor import Predictor, precision_here
from headstart.system import keras_worker
from headstart.tasks import classification_task

_POOLINGS = {"ReduceMean", "ReduceMax"}
_KERAS_POOLINGS = {"GlobalAveragePooling2D", "GlobalMaxPooling2D"}
_NO_VALUES = {"Constant", "ShapeOf"}
_SAME_VALUES = {"Convert", "Reshape", "Squeeze", "Unsqueeze"}

Node = TypeVar("Node")
AfterPooling = Callable[[np.ndarray], np.ndarray]


class Computed(NamedTuple):
    """Activations of a model for n examples.

    Attributes:
        probabilities: float32 (n, classes).
        features: float32 (n, d).
        maps: float32 (n, h, w, c), the feature maps before pooling; None if the base has none.
        pooled: float32 (n, c), their mean or maximum; None if the base has none.
    """

    probabilities: np.ndarray
    features: np.ndarray
    maps: np.ndarray | None = None
    pooled: np.ndarray | None = None


class Activations(Protocol):
    """A finished model that returns its activations.

    Attributes:
        head: the layers after the features.
        has_map: whether the features depend on the input only through the pooling of one feature map.
        after_pooling: computes features (n, d) from pooled values (n, c); None if they are the same.
        cells: bounds of the feature map's cells in the input, as shares of its width and height.
    """

    head: HeadLayers
    has_map: bool
    after_pooling: AfterPooling | None
    cells: Box

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute the activations for a batch from the reader."""


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

        graph = openvino.Core().read_model(str(xml))
        probabilities = graph.output(0).get_node().input_value(0)
        layers, features = _head_and_features(probabilities)
        self.head = HeadLayers(tuple(layers), activation)
        self._pooling = pooling = _pooling_of(features)
        self.has_map, self.after_pooling, self.cells = pooling is not None, None, FULL_INPUT
        outputs = [probabilities, features]
        if pooling:
            self.cells = cell_bounds(graph, pooling.map, pooling.cells) or FULL_INPUT
            outputs += [pooling.map, pooling.output]
        results = [op.result(output) for output in outputs]
        self._compiled = compile_graph(openvino.Model(results, graph.get_parameters(), "activations"), precision)
        if pooling and not pooling.is_last:
            self.after_pooling = _subgraph(pooling.output, features)

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute the activations for a batch from the reader."""
        outputs = self._compiled(np.ascontiguousarray(inputs))
        arrays = [np.array(outputs[i], np.float32) for i in range(len(outputs))]
        if self._pooling is None:
            return Computed(*arrays)
        probabilities, features, maps, pooled = arrays
        maps = np.moveaxis(maps, 1, -1) if self._pooling.channels_first else maps
        return Computed(probabilities, features, maps, pooled.reshape(len(pooled), -1))


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
        pooling = _only_pooling(
            node_of[id(features)],
            name_of=id,
            inputs_of=lambda node: [node_of[id(tensor)] for tensor in node.input_tensors],
            is_pooling=lambda node: type(node.operation).__name__ in _KERAS_POOLINGS,
        )
        outputs = [graph.output, features]
        self.has_map, self.after_pooling, self.cells = False, None, FULL_INPUT
        if pooling is not None and math.prod(pooling.input_tensors[0].shape[1:3]) > 1:
            self.has_map, pooled = True, pooling.outputs[0]
            outputs += [pooling.input_tensors[0], pooled]
            if pooled is not features:
                remaining = keras.Model(pooled, features)
                self.after_pooling = lambda values: keras.ops.convert_to_numpy(remaining(values, training=False))
        self._model = keras.Model(graph.input, outputs)

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute the activations for a batch from the reader."""
        return Computed(*self._model.predict_on_batch(inputs))


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
        is_last: whether the pooled values are the features.
    """

    map: Any
    cells: tuple[int, int]
    channels_first: bool
    output: Any
    is_last: bool


def _pooling_of(features: Any) -> _Pooling | None:
    """The pooling that the features come from, if it is of a feature map with several cells."""
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
    rows, columns = (shape[axis].get_length() for axis in axes)
    if rows * columns < 2:
        return None
    between = features.get_node()
    while between.get_type_name() in _SAME_VALUES:
        between = between.input_value(0).get_node()
    is_direct = between.get_name() == node.get_name()
    return _Pooling(node.input_value(0), (rows, columns), axes == [2, 3], node.output(0), is_direct)


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
