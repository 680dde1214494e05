"""Models that Keras 2 wrote (TensorFlow 1.x to 2.15, and tf_keras), rebuilt with layers of Keras 3.

Keras 3 opens few of these files: arguments, operations of TensorFlow in the graph, dtype policies and the order of
weights have changed. Here the config is read as plain data. Only layers and operations in our own tables are built, so
no code from a file is ever run, and no name in a file is ever imported.

    known.py        which layers and operations can be built, found without Keras
    values.py       what JSON stands for: tuples, slices, arrays
    layers.py       a config of a layer -> a layer of Keras 3
    recurrent.py    recurrent layers in cuDNN's layout, or with other gates
    operations.py   an operation of TensorFlow on tensors -> the same by keras.ops
    nodes.py        a node of TensorFlow's graph -> such an operation
    graph.py        functional and sequential models
    weights.py      the weights of the file, each at its place
"""

from typing import Any

from headstart.bases.keras2.known import is_arithmetic, refuse_unknown_layers
from headstart.bases.model_config import ModelFile

__all__ = ["build", "is_arithmetic", "refuse_unknown_layers"]


def build(file: ModelFile) -> Any:
    """The model in a file of Keras 2, as a functional model of Keras 3 with the file's weights.

    Raises:
        InputError: a layer or operation has no counterpart in Keras 3, or the weights do not belong to the config.
    """
    from headstart.bases.keras2.graph import Builder
    from headstart.bases.keras2.weights import load_weights

    model = Builder(file).build()
    load_weights(file, model)
    return model.layer
