"""An OpenVINO graph with its weights as a Keras layer, so that a saved model needs no second file.

The graph becomes part of the model's graph, without gradients; only Keras's OpenVINO backend supports that.
Importing this module registers the layer with Keras: run ``import headstart.bases.openvino_layer`` before
``keras.models.load_model`` opens a run's ``model.keras`` with such a layer.
"""

import base64
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from headstart.errors import InputError, field_name


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
        """Compute the graph.

        Raises:
            InputError: Keras runs on another backend.
        """
        if keras.backend.backend() != "openvino":
            raise InputError(
                f"this base is a graph of OpenVINO, which Keras on {keras.backend.backend()} cannot compute: set "
                f"KERAS_BACKEND=openvino before Keras is imported. In headstart, set {field_name('engine', 'auto')}."
            )
        import openvino

        constants = np.ascontiguousarray(keras.ops.convert_to_numpy(self._constants))
        graph = openvino.Core().read_model(zlib.decompress(base64.b64decode(self.graph)), openvino.Tensor(constants))
        graph.inputs[0].replace(inputs.output)
        return keras.ops.convert_to_tensor(graph.outputs[0].get_node().input_value(0))

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
