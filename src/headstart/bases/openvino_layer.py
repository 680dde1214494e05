"""An OpenVINO graph with its weights as a Keras layer, so that a saved model needs no second file.

On Keras's OpenVINO backend, the graph becomes part of the model's graph. On the other backends, OpenVINO computes it in
float32, without gradients: for predictions, and to train layers on top of it.
Importing this module registers the layer with Keras: run ``import headstart.bases.openvino_layer`` before
``keras.models.load_model`` opens a run's ``model.keras`` with such a layer.
"""

import base64
import importlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

Compute = Callable[[Any], np.ndarray]
"""From an input, (n, ...), to the output, float32 (n, ...)."""


def _in_tensorflow(compute: Compute, inputs: Any, shape: tuple[int | None, ...]) -> Any:
    tensorflow = importlib.import_module("tensorflow")
    outputs = tensorflow.numpy_function(compute, [inputs], tensorflow.float32, stateful=False)
    outputs.set_shape(shape)
    return outputs


def _in_jax(compute: Compute, inputs: Any, shape: tuple[int | None, ...]) -> Any:
    jax = importlib.import_module("jax")
    return jax.pure_callback(lambda x: compute(np.asarray(x)), jax.ShapeDtypeStruct(shape, "float32"), inputs)


def _at_once(compute: Compute, inputs: Any, shape: tuple[int | None, ...]) -> Any:
    return keras.ops.convert_to_tensor(compute(keras.ops.convert_to_numpy(inputs)))


_FOREIGN_CALLS = {"tensorflow": _in_tensorflow, "jax": _in_jax}
"""Backend of Keras -> how its graphs call a function of NumPy; the other backends have no graphs."""


@keras.saving.register_keras_serializable("headstart")
class OpenVINOLayer(keras.layers.Layer):
    """Computes an OpenVINO graph with one input and one output; its constants are this layer's only weight.

    Args:
        graph: its ``.xml``, compressed and in base 64.
        size: of its ``.bin``, in bytes.
        gives: shape of the output of one example; None for a dimension as long as the input.
        kwargs: as for every Keras layer.
    """

    def __init__(self, graph: str, size: int, gives: list[int | None], **kwargs: Any) -> None:
        super().__init__(autocast=False, **{**kwargs, "trainable": False})
        self.graph, self.size, self.gives = graph, size, gives
        self.supports_jit = False  # XLA cannot call OpenVINO
        self._compiled: Any = None

    def build(self, input_shape: Any) -> None:
        """Create the weight."""
        self._constants = self.add_weight(
            shape=(self.size,), name="constants", dtype="uint8", initializer="zeros", trainable=False
        )

    def compute_output_spec(self, inputs: Any) -> Any:
        """Shape and dtype of the output."""
        n, *rest = inputs.shape
        return keras.KerasTensor((n, *(rest[0] if size is None else size for size in self.gives)), "float32")

    def call(self, inputs: Any) -> Any:
        """Compute the graph."""
        backend = keras.backend.backend()
        if backend == "openvino":
            graph = self._read_graph()
            graph.inputs[0].replace(inputs.output)
            return keras.ops.convert_to_tensor(graph.outputs[0].get_node().input_value(0))
        shape = self.compute_output_spec(inputs).shape
        return _FOREIGN_CALLS.get(backend, _at_once)(self._compute, inputs, shape)

    def _read_graph(self) -> Any:
        import openvino

        constants = np.ascontiguousarray(keras.ops.convert_to_numpy(self._constants))
        return openvino.Core().read_model(zlib.decompress(base64.b64decode(self.graph)), openvino.Tensor(constants))

    def _compute(self, inputs: np.ndarray) -> np.ndarray:
        """Compute the graph with OpenVINO itself, which prepares it at the first call."""
        if self._compiled is None:
            import openvino

            precision = {"INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = openvino.Core().compile_model(self._read_graph(), "CPU", precision)
        return np.array(self._compiled(np.ascontiguousarray(inputs))[0], np.float32)

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Set the constants."""
        super().set_weights(weights)
        self._compiled = None

    def load_own_variables(self, store: Any) -> None:
        """Read the constants from a file."""
        super().load_own_variables(store)
        self._compiled = None

    def get_config(self) -> dict[str, Any]:
        """The arguments of :meth:`__init__`; saved runs contain their names."""
        config = {**super().get_config(), "graph": self.graph, "size": self.size, "gives": self.gives}
        config.pop("autocast", None)
        return config


def layer_from_files(xml: Path, gives: list[int | None], name: str) -> tuple[OpenVINOLayer, np.ndarray]:
    """A layer for a graph on disk, and its weight, uint8 (size,), to set after the layer is built."""
    constants = np.fromfile(xml.with_suffix(".bin"), np.uint8)
    graph = base64.b64encode(zlib.compress(xml.read_bytes(), 9)).decode("ascii")
    return OpenVINOLayer(graph, len(constants), gives, name=name), constants
