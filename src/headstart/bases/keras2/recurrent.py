"""Recurrent layers of Keras 2 whose weights have another form in Keras 3, or whose gates are another function there.

Sources: the conversion between cuDNN's layout and Keras's own in Keras 2, and its ``hard_sigmoid``.
"""

from typing import Any

import numpy as np

CUDNN_GATES = {"CuDNNLSTM": 4, "CuDNNGRU": 3}
"""Layers for GPUs only, whose weights are in cuDNN's layout -> number of gates."""

_IS_GATE = {
    "GRU": (True, True, False),
    **dict.fromkeys(("LSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), (True, True, False, True)),
}
"""Layer -> which blocks of its weights belong to gates, and not to the values that these let through."""

_HARD_SIGMOID_SLOPES = 6 / 5  # that of Keras 2 is 1/5, that of Keras 3 is 1/6


def cudnn_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in cuDNN's layout of a weight with this name and shape: two biases are one vector."""
    return (int(np.prod(shape)) * (2 if len(shape) == 1 else 1),) if name == "bias" else shape


def from_cudnn(name: str, values: np.ndarray, gates: int) -> np.ndarray:
    """A weight in Keras's layout, from cuDNN's.

    Args:
        name: ``kernel``, ``recurrent_kernel`` or ``bias``.
        values: the weight; the blocks of the gates lie side by side.
        gates: number of gates.
    """
    if name == "bias":
        of_input, of_state = np.split(values, 2)
        return of_input + of_state if gates == CUDNN_GATES["CuDNNLSTM"] else np.stack([of_input, of_state])
    blocks = np.split(values, gates, axis=1)
    if name == "recurrent_kernel":
        return np.concatenate([block.T for block in blocks], axis=1)
    return np.concatenate([block.T.reshape(block.shape, order="F") for block in blocks], axis=1)


def scale_hard_gates(layer: Any) -> None:
    """Give the gates of a layer the ``hard_sigmoid`` of Keras 2: their weights are scaled for the one of Keras 3.

    Args:
        layer: an LSTM, GRU or ConvLSTM of Keras 3, with the weights of the file; any other layer stays as it is.
    """
    is_gate = _IS_GATE.get(type(layer).__name__)
    if is_gate is None or layer.get_config()["recurrent_activation"] != "hard_sigmoid":
        return
    width = layer.filters if hasattr(layer, "filters") else layer.units
    factors = np.repeat(np.where(is_gate, _HARD_SIGMOID_SLOPES, 1.0), width).astype("float32")
    layer.set_weights([weight * factors for weight in layer.get_weights()])
