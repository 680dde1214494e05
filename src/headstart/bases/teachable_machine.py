"""Teachable Machine's exports: ``keras_model.h5``, which Keras 3 refuses, rebuilt from its configuration and weights.

Such a file is a Sequential of two models: MobileNetV2 with its pooling, and the head that was trained in the browser.
It was converted from tensorflow.js by Keras 2, and has an argument of depthwise convolutions and a nesting that Keras 3
refuses.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import Preprocessing
from headstart.data.resizing import ResizeRule
from headstart.errors import InputError

PREPROCESSING = Preprocessing("[-1, 1]", 1 / 127.5, -1.0)
"""The preprocessing in the code that Teachable Machine exports with the model."""

RESIZE_RULE = ResizeRule(kept=1.0, edges="none", interpolation="lanczos", fast=False)
"""How that code cuts out and resizes the centre square: Pillow's ``ImageOps.fit`` with its filter LANCZOS."""

_LAYER_ARGUMENTS = ("name", "units", "activation", "use_bias")
HEAD = ("dense_Dense1", "dense_Dense2")
"""The layers that were trained in the browser: ReLU after the first, softmax after the second, which has no bias."""

_LAYER_NAMES = {"global_average_pooling2d_GlobalAveragePooling2D1", *HEAD}


def is_export(config: dict[str, Any]) -> bool:
    """Whether a model's configuration is that of an export: its layers have names that only tensorflow.js creates."""
    return {layer["config"].get("name") for layer in _flat_layers(config)} >= _LAYER_NAMES


def build(path: Path, config: dict[str, Any]) -> Any:
    """Rebuild the model for Keras 3, as one Sequential with the file's weights.

    Raises:
        InputError: a weight is missing.
    """
    import h5py
    import keras

    first, *rest = _flat_layers(config)
    layers = [_rebuild_layer(layer) for layer in rest if layer["class_name"] != "InputLayer"]
    model = keras.Sequential([keras.Input(first["config"]["batch_input_shape"][1:]), *layers])
    with h5py.File(path) as file:
        saved = {
            (name.decode() if isinstance(name, bytes) else name): np.asarray(group[name])
            for group in file["model_weights"].values()
            for name in group.attrs["weight_names"]
        }
    for layer in model.layers:
        for part in getattr(layer, "layers", [layer]):
            for weight in part.weights:
                depthwise = "depthwise_" if type(part).__name__ == "DepthwiseConv2D" and weight.name == "kernel" else ""
                name = f"{part.name}/{depthwise}{weight.name}:0"
                if name not in saved:
                    raise InputError(f"{path} has no weight {name!r}: the file is damaged.")
                weight.assign(saved[name])
    return model


def _flat_layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers of a Sequential, including those of nested Sequentials, in order."""
    for layer in (config.get("config") or {}).get("layers") or []:
        if layer.get("class_name") == "Sequential":
            yield from _flat_layers(layer)
        else:
            yield layer


def _rebuild_layer(saved: dict[str, Any]) -> Any:
    """A layer, or the nested network, from its Keras 2 configuration."""
    import keras

    kind, config = saved["class_name"], copy.deepcopy(saved["config"])
    if kind != "Functional":
        return getattr(keras.layers, kind)(**{name: config[name] for name in _LAYER_ARGUMENTS if name in config})
    for part in config["layers"]:
        if part["class_name"] == "DepthwiseConv2D":
            part["config"].pop("groups", None)  # always 1; Keras 3 does not accept it
    network = keras.Model.from_config(config)
    # a model of one tensor instead of a list of tensors
    return keras.Model(network.inputs[0], network.outputs[0], name=saved["config"]["name"])
