"""Augmentation: seeded random versions of images, by Keras's own augmentation layers.

A pipeline is plain data, (class name, arguments) of each layer, so that it can be recorded in the run, be part of a
cache key and travel to another process. Every batch gets layers with seeds of its own, derived from the seed, the batch
and the layer: the result does not depend on where and in which order the batches are made.
"""

import numpy as np

from headstart.config import Augmentation, AugmentName

_RANGE = {"value_range": [0, 255]}
_EDGE = {"fill_mode": "reflect"}
_FLIP = ("RandomFlip", {"mode": "horizontal"})

PIPELINES: dict[str, Augmentation] = {
    "none": [],
    "light": [_FLIP, ("RandomTranslation", {"height_factor": 0.05, "width_factor": 0.05, **_EDGE})],
    "standard": [
        _FLIP,
        ("RandomRotation", {"factor": 0.03, **_EDGE}),
        ("RandomZoom", {"height_factor": [-0.2, 0.05], **_EDGE}),
        ("RandomBrightness", {"factor": 0.15, **_RANGE}),
        ("RandomContrast", {"factor": 0.2, **_RANGE}),
    ],
    "strong": [
        _FLIP,
        ("RandomRotation", {"factor": 0.08, **_EDGE}),
        ("RandomZoom", {"height_factor": [-0.4, 0.1], "width_factor": [-0.4, 0.1], **_EDGE}),
        ("RandomTranslation", {"height_factor": 0.1, "width_factor": 0.1, **_EDGE}),
        ("RandomBrightness", {"factor": 0.3, **_RANGE}),
        ("RandomContrast", {"factor": 0.4, **_RANGE}),
        ("RandomErasing", {"factor": 0.5, "scale": [0.02, 0.2], **_RANGE}),
    ],
}
"""Name -> layers. All of them flip: where sides matter (text, digits), give a pipeline of your own."""


def to_pipeline(augment: AugmentName | Augmentation) -> Augmentation:
    """The layers of an augmentation, by its name or as plain data."""
    return PIPELINES[augment] if isinstance(augment, str) else augment


def augment(pixels: np.ndarray, pipeline: Augmentation, seed: tuple[int, ...]) -> np.ndarray:
    """Apply a pipeline, at random, to each of some images. In a Keras process.

    Args:
        pixels: uint8 (n, h, w, 3).
        pipeline: the layers.
        seed: numbers that together determine everything random.

    Returns:
        uint8 of the same shape.
    """
    import keras

    x = pixels.astype(np.float32)
    seeds = np.random.SeedSequence(seed).generate_state(max(len(pipeline), 1))
    for (kind, config), own in zip(pipeline, seeds.tolist(), strict=False):
        layer = getattr(keras.layers, kind)(**config, seed=own % 2**31, data_format="channels_last")
        x = layer(x, training=True)
    return np.clip(np.rint(keras.ops.convert_to_numpy(x)), 0, 255).astype(np.uint8)
