"""Low-rank adaptation: of each Dense kernel W, train only a change A·B of low rank (LoRA, Hu et al., arXiv 2106.09685).

The change is part of W before anything is saved, so that a finished run is like any other.
"""

from collections.abc import Sequence
from typing import Any

from headstart.errors import InputError

FASTER = 5.0
"""Times the learning rate that suits whole kernels."""


def adapt(layers: Sequence[Any], rank: int) -> list[Any]:
    """Freeze layers but for low-rank changes of the Dense kernels in them; gives the layers that have such now.

    Args:
        layers: of a built network, trainable.
        rank: of the changes.

    Raises:
        InputError: there is no Dense kernel in them.
    """
    import keras

    adapted = []
    for layer in layers:
        for part in layer._flatten_layers():
            if isinstance(part, keras.layers.Dense | keras.layers.EinsumDense):
                part.enable_lora(rank)
                adapted.append(part)
            for weight in part.trainable_variables:
                weight.trainable = weight.name.startswith("lora_kernel")
    if not adapted:
        raise InputError("--lora: the blocks to train have no Dense layers, which it is for; leave it out.")
    return adapted


def merge(adapted: Sequence[Any]) -> None:
    """Make the changes part of the kernels that they belong to."""
    for layer in adapted:
        kernel = layer.kernel
        layer.lora_enabled = False
        layer._kernel.assign(kernel)
