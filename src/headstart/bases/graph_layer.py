"""A TensorFlow graph with its weights as a Keras layer, so that a saved model needs no second file.

Importing this module registers the layer with Keras: run ``import headstart.bases.graph_layer`` before
``keras.models.load_model`` opens a run's ``model.keras`` with such a layer. It needs TensorFlow's backend.
"""

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from headstart.errors import InputError

_FILE_OPERATIONS = {"ReadFile", "WriteFile", "MatchingFiles", "LookupTableFindV2", "Print", "PrintV2", "Assert"}


@keras.saving.register_keras_serializable("headstart")
class GraphLayer(keras.layers.Layer):
    """Runs a frozen graph whose larger constants are this layer's weights.

    Args:
        graph: its GraphDef, serialised, compressed and in base 64.
        takes: name of the placeholder for the input.
        gives: name of the output tensor.
        constants: (name of the placeholder, shape, whether it can be trained) of every weight.
        kwargs: as for every Keras layer.

    Raises:
        InputError: the graph has an operation that keeps state or accesses files, or Keras runs on another backend.
    """

    def __init__(
        self, graph: str, takes: str, gives: str, constants: list[tuple[str, list[int], bool]], **kwargs: Any
    ) -> None:
        if keras.backend.backend() != "tensorflow":
            raise InputError(
                f"this model contains a graph of TensorFlow, which Keras on {keras.backend.backend()} cannot compute: "
                "set KERAS_BACKEND=tensorflow before Keras is imported."
            )
        super().__init__(autocast=False, **kwargs)
        self.graph, self.takes, self.gives, self.constants = graph, takes, gives, constants
        self._definition = read_graph(graph)
        self._function: Any = None

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        # Keras's own list, `self.weights`, has another order: the trainable weights come first.
        self._weight_of_constant = [
            self.add_weight(
                shape=shape, name=name.replace("/", "_"), trainable=trainable, dtype="float32", initializer="zeros"
            )
            for name, shape, trainable in self.constants
        ]

    def set_constants(self, values: Sequence[np.ndarray]) -> None:
        """Set the weights, in the order of ``constants``."""
        for weight, value in zip(self._weight_of_constant, values, strict=True):
            weight.assign(value)

    def call(self, inputs: Any) -> Any:
        """Run the graph."""
        import tensorflow

        if self._function is None:
            self._function = tensorflow.function(self._run)
        return self._function(inputs)

    def _run(self, inputs: Any) -> Any:
        import tensorflow

        weights = zip(self.constants, self._weight_of_constant, strict=True)
        feeds = {name: weight.value for (name, *_), weight in weights}
        return tensorflow.graph_util.import_graph_def(
            self._definition, input_map={self.takes: inputs, **feeds}, return_elements=[self.gives], name="graph"
        )[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments of :meth:`__init__`; saved runs contain their names."""
        own = {"graph": self.graph, "takes": self.takes, "gives": self.gives, "constants": self.constants}
        config = {**super().get_config(), **own}
        config.pop("autocast", None)
        return config


def read_graph(text: str) -> Any:
    """Read the GraphDef in a :class:`GraphLayer`'s configuration.

    Raises:
        InputError: it has an operation that keeps state or accesses files.
    """
    from tensorflow.core.framework import graph_pb2
    from tensorflow.python.framework import op_def_registry

    graph = graph_pb2.GraphDef()
    graph.ParseFromString(zlib.decompress(base64.b64decode(text)))
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    for kind in sorted({node.op for node in nodes}):
        definition = op_def_registry.get(kind)
        known_function = any(function.signature.name == kind for function in graph.library.function)
        if kind == "Placeholder" or known_function:
            continue
        if definition is None or definition.is_stateful or kind in _FILE_OPERATIONS:
            raise InputError(
                f"the graph has the operation {kind}, which keeps state, accesses files or is unknown: refused. "
                "A base must depend on nothing but the pixels."
            )
    return graph


def write_graph(graph: Any) -> str:
    """The inverse of :func:`read_graph`."""
    return base64.b64encode(zlib.compress(graph.SerializeToString(), 9)).decode("ascii")
