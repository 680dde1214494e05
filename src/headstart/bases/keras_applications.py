"""The source ``keras:``: the image models of Keras Applications, with Keras's own weights files."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import BaseSpec, ImageBase
from headstart.bases.handle import Handle, parse_handle
from headstart.bases.keras_table import (
    IMAGENET_STD,
    MOBILENET_V3_DIGESTS,
    MODELS,
    OPTIONS,
    PUBLISHED_ALPHAS,
    PUBLISHED_SIZES,
    Model,
)
from headstart.bases.keras_weights import Published, find_or_fetch, keras_folder, load_weights
from headstart.bases.random_weights import set_random_weights
from headstart.errors import InputError, did_you_mean, field_name
from headstart.system.checksums import file_sha256
from headstart.system.progress import NO_PROGRESS, Progress

_BY_LOWER_NAME = {model.name.lower(): model for model in MODELS}
_MOBILENET_ALPHA = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}  # alpha in the names of its files


def names() -> list[str]:
    """All names for ``keras:``."""
    return [model.name for model in MODELS]


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> ImageBase:
    """Load a model of Keras Applications.

    Raises:
        InputError: an unknown name or option, a size that the model does not accept, or no file at ``spec.weights``.
        UnavailableError: the weights are not on this machine and cannot be downloaded.
        IntegrityError: the weights file differs from the file that Keras publishes.
    """
    model, options = _parse(spec.handle)
    changed_options = tuple((key, value) for key, value in options.items() if value != OPTIONS[model.name][key])
    weights_spec = spec.weights
    if weights_spec not in ("imagenet", "none"):  # absolute: a child process may have another working directory
        weights_spec = os.path.abspath(Path(weights_spec).expanduser())
    spec = replace(spec, handle=str(Handle("keras", model.name, changed_options)), weights=weights_spec)
    size = spec.input_size or (model.default_size, model.default_size)
    if min(size) < model.min_size:
        raise InputError(
            f"{size[0]}x{size[1]} is too small for {spec.handle}: expected at least {model.min_size} pixels per side.",
            field="input_size",
        )
    weights = partial(_weights_path, model, options, spec, size, progress)
    path = weights(include_top=False)
    return ImageBase(
        spec=spec,
        input_size=size,
        preprocessing=model.preprocessing,
        build=partial(_build, model, options, size, weights, spec.handle),
        weights_path=path,
        weights_sha256=file_sha256(path) if path else "random",
        feature_dim=_feature_dim(model, options),
        licence="see keras.io/api/applications (Keras's own code: Apache-2.0)",
    )


def find(name: str) -> Model:
    """Find the facts about a model by its name, case-insensitive.

    Raises:
        InputError: there is no such model.
    """
    model = _BY_LOWER_NAME.get(name.lower())
    if model is None:
        raise InputError(
            f"Keras Applications has no model {name!r}: `headstart bases` lists them." + did_you_mean(name, names())
        )
    return model


def is_local(model: Model) -> bool:
    """Whether the published weights of the model, with default options, are in Keras's folder."""
    size = (model.default_size, model.default_size)
    published = published_weights(model, OPTIONS.get(model.name, {}), size, include_top=False)
    return (keras_folder() / published.file).is_file()


def _parse(handle: str) -> tuple[Model, dict[str, Any]]:
    """The model, and the values of all its options."""
    parsed = parse_handle(handle)
    model = find(parsed.name)
    known_options = OPTIONS.get(model.name, {})
    options = dict(known_options)
    for key, value in parsed.options:
        if key not in known_options:
            expected = f"expected {', '.join(known_options)}" if known_options else "it has no options"
            raise InputError(f"unknown option {key!r} in {handle!r}: {expected}." + did_you_mean(key, known_options))
        expected = "true or false" if isinstance(known_options[key], bool) else "a number above 0"
        options[key] = _parse_option(value, known_options[key])
        if options[key] is None:
            raise InputError(f"invalid option {key}={value} in {handle!r}: expected {expected}.")
    return model, options


def _parse_option(value: Any, default: bool | float) -> bool | float | None:
    """The value in the type of its default, or None if it is invalid."""
    if isinstance(default, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < 100 else None


def _feature_dim(model: Model, options: dict[str, Any]) -> int:
    alpha = options.get("alpha", 1.0)
    if alpha == 1.0:
        return model.feature_dim
    if model.name == "MobileNet":
        return int(model.feature_dim * alpha)
    if model.name == "MobileNetV2":  # its last layer never becomes narrower, as in the paper
        return _divisible(model.feature_dim * max(alpha, 1.0))
    return _divisible(_divisible(model.feature_dim / 6 * alpha) * 6)


def _divisible(width: float) -> int:
    """The multiple of 8 nearest to ``width``, but at least 90 % of it."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def published_weights(model: Model, options: dict[str, Any], size: tuple[int, int], *, include_top: bool) -> Published:
    """The file that Keras itself would load; only for the MobileNets, it depends on options and the input size.

    Raises:
        InputError: no weights are published for these options.
    """
    if model.name in PUBLISHED_ALPHAS:
        return _mobilenet_weights(model, options, size, include_top)
    is_nasnet = model.name.startswith("NASNet")
    url = model.url + ("" if include_top else "-no-top" if is_nasnet else "_notop") + ".h5"
    file = url.rpartition("/")[2]
    if is_nasnet:
        file = file.lower().replace("-", "_")
    return Published(file, url, model.digests[0 if include_top else 1])


def _mobilenet_weights(model: Model, options: dict[str, Any], size: tuple[int, int], include_top: bool) -> Published:
    alpha, minimalistic = options["alpha"], options.get("minimalistic", False)
    alphas = (1.0,) if minimalistic else PUBLISHED_ALPHAS[model.name]
    if alpha not in alphas:
        raise InputError(
            f"no ImageNet weights are published for keras:{model.name} with alpha={alpha}"
            f"{' and minimalistic=True' if minimalistic else ''}: expected alpha of {', '.join(map(str, alphas))}; "
            f"or set {field_name('weights', 'PATH')} to a file of your own."
        )
    square = size[0] if size[0] == size[1] and size[0] in PUBLISHED_SIZES.get(model.name, ()) else 224
    alpha_text = _MOBILENET_ALPHA[alpha] if model.name == "MobileNet" else str(alpha)
    stem = model.url.format(alpha=alpha_text, size=square, minimalistic="_minimalistic" if minimalistic else "")
    is_v3 = model.name.startswith("MobileNetV3")
    url = stem + ("" if include_top else "_no_top_v2" if is_v3 else "_no_top") + ".h5"
    digests = ("", "")
    if is_v3:
        digests = MOBILENET_V3_DIGESTS[stem.rpartition("mobilenet_v3_")[2].removesuffix("_float")]
    return Published(url.rpartition("/")[2], url, digests[0 if include_top else 1])


def _weights_path(
    model: Model,
    options: dict[str, Any],
    spec: BaseSpec,
    size: tuple[int, int],
    progress: Progress,
    *,
    include_top: bool,
) -> Path | None:
    if spec.weights == "none":
        return None
    if spec.weights == "imagenet":
        published = published_weights(model, options, size, include_top=include_top)
        return find_or_fetch(published, spec.handle, spec.folder, progress)
    path = Path(spec.weights)
    if not path.is_file():
        raise InputError(
            f"no weights file at {path}: expected 'imagenet', 'none' or the path of a file for {spec.handle}.",
            field="weights",
        )
    return path


def _build(
    model: Model,
    options: dict[str, Any],
    size: tuple[int, int],
    weights: Callable[..., Path | None],
    handle: str,
    include_top: bool,
) -> Any:
    import keras

    path = weights(include_top=include_top)
    order = keras.config.image_data_format()
    # DenseNet and NASNet cannot be built with channels first, although all of their layers support it.
    converts_channels = order == "channels_first" and model.name.startswith(("DenseNet", "NASNet"))
    constructor_options = dict(options)
    if model.name.startswith("ConvNeXt") and not include_top:
        # In the original the last normalisation follows the pooling; in Keras it does only with built-in pooling.
        constructor_options["pooling"] = "avg"
    channels_first = order == "channels_first" and not converts_channels
    shape = (3, *size) if channels_first else (*size, 3)
    try:
        if converts_channels:
            keras.config.set_image_data_format("channels_last")
        constructor = getattr(keras.applications, model.name)
        network = constructor(include_top=include_top, weights=None, input_shape=shape, **constructor_options)
    finally:
        keras.config.set_image_data_format(order)
    if converts_channels or model.name.startswith("EfficientNet"):
        network = _rewrite(network, keras.Input((3, *size)) if converts_channels else None)
    if path is None:
        set_random_weights(network)
        return network
    load_weights(network, path, handle)
    if model.name.startswith("EfficientNetB"):
        _correct_normalisation(network)
    return network


def _rewrite(network: Any, channels_first_input: Any | None) -> Any:
    """The same function as another graph: without Reshape layers, and with channels first if such an input is passed.

    Squeeze-and-excitation pools to (n, c) and reshapes to (n, 1, 1, c). Keras's export from its OpenVINO backend fixes
    the batch size of a Reshape layer at 1, so that the graph accepts no other one. Pooling with kept dimensions gives
    the same result.
    """
    import keras

    def rewrite_layer(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name.endswith("se_reshape"):
            return keras.layers.Identity(name=layer.name)
        if layer.name.endswith("se_squeeze"):
            config["keepdims"] = True
        if channels_first_input is not None:
            if "data_format" in config:
                config["data_format"] = "channels_first"
            if config.get("axis") in (3, -1):
                config["axis"] = 1
        return type(layer).from_config(config)

    return keras.models.clone_model(network, input_tensors=channels_first_input, clone_function=rewrite_layer)


def _correct_normalisation(network: Any) -> None:
    """Make EfficientNetB0 to B7 divide by the standard deviation once, as their published weights require.

    The published files contain the standard deviation where the layer expects the variance. Keras compensates for it by
    a second rescaling, but only for ``weights="imagenet"``: the same file loaded from a path silently gives other
    features. Squaring the stored value gives the correct function in both cases, without a second layer. Files with
    other values than the published ones are not changed.

    Source: https://github.com/tensorflow/tensorflow/issues/49930
    """
    for layer in network.layers:
        if type(layer).__name__ == "Normalization":
            stored = np.asarray(layer.adapt_variance)
            if np.allclose(stored, IMAGENET_STD, atol=1e-4):
                layer.adapt_variance.assign(stored**2)
                layer.finalize_state()
