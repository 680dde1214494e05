"""What a Keras model file says of its model, read without Keras: the config, and the version of Keras that wrote it.

The config is JSON in every format: in a ``.keras`` archive, and in the HDF5 of Keras 1 and 2 and of Keras 3's ``.h5``.
The content decides which format it is, not the name: up to TensorFlow 2.12 a file named ``.keras`` is HDF5.
"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.bases.base import refuse_pointers
from headstart.errors import InputError, field_name

MODELS = ("Functional", "Model", "Sequential")
"""Classes of models in a config; up to TensorFlow 2.3, ``Model`` is the name of a functional model."""

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"


@dataclass(frozen=True)
class ModelFile:
    """A model file.

    Attributes:
        path: the file.
        config: of the model, as Keras wrote it.
        training: the arguments of ``compile``; None if the model was not compiled.
        version: of Keras, such as ``2.12.0`` or ``2.2.4-tf``; empty if the file does not state it.
        is_archive: whether it is a ``.keras`` archive; otherwise HDF5.
    """

    path: Path
    config: dict[str, Any]
    training: dict[str, Any] | None
    version: str
    is_archive: bool

    def __str__(self) -> str:
        """For messages: the path, and for old files the version of Keras."""
        return f"{self.path} (written by Keras {self.version})" if self.is_keras2 and self.version else str(self.path)

    @property
    def is_keras2(self) -> bool:
        """Whether Keras 2 wrote it. Converters such as tensorflow.js write the same form without a version."""
        if self.version:
            return self.version.startswith("2.")
        return not any("module" in layer for layer in layers_of(self.config))

    @property
    def input_shape(self) -> list[int | None] | None:
        """Shape of the first input with the batch, such as (n, h, w, c); None if the config does not state it."""
        shapes = (stated_shape(model) for model in (self.config, *all_layers(self.config)))
        return next(filter(None, shapes), None)


def read_model_file(path: Path) -> ModelFile:
    """Read the config of a model file.

    Raises:
        InputError: the file is damaged, not a Keras model, contains weights only, or was written by Keras 1.
    """
    refuse_pointers([path])
    try:
        file = _read_archive(path) if zipfile.is_zipfile(path) else _read_hdf5(path)
    except InputError:
        raise
    except (OSError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as exc:
        raise InputError(f"{path} is damaged or not a Keras model: {exc}.") from exc
    if not isinstance(file.config, dict):
        raise InputError(f"{path} is damaged or not a Keras model: its config is not a JSON object.")
    if file.version.startswith("1."):
        raise InputError(
            f"{path} was written by Keras {file.version}, which only Keras 1 and 2 can open. Load it with Keras 2 "
            "(TensorFlow 2.15 or older), save it again as .h5, and use the new file."
        )
    return file


def layers_of(model: dict[str, Any]) -> list[dict[str, Any]]:
    """Configs of the layers of a model, without those of nested models.

    Up to Keras 2.2.2, the config of a Sequential is the list itself.
    """
    config = model.get("config") or {}
    layers = config if isinstance(config, list) else config.get("layers") or []
    return [layer for layer in layers if isinstance(layer, dict)]


def all_layers(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Configs of all layers, including those of nested models, in order."""
    for layer in layers_of(model):
        yield layer
        yield from all_layers(layer)


def layer_name(layer: dict[str, Any]) -> str:
    """The name of a layer: Functional models state it beside the config, Sequential ones in it."""
    config = layer.get("config")
    return str(layer.get("name") or (config.get("name") if isinstance(config, dict) else None) or "")


def stated_shape(layer: dict[str, Any]) -> list[int | None] | None:
    """Shape with the batch that a layer or model states for its input, in its first layer or itself; else None."""
    for part in (*layers_of(layer)[:1], layer):
        config = part.get("config")
        options = config if isinstance(config, dict) else {}
        for shape in (
            *(options.get(name) for name in ("batch_shape", "batch_input_shape", "build_input_shape")),
            (part.get("build_config") or {}).get("input_shape"),
        ):
            if isinstance(shape, (list, tuple)) and shape and not isinstance(shape[0], (list, tuple, dict)):
                return list(shape)
    return None


def text_list(group: Any, name: str) -> list[str]:
    """A list of texts among the attributes of an HDF5 group; Keras splits a long one: ``name0``, ``name1``."""
    if name in group.attrs:
        parts = [group.attrs[name]]
    else:
        keys = iter(f"{name}{number}" for number in range(len(group.attrs)))
        parts = [group.attrs[key] for key in keys if key in group.attrs]
    return [_text(item) for part in parts for item in part]


def _read_archive(path: Path) -> ModelFile:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(CONFIG))
        metadata = json.loads(archive.read(METADATA)) if METADATA in archive.namelist() else {}
    return ModelFile(path, config, config.get("compile_config"), str(metadata.get("keras_version", "")), True)


def _read_hdf5(path: Path) -> ModelFile:
    import h5py

    with h5py.File(path) as file:
        version = _text(file.attrs.get("keras_version", ""))
        if "model_weights" in file and not version:
            version = _text(file["model_weights"].attrs.get("keras_version", ""))
        if "model_config" not in file.attrs:
            raise InputError(
                f"{path} contains weights only{f' (of Keras {version})' if version else ''}, without a model: expected "
                "a file from model.save(). For weights of a Keras Applications model, set "
                f"{field_name('base', 'keras:NAME')} and {field_name('weights', 'PATH')}. For weights of a model of "
                "your own, build the model in Python, call load_weights() and then save()."
            )
        config, training = (_parsed(file.attrs.get(name)) for name in ("model_config", "training_config"))
    return ModelFile(path, config, training, version, False)


def _parsed(text: Any) -> Any:
    return None if text is None else json.loads(_text(text))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
