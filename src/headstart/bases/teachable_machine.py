"""Teachable Machine's exports: ``keras_model.h5``, which Keras 3 refuses, rebuilt from its configuration and weights.

Such a file is a Sequential of two: MobileNetV2 with its pooling, and the head that was trained in the browser. It comes
from tensorflow.js by way of Keras 2, with an argument of depthwise convolutions and a nesting that Keras 3 refuses.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import Preprocessing
from headstart.errors import InputError

PREPROCESSING = Preprocessing("[-1, 1]", 1 / 127.5, -1.0)
"""What the code that it exports beside the model does."""

_KEPT = ("name", "units", "activation", "use_bias")
HEAD = ("dense_Dense1", "dense_Dense2")
"""Its layers that were trained in the browser: ReLU after the first, softmax after the second, which has no bias."""

_ITS_NAMES = {"global_average_pooling2d_GlobalAveragePooling2D1", *HEAD}


def is_export(config: dict[str, Any]) -> bool:
    """Whether a model's configuration is that of an export: it alone takes over the names that tensorflow.js gives."""
    return {layer["config"].get("name") for layer in _flat(config)} >= _ITS_NAMES


def build(path: Path, config: dict[str, Any]) -> Any:
    """The model as Keras 3 has it: one Sequential, with the file's weights.

    Raises:
        InputError: a weight is missing.
    """
    import h5py
    import keras

    first, *rest = _flat(config)
    layers = [_layer(layer) for layer in rest if layer["class_name"] != "InputLayer"]
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


def _flat(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers of a Sequential, those of Sequentials in it in their place."""
    for layer in (config.get("config") or {}).get("layers") or []:
        if layer.get("class_name") == "Sequential":
            yield from _flat(layer)
        else:
            yield layer


def _layer(saved: dict[str, Any]) -> Any:
    """One of the layers, or the network, of its configuration by Keras 2."""
    import keras

    kind, config = saved["class_name"], copy.deepcopy(saved["config"])
    if kind != "Functional":
        return getattr(keras.layers, kind)(**{name: config[name] for name in _KEPT if name in config})
    for part in config["layers"]:
        if part["class_name"] == "DepthwiseConv2D":
            part["config"].pop("groups", None)  # always 1; Keras 3 does not know it
    network = keras.Model.from_config(config)
    return keras.Model(
        network.inputs[0], network.outputs[0], name=saved["config"]["name"]
    )  # of one tensor, and not of lists
