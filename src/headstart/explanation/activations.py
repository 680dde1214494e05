"""What a finished model computes on the way to an answer: the features, and the map that they are pooled from.

Both are found in the model's own graph, going back from the head: no table of layer names, whatever the base. On
OpenVINO they are further outputs of the compiled graph, so that nothing needs Keras.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from headstart.bases.blocks import nodes_in_order
from headstart.bases.feature_layer import inline_nested_models
from headstart.data.images import Box
from headstart.explanation.heat import WHOLE
from headstart.explanation.receptive_field import place_of_cells
from headstart.features.engines import compile_graph
from headstart.model_files.head_layers import Activation, HeadLayers
from headstart.model_files.openvino_file import FEATURES
from headstart.runs.predictor import Predictor, precision_here
from headstart.system import keras_worker

_POOLINGS = {"ReduceMean", "ReduceMax"}
_KERAS_POOLINGS = {"GlobalAveragePooling2D", "GlobalMaxPooling2D"}
_NO_VALUES = {"Constant", "ShapeOf"}
_SAME_VALUES = {"Convert", "Reshape", "Squeeze", "Unsqueeze"}

Node = TypeVar("Node")
AfterPooling = Callable[[np.ndarray], np.ndarray]


class Computed(NamedTuple):
    """What a model computed of n examples.

    Attributes:
        probabilities: float32 (n, classes).
        features: float32 (n, d).
        maps: float32 (n, h, w, c), what is pooled; None where the base has no such map.
        pooled: float32 (n, c), their mean or maximum; None likewise.
    """

    probabilities: np.ndarray
    features: np.ndarray
    maps: np.ndarray | None = None
    pooled: np.ndarray | None = None


class Activations(Protocol):
    """A finished model that shows what it computes inside.

    Attributes:
        head: what stands on the features.
        has_map: whether all that the features depend on goes through the pooling of one map.
        after_pooling: from pooled values (n, c) to features (n, d); None where these are the same.
        cells: where the cells of the map lie in the input, as shares of its width and height.
    """

    head: HeadLayers
    has_map: bool
    after_pooling: AfterPooling | None
    cells: Box

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute a batch of what the reader gives."""


def open_activations(predictor: Predictor) -> Activations:
    """Open the model of a run once more, to look inside."""
    engine, folder = predictor.facts.engine, predictor.folder
    if engine.kind == "openvino":
        return OpenVINOActivations(folder / "engine" / "model.xml", precision_here(engine), predictor.activation)
    keras = keras_worker.import_keras()
    return KerasActivations(keras.models.load_model(folder / "model.keras"), predictor.activation)


class OpenVINOActivations:
    """The graph of ``engine/model.xml``, with more outputs.

    Args:
        xml: as :func:`headstart.model_files.openvino_file.write_engine` writes it.
        precision: of the arithmetic.
        activation: of the head.
    """

    def __init__(self, xml: Path, precision: str, activation: Activation) -> None:
        import openvino
        from openvino import opset13 as op

        graph = openvino.Core().read_model(str(xml))
        probabilities = graph.output(0).get_node().input_value(0)
        layers, features = _head_and_features(probabilities)
        self.head = HeadLayers(tuple(layers), activation)
        self._pooling = pooling = _pooling_of(features)
        self.has_map, self.after_pooling, self.cells = pooling is not None, None, WHOLE
        outputs = [probabilities, features]
        if pooling:
            self.cells = place_of_cells(graph, pooling.map, pooling.cells) or WHOLE
            outputs += [pooling.map, pooling.output]
        results = [op.result(one) for one in outputs]
        self._compiled = compile_graph(openvino.Model(results, graph.get_parameters(), "activations"), precision)
        if pooling and not pooling.gives_features:
            self.after_pooling = _part_between(pooling.output, features)

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute a batch of what the reader gives."""
        found = self._compiled(np.ascontiguousarray(inputs))
        arrays = [np.array(found[i], np.float32) for i in range(len(found))]
        if self._pooling is None:
            return Computed(*arrays)
        probabilities, features, maps, pooled = arrays
        maps = np.moveaxis(maps, 1, -1) if self._pooling.channels_first else maps
        return Computed(probabilities, features, maps, pooled.reshape(len(pooled), -1))


class KerasActivations:
    """A Keras model with the head of a run on a nested base, in this process.

    Args:
        model: from what the reader gives to probabilities.
        activation: of the head.
    """

    def __init__(self, model: Any, activation: Activation) -> None:
        import keras

        dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        kernels_and_biases = (layer.get_weights() for layer in dense)
        self.head = HeadLayers(tuple((kernel, bias) for kernel, bias in kernels_and_biases), activation)
        graph = inline_nested_models(model)
        made_by = {id(tensor): node for node in nodes_in_order(graph) for tensor in node.outputs}
        first = next(node for node in made_by.values() if node.operation is dense[0])
        features = first.input_tensors[0]
        pooling = _only_pooling(
            made_by[id(features)],
            name_of=id,
            inputs_of=lambda node: [made_by[id(tensor)] for tensor in node.input_tensors],
            is_pooling=lambda node: type(node.operation).__name__ in _KERAS_POOLINGS,
        )
        outputs = [graph.output, features]
        self.has_map, self.after_pooling, self.cells = False, None, WHOLE
        if pooling is not None and math.prod(pooling.input_tensors[0].shape[1:3]) > 1:
            self.has_map, pooled = True, pooling.outputs[0]
            outputs += [pooling.input_tensors[0], pooled]
            if pooled is not features:
                rest = keras.Model(pooled, features)
                self.after_pooling = lambda values: keras.ops.convert_to_numpy(rest(values, training=False))
        self._model = keras.Model(graph.input, outputs)

    def __call__(self, inputs: np.ndarray) -> Computed:
        """Compute a batch of what the reader gives."""
        return Computed(*self._model.predict_on_batch(inputs))


def _only_pooling(
    node: Node,
    *,
    name_of: Callable[[Node], Hashable],
    inputs_of: Callable[[Node], Sequence[Node]],
    is_pooling: Callable[[Node], bool],
) -> Node | None:
    """The pooling that all goes through that a node depends on; None where there is no such one."""
    found: dict[Hashable, Node] = {}
    seen, waiting = {name_of(node)}, [node]
    while waiting:
        node = waiting.pop()
        if is_pooling(node):
            found[name_of(node)] = node
            continue
        inputs = inputs_of(node)
        if not inputs:  # the input of the model
            return None
        waiting += [one for one in inputs if name_of(one) not in seen]
        seen.update(map(name_of, inputs))
    return next(iter(found.values())) if len(found) == 1 else None


def _head_and_features(probabilities: Any) -> tuple[list[tuple[np.ndarray, np.ndarray]], Any]:
    """Kernel and bias of the head's layers, and the tensor that goes into the first of them."""
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
    """The pooling of a map in an OpenVINO graph.

    Attributes:
        map: the tensor that is pooled, with four axes.
        cells: its rows and columns.
        channels_first: in which order its axes are.
        output: the tensor with the pooled values.
        gives_features: whether these are the features already.
    """

    map: Any
    cells: tuple[int, int]
    channels_first: bool
    output: Any
    gives_features: bool


def _pooling_of(features: Any) -> _Pooling | None:
    """The pooling that features come from, if it is of a map with several places."""
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
    return [one for one in nodes if one.get_type_name() not in _NO_VALUES]


def _pooled_axes(node: Any) -> list[int] | None:
    """The axes of rows and columns, if it is those that a node pools."""
    if node.get_type_name() not in _POOLINGS or len(node.get_input_partial_shape(0)) != 4:
        return None
    axes = node.input_value(1).get_node()
    if axes.get_type_name() != "Constant":
        return None
    pooled = sorted(int(axis) % 4 for axis in axes.get_data().ravel())
    return pooled if pooled in ([1, 2], [2, 3]) else None


def _part_between(pooled: Any, features: Any) -> AfterPooling:
    """What a graph computes between two tensors, as a function; takes the graph apart."""
    import openvino
    from openvino import opset13 as op

    shape = pooled.get_partial_shape()
    start = op.parameter(shape, pooled.get_element_type())
    for consumer in pooled.get_target_inputs():
        consumer.replace_source_output(start.output(0))
    part = compile_graph(openvino.Model([op.result(features)], [start], "after_pooling"), "float32")
    sides = [shape[axis].get_length() for axis in range(1, len(shape))]
    return lambda values: np.array(part(values.reshape(-1, *sides))[0])
