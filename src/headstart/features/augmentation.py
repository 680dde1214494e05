"""Augmentation: seeded random versions of pictures, by Keras's own augmentation layers.

A pipeline is plain data, (class name, arguments) of each layer, so that it can be recorded in the run, be part of a
cache key and travel to another process. Every batch gets layers with seeds of its own, derived from the seed, the batch
and the layer: the same pictures come out wherever and in whatever order the batches are made.
"""

from typing import Any, Literal

import numpy as np

from headstart.errors import InputError

Strength = Literal["none", "light", "standard", "strong"]
Pipeline = list[tuple[str, dict[str, Any]]]

_RANGE = {"value_range": [0, 255]}
_EDGE = {"fill_mode": "reflect"}
_FLIP = ("RandomFlip", {"mode": "horizontal"})

PIPELINES: dict[str, Pipeline] = {
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
"""Strength -> its pipeline. All of them flip: where sides matter (text, digits), give a pipeline of your own."""


def to_pipeline(augment: Any) -> Pipeline:
    """A pipeline as plain data.

    Args:
        augment: a strength; or a Keras augmentation pipeline: a layer, a ``keras.Sequential`` or a list of layers, that
            get pixels of 0 to 255; or what this function gave, also if it went through JSON.

    Raises:
        InputError: no such strength, or a layer that is not one of Keras's own.
    """
    if isinstance(augment, str):
        if augment not in PIPELINES:
            raise InputError(f"--augment {augment}: expected one of {', '.join(PIPELINES)}.")
        return PIPELINES[augment]
    layers = getattr(augment, "layers", augment)
    pipeline: Pipeline = []
    for layer in layers if isinstance(layers, list | tuple) else [layers]:
        if isinstance(layer, list | tuple):
            pipeline.append((layer[0], layer[1]))
            continue
        kind = type(layer).__name__
        if not type(layer).__module__.startswith("keras.") or not hasattr(layer, "get_config"):
            raise InputError(f"augment: {kind} is not one of Keras's own layers, such as keras.layers.RandomFlip.")
        config = {key: value for key, value in layer.get_config().items() if key not in ("name", "seed", "dtype")}
        pipeline.append((kind, config))
    return pipeline


def augment(pixels: np.ndarray, pipeline: Pipeline, seed: tuple[int, ...]) -> np.ndarray:
    """Apply a pipeline, at random, to each of some pictures. In a Keras process.

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
