"""The source ``file:``: a Keras model of the user's own, as ``.keras`` or full-model ``.h5``, without its top.

The file's configuration is read and checked without Keras, so that a wrong file is refused at once. No code from a file
is ever executed: models that need Python code of their own (Lambda, custom classes) are refused.
"""

import json
import logging
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.bases import teachable_machine
from headstart.bases.base import BaseSpec, ImageBase, Preprocessing, refuse_weights
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, field_name
from headstart.system.checksums import file_sha256
from headstart.system.progress import NO_PROGRESS, Progress

logger = logging.getLogger(__name__)

_BUILT_IN = Preprocessing("built in")
_NONE = Preprocessing("none")
_CODE_LAYERS = {"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer"}
_ARITHMETIC = {"Rescaling", "Normalization", "TrueDivide", "Divide", "Subtract", "Multiply", "Add"}
_SAFE_MODULES = {"keras", "builtins"}


def names() -> list[str]:
    """Names for ``file:``: an empty list, because every path is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> ImageBase:
    """Load a model file; see :func:`from_file`."""
    name = Path(parse_handle(spec.handle).name)
    path = _model_path(Path(spec.folder, name.name) if spec.folder else name)
    base = from_file(path, spec if spec.folder else replace(spec, handle=f"file:{path}"))
    # For a run folder, the bundle contains the folder too, so that the same handle works with the bundle.
    return base if path.name == name.name else replace(base, files={f"{name.name}/{path.name}": path})


def from_file(path: Path, spec: BaseSpec) -> ImageBase:
    """Load a model file as the base of a spec, up to ``spec.feature_layer`` or else without its top.

    Raises:
        InputError: no such file, not a Keras model of one RGB image, a model with code of its own, or a size that it
            does not accept.
    """
    refuse_weights(spec)
    config = read_config(path)
    refuse_code(path, config)
    resize: dict[str, Any] = {}
    if teachable_machine.is_export(config):
        preprocessing = teachable_machine.PREPROCESSING
        resize = {"resize": "crop", "resize_rule": teachable_machine.RESIZE_RULE}
    elif _has_preprocessing(config):
        preprocessing = _BUILT_IN
    else:
        preprocessing = _NONE
        logger.warning(
            f"{spec.handle} seems to contain no preprocessing (no Rescaling or Normalization before its first "
            "weights): it will receive raw pixels from 0 to 255. If it was trained on other values, put a Rescaling "
            "layer in front of it and save it again."
        )
    return ImageBase(
        spec=spec,
        input_size=_input_size(path, config, spec),
        preprocessing=preprocessing,
        build=partial(_build, path, spec.feature_layer),
        weights_path=path,
        weights_sha256=file_sha256(path),
        licence="your own file",
        **resize,
    )


def _model_path(name: Path) -> Path:
    """The absolute path of the model file; for a run folder, of its model."""
    path = Path(os.path.abspath(name.expanduser()))  # a child process may have another working directory
    if path.is_dir() and (path / "model.keras").is_file():
        path = path / "model.keras"
    if not path.is_file():
        raise InputError(f"no model file at {path}: expected a .keras or full-model .h5 file, or a run folder.")
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise InputError(f"cannot use {path} as a base: expected a file that ends in .keras or .h5.")
    return path


def read_config(path: Path) -> dict[str, Any]:
    """Read the model's configuration, which is JSON in both file formats.

    Raises:
        InputError: the file is damaged, not a Keras model, or contains weights only.
    """
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py

        with h5py.File(path) as file:
            text = file.attrs.get("model_config")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as exc:
        raise InputError(f"{path} is damaged or not a Keras model: {exc}.") from exc
    if text is None:
        raise InputError(
            f"{path} contains weights only, without a model: expected a file from model.save(). For weights of a Keras "
            f"Applications model, set {field_name('base', 'keras:NAME')} and {field_name('weights', 'PATH')}."
        )
    return json.loads(text)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every dict in a configuration, except in the configuration of ``compile``."""
    if isinstance(value, dict):
        yield value
        for key, part in value.items():
            if key != "compile_config":
                yield from _objects(part)
    elif isinstance(value, list):
        for part in value:
            yield from _objects(part)


def refuse_code(path: Path, config: dict[str, Any]) -> None:
    """Refuse a configuration whose model would run code from outside Keras.

    Raises:
        InputError: it has a Lambda or a custom class.
    """
    for item in _objects(config):
        kind, module = item.get("class_name"), item.get("module")
        if kind in _CODE_LAYERS:
            raise InputError(
                f"{path} has a {kind.strip('_')} layer, which runs code stored in or beside the file: refused. "
                "Replace it with ordinary Keras layers and save the model again."
            )
        foreign = module.partition(".")[0] not in _SAFE_MODULES if module else bool(item.get("registered_name"))
        if kind and foreign:
            raise InputError(
                f"{path} needs the class {kind!r}{f' of the Python module {module!r}' if module else ''}, which is not "
                "part of Keras: expected a model of Keras's own layers. Replace it, or save the part before it as a "
                "separate model."
            )


def _layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Configurations of all layers, including those of nested models, in order."""
    for layer in (config.get("config") or {}).get("layers") or []:
        yield layer
        yield from _layers(layer)


def _has_preprocessing(config: dict[str, Any]) -> bool:
    """Whether pixels are scaled before the first weights, or the model takes uint8."""
    for layer in _layers(config):
        inner = layer.get("config") or {}
        if layer.get("class_name") in _ARITHMETIC:
            return True
        if layer.get("class_name") == "InputLayer" and inner.get("dtype") == "uint8":
            return True
        if "kernel_initializer" in inner or "depthwise_initializer" in inner:
            return False
    return False


def _input_shape(config: dict[str, Any]) -> list[int | None] | None:
    """(n, h, w, c) of the first input, or None if the configuration does not state it."""
    for layer in _layers(config):
        inner = layer.get("config") or {}
        shape = inner.get("batch_shape") or inner.get("batch_input_shape")
        if shape:
            return list(shape)
    return (config.get("build_config") or {}).get("input_shape")


def _input_size(path: Path, config: dict[str, Any], spec: BaseSpec) -> tuple[int, int]:
    inputs = (config.get("config") or {}).get("input_layers") or []
    if len(inputs) > 1 and (isinstance(inputs, dict) or isinstance(inputs[0], list)):
        raise InputError(f"{path} has {len(inputs)} inputs: expected a model of one image.")
    shape = _input_shape(config)
    if shape is None:
        shape = [None, None, None, 3]
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(f"{path} takes inputs of shape {tuple(shape)}: expected RGB images, (n, height, width, 3).")
    for saved, requested in zip(shape[1:3], spec.input_size or (None, None), strict=True):
        if saved is None and requested is None:
            raise InputError(f"{path} takes images of any size: set {field_name('input_size', 224)}, for example.")
        if saved is not None and requested is not None and saved != requested:
            raise InputError(
                f"{requested} cannot be used with {path}: the model was saved for {shape[1]}x{shape[2]} pixels.",
                field="input_size",
            )
    height, width = spec.input_size or shape[1:3]
    return int(height or 0), int(width or 0)


def open_model(path: Path) -> Any:
    """Open the whole model in a file, not compiled; no code from the file is executed.

    Raises:
        InputError: Keras cannot load it.
    """
    import keras

    try:
        config = read_config(path)
        if teachable_machine.is_export(config):
            return teachable_machine.build(path, config)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as exc:
        raise InputError(f"Keras cannot load {path}: {' '.join(str(exc).split())[:400]}") from exc


def _build(path: Path, feature_layer: str | None, include_top: bool) -> Any:
    import keras

    from headstart.bases.feature_layer import inline_nested_models, remove_top, truncate_at

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("a saved model can only be used with the channel order it was built with, channels last")
    model = open_model(path)
    if include_top:
        return model
    network = truncate_at(model, feature_layer, str(path)) if feature_layer else remove_top(model, str(path))
    return inline_nested_models(network)
