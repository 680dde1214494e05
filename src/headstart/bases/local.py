"""The source ``file:``: a Keras model of the user's own without its top: ``.keras``, full-model ``.h5`` or SavedModel.

The file's configuration is read and checked without Keras, so that a wrong file is refused at once. No code from a file
is ever executed: models that need Python code of their own (Lambda, custom classes) are refused. Files of Keras 2 are
rebuilt by :mod:`headstart.bases.keras2`.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.bases import keras2, saved_model, teachable_machine
from headstart.bases.base import BaseSpec, ImageBase, Preprocessing, refuse_weights
from headstart.bases.handle import parse_handle
from headstart.bases.model_config import MODELS, ModelFile, all_layers, layer_name, read_model_file
from headstart.errors import InputError, field_name, one_line
from headstart.system import keras_compat
from headstart.system.checksums import file_sha256
from headstart.system.progress import NO_PROGRESS, Progress

logger = logging.getLogger(__name__)

_BUILT_IN = Preprocessing("built in")
_NONE = Preprocessing("none")
_CODE_LAYERS = {"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer"}
_ARITHMETIC = {"Rescaling", "Normalization", "TrueDivide", "Divide", "Subtract", "Multiply", "Add"}
_OTHER_FLOATS = ("float16", "bfloat16", "float64")
_SAFE_MODULES = {"keras", "builtins"}
_SUFFIXES = (".keras", ".h5", ".hdf5")


def names() -> list[str]:
    """Names for ``file:``: an empty list, because every path is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> ImageBase:
    """Load a model file, see :func:`from_file`, or a SavedModel."""
    name = Path(parse_handle(spec.handle).name)
    if spec.folder and saved_model.is_saved_model(Path(spec.folder)):
        return _from_saved_model(Path(spec.folder), spec)
    path = _model_path(Path(spec.folder, name.name) if spec.folder else name)
    spec = spec if spec.folder else replace(spec, handle=f"file:{path}")
    if path.is_dir():
        return _from_saved_model(path, spec)
    base = from_file(path, spec)
    # For a run folder, the bundle contains the folder too, so that the same handle works with the bundle.
    return base if path.name == name.name else replace(base, files={f"{name.name}/{path.name}": path})


def from_file(path: Path, spec: BaseSpec) -> ImageBase:
    """Load a model file as the base of a spec, up to ``spec.feature_layer`` or else without its top.

    Raises:
        InputError: no such file, not a Keras model of one RGB image, a model with code of its own, or a size that it
            does not accept.
    """
    refuse_weights(spec)
    file = read_model_file(path)
    refuse_code(file)
    resize: dict[str, Any] = {}
    if teachable_machine.is_export(file.config):
        preprocessing = teachable_machine.PREPROCESSING
        resize = {"resize": "crop", "resize_rule": teachable_machine.RESIZE_RULE}
    elif _has_preprocessing(file):
        preprocessing = _BUILT_IN
    else:
        preprocessing = _NONE
        _warn_about_scaling(spec)
    return ImageBase(
        spec=spec,
        input_size=_input_size(file, spec),
        preprocessing=preprocessing,
        build=partial(_build, path, spec.feature_layer),
        weights_path=path,
        weights_sha256=file_sha256(path),
        licence="your own file",
        **resize,
    )


def _model_path(name: Path) -> Path:
    """The absolute path of the model file, or of a SavedModel's folder; for a run folder, of its model."""
    path = Path(os.path.abspath(name.expanduser()))  # a child process may have another working directory
    if path.is_dir() and (path / "model.keras").is_file():
        path = path / "model.keras"
    if saved_model.is_saved_model(path):
        return path
    if not path.is_file():
        raise InputError(
            f"no model file at {path}: expected a .keras or full-model .h5 file, the folder of a SavedModel, or a run "
            "folder."
        )
    if path.suffix not in _SUFFIXES:
        raise InputError(f"cannot use {path} as a base: expected a file that ends in .keras or .h5.")
    return path


def _from_saved_model(folder: Path, spec: BaseSpec) -> ImageBase:
    """A SavedModel: Keras 2 writes it for a name without ``.h5`` or ``.keras``, ``export()`` of Keras 3 always."""
    refuse_weights(spec)
    if spec.feature_layer:
        raise InputError(
            f"{folder} is a SavedModel, in which layers have no names: leave out {field_name('feature_layer')}, or "
            "save the model as a .keras or .h5 file."
        )
    base = saved_model.from_folder(folder, spec, unscaled=_NONE)
    if base.preprocessing == _NONE:
        _warn_about_scaling(spec)
    return replace(base, licence="your own file")


def _warn_about_scaling(spec: BaseSpec) -> None:
    logger.warning(
        f"{spec.handle} seems to contain no preprocessing (no Rescaling or Normalization before its first weights): it "
        "will receive raw pixels from 0 to 255. If it was trained on other values, put a Rescaling layer in front of "
        "it and save it again."
    )


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


def refuse_code(file: ModelFile) -> None:
    """Refuse a file whose model would run code from outside Keras, or of which Keras 3 lacks a part.

    Raises:
        InputError: it has a Lambda, a custom class, or a layer of Keras 2 that has no counterpart.
    """
    for item in _objects(file.config):
        kind = item.get("class_name")
        if kind in _CODE_LAYERS:
            raise InputError(
                f"{file} has a {kind.strip('_')} layer, which runs code stored in or beside the file: refused. "
                f"Replace {layer_name(item) or 'it'} with ordinary Keras layers (Rescaling for the scaling of "
                "pixels) and save the model again."
            )
    if file.is_keras2:
        keras2.refuse_unknown_layers(file)
        return
    for item in _objects(file.config):
        kind, module = item.get("class_name"), item.get("module")
        # Keras 3 states no module of the whole model in HDF5.
        is_own_model = item is file.config and kind not in MODELS
        foreign = (
            module.partition(".")[0] not in _SAFE_MODULES if module else item.get("registered_name") or is_own_model
        )
        if kind and foreign:
            raise InputError(
                f"{file.path} needs the class {kind!r}{f' of the Python module {module!r}' if module else ''}"
                f"{f' for its layer {layer_name(item)!r}' if layer_name(item) else ''}, which is not part of Keras: "
                "expected a model of Keras's own layers. Replace it, or save the part before it as a separate model."
            )


def _has_preprocessing(file: ModelFile) -> bool:
    """Whether pixels are scaled before the first weights, or the model takes uint8."""
    for layer in all_layers(file.config):
        inner = layer.get("config") or {}
        if layer.get("class_name") in _ARITHMETIC or keras2.is_arithmetic(layer):
            return True
        if layer.get("class_name") == "InputLayer" and inner.get("dtype") == "uint8":
            return True
        if isinstance(inner, dict) and not {"kernel_initializer", "depthwise_initializer"}.isdisjoint(inner):
            return False
    return False


def _input_size(file: ModelFile, spec: BaseSpec) -> tuple[int, int]:
    path, config = file.path, file.config.get("config")
    inputs = config.get("input_layers") or [] if isinstance(config, dict) else []
    if len(inputs) > 1 and (isinstance(inputs, dict) or isinstance(inputs[0], list)):
        raise InputError(f"{path} has {len(inputs)} inputs: expected a model of one image.")
    shape = file.input_shape or [None, None, None, 3]
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
    try:
        file = read_model_file(path)
        if file.is_keras2:
            return keras2.build(file)
        return _in_float32(keras_compat.load_model(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as exc:
        if isinstance(exc, InputError):
            raise
        raise InputError(f"Keras cannot load {path}: {one_line(str(exc))}") from exc


def _in_float32(model: Any) -> Any:
    """The same model, computing in float32: mixed precision makes training faster, and inference less exact.

    Its weights are float32 under mixed precision, too. Engines other than TensorFlow do not mix types.
    """
    if not any(layer.compute_dtype in _OTHER_FLOATS for layer in keras_compat.all_layers(model)):
        return model
    rebuilt = type(model).from_config(_without_policies(model.get_config()))
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def _without_policies(value: Any) -> Any:
    """A config with float32 in place of every other dtype policy, and of every other float dtype."""
    if isinstance(value, list):
        return [_without_policies(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {name: _without_policies(item) for name, item in value.items()}
    dtype = changed.get("dtype")
    if isinstance(dtype, dict) or (isinstance(dtype, str) and "float" in dtype):
        changed["dtype"] = "float32"
    return changed


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
