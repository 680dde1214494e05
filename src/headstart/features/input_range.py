"""Whether a base sees values of the range that it was trained on: scaled once, not twice and not never.

Two things can be wrong: the images were scaled before they were saved; or a model of unknown origin takes other
pixels than it says. Both are checked on the first batch.
"""

from typing import Any

import numpy as np

from headstart.bases.base import Base
from headstart.bases.blocks import nodes_in_order
from headstart.bases.handle import parse_handle
from headstart.errors import InputError

MAX_RATIO = 30.0
"""Photos of another kind change the ratio by a factor of 3 or so; scaling too often or not at all, by 58 to 255."""

_VERIFIED = {"embedded", "keras"}
_LEAST_CONTRAST = 10.0  # standard deviation of the pixels below which images tell nothing about scaling


def check_pixels(pixels: np.ndarray) -> None:
    """Check that images were not scaled to 0 and 1 before they were saved.

    Args:
        pixels: the first images, uint8 (n, h, w, 3).

    Raises:
        InputError: no pixel is above 1, and some are 1.
    """
    if pixels.max() == 1:
        raise InputError(
            f"the first {len(pixels)} images have no pixel above 1, where 255 is white: they were scaled to 0 … 1 "
            "before they were saved. Save them unscaled, or multiplied by 255; the base scales them itself."
        )


def check_input_range(base: Base, network: Any, pixels: np.ndarray) -> float | None:
    """Compare what reaches the first BatchNormalization with the statistics that it has from its training.

    Args:
        base: the base, for images.
        network: of it, as :attr:`Base.build` gives it.
        pixels: images, uint8 (n, h, w, 3).

    Returns:
        By how much the values vary, as a multiple of how they did in training: the median over the channels. None
        where it is unknown (no such layer, one that was never trained, images without contrast) or is known
        (bases whose preprocessing is in our own tables, verified for each).

    Raises:
        InputError: it is more than 30 times, or less than a 30th.
    """
    import keras

    if parse_handle(base.handle).source in _VERIFIED and base.spec.weights == "imagenet":
        return None
    # By nodes, because a layer that was taken out of a nested model knows inputs of its own there.
    normalizing = keras.layers.BatchNormalization
    node = next((node for node in nodes_in_order(network) if isinstance(node.operation, normalizing)), None)
    if node is None or node.operation.axis not in (-1, 3) or pixels.std() < _LEAST_CONTRAST:
        return None
    layer = node.operation
    trained = np.sqrt(np.asarray(layer.moving_variance))
    if np.all(trained == 1):
        return None
    inputs, x = base.input_tensors()
    values = keras.Model(inputs, keras.Model(network.inputs[0], node.input_tensors[0])(x)).predict(pixels, verbose=0)
    deviations = values.reshape(-1, values.shape[-1]).std(axis=0)
    ratio = float(np.median(deviations / np.maximum(trained, 1e-6)))
    if 1 / MAX_RATIO <= ratio <= MAX_RATIO:
        return ratio
    how = f"{ratio:,.0f} times" if ratio > 1 else f"1/{1 / max(ratio, 1e-9):,.0f}"
    advice = (
        "It wants its pixels scaled: put keras.layers.Rescaling in front of it, as in its training, and save it again."
        if ratio > 1
        else "Its pixels are scaled twice: by itself, and before that in your images or by a layer in front."
    )
    raise InputError(
        f"{base.handle} is given other values than it was trained on: what reaches its layer {layer.name!r} varies "
        f"{how} as much as it did then. {advice}"
    )
