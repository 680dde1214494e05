"""Teachable Machine's exports: ``keras_model.h5``, a file of Keras 2 that is read like any other one.

Such a file is a Sequential of two models: MobileNetV2 with its pooling, and the head that was trained in the browser.
It was converted from tensorflow.js. Here is how to recognise it, and what its own code does with pixels.
"""

from typing import Any

from headstart.bases.base import Preprocessing
from headstart.bases.model_config import all_layers, layer_name
from headstart.data.resizing import ResizeRule

PREPROCESSING = Preprocessing("[-1, 1]", 1 / 127.5, -1.0)
"""The preprocessing in the code that Teachable Machine exports with the model."""

RESIZE_RULE = ResizeRule(kept_fraction=1.0, edges="none", interpolation="lanczos", fast=False)
"""How that code cuts out and resizes the centre square: Pillow's ``ImageOps.fit`` with its filter LANCZOS."""

HEAD = ("dense_Dense1", "dense_Dense2")
"""The layers that were trained in the browser: ReLU after the first, softmax after the second, which has no bias."""

_LAYER_NAMES = {"global_average_pooling2d_GlobalAveragePooling2D1", *HEAD}


def is_export(config: dict[str, Any]) -> bool:
    """Whether a model's configuration is that of an export: its layers have names that only tensorflow.js creates."""
    return {layer_name(layer) for layer in all_layers(config)} >= _LAYER_NAMES
