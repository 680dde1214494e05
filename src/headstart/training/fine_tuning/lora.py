"""Low-rank adaptation (LoRA): of each Dense kernel W, only a low-rank change A·B is trained.

The change is added to W before anything is saved, so a finished run is like any other.

Source: Hu et al., arXiv 2106.09685.
"""

from collections.abc import Sequence
from typing import Any

from headstart.errors import InputError
from headstart.system import keras_compat

RATE_FACTOR = 5.0
"""How many times higher the learning rate of low-rank changes is than that of whole kernels."""


def adapt(layers: Sequence[Any], rank: int) -> list[Any]:
    """Freeze all weights of layers, and add trainable low-rank changes to the Dense kernels in them.

    Args:
        layers: of a built network, trainable.
        rank: of the changes.

    Returns:
        The Dense layers that have such a change now.

    Raises:
        InputError: there is no Dense kernel in them.
    """
    import keras

    adapted = []
    for layer in layers:
        for inner in keras_compat.all_layers(layer):
            if isinstance(inner, keras.layers.Dense | keras.layers.EinsumDense):
                inner.enable_lora(rank)
                adapted.append(inner)
            for weight in inner.trainable_variables:
                weight.trainable = weight.name.startswith("lora_kernel")
    if not adapted:
        raise InputError("the blocks to train have no Dense layers, so there is nothing to adapt.", field="lora")
    return adapted


def merge(adapted: Sequence[Any]) -> None:
    """Add the changes to the kernels of the layers that :func:`adapt` gave."""
    for layer in adapted:
        kernel = layer.kernel
        layer.lora_enabled = False
        keras_compat.stored_kernel(layer).assign(kernel)
