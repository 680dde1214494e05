"""The source ``tfhub:``: SavedModels that compute features of images, from TF Hub or a local folder.

The package ``tensorflow_hub`` is not needed and could not be used: it cannot be imported with current setuptools, and
Keras 3 refuses its layer. TensorFlow reads a module once; its graph and weights become a Keras layer
(:mod:`headstart.bases.graph_layer`), which a run saves like any other layer.

Modules in TF2's format can be fine-tuned as a whole, except their BatchNormalization; those of TF1 stay frozen. A whole
classifier is used up to its top.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import BaseSpec, ImageBase, Preprocessing, files_sha256, refuse_pointers, refuse_weights
from headstart.bases.cached_facts import cached_facts
from headstart.bases.download import fetch_archive
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, field_name
from headstart.system import keras_worker
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder

UNIT_RANGE = Preprocessing("[0, 1]", 1 / 255)
"""The input range of TF Hub's modules: https://www.tensorflow.org/hub/common_signatures/images"""

_BUILT_IN = Preprocessing("built in")


def names() -> list[str]:
    """Names for ``tfhub:``: an empty list, because every address or folder is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> ImageBase:
    """Load a SavedModel.

    Raises:
        InputError: not a SavedModel, a model whose input is not an image, or a size that it does not accept.
        UnavailableError: it is not on this machine and cannot be downloaded, or TensorFlow is not installed.
    """
    refuse_weights(spec)
    if spec.folder:
        return from_folder(Path(spec.folder), spec)
    folder = _find_folder(parse_handle(spec.handle).name, progress)
    return from_folder(folder, spec if "://" in spec.handle else replace(spec, handle=f"tfhub:{folder}"))


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds a SavedModel."""
    return (folder / "saved_model.pb").is_file()


def from_folder(folder: Path, spec: BaseSpec, unscaled: Preprocessing = UNIT_RANGE) -> ImageBase:
    """Load a SavedModel from a local folder as the base of a spec.

    Args:
        folder: of the SavedModel.
        spec: of the base.
        unscaled: preprocessing for a model that does not scale pixels itself.

    Raises:
        InputError: see :func:`load`.
    """
    if not is_saved_model(folder):
        raise InputError(f"{folder} is not a SavedModel: expected a folder with saved_model.pb in it.")
    refuse_pointers(_files(folder))
    digest = files_sha256(_files(folder))
    cached = cache_folder() / "saved-models" / f"{digest[:32]}-3"  # 3: the version of what is written there
    choose_backend = partial(keras_worker.with_tensorflow, spec.handle)
    facts = cached_facts(cached, "headstart.bases.saved_model_reader:read_module", folder, spec.handle, choose_backend)
    size = _size(spec, facts["input_size"])
    return ImageBase(
        spec=spec,
        input_size=size,
        preprocessing=_BUILT_IN if facts["scales_itself"] else unscaled,
        build=partial(_build, cached, size),
        weights_path=folder / "saved_model.pb",
        weights_sha256=digest,
        files={path.relative_to(folder).as_posix(): path for path in _files(folder)},
        feature_dim=facts["feature_dim"],
        frozen_reason=facts["frozen"],
        backends=("tensorflow",),
        licence="see the module's page",
    )


def _find_folder(name: str, progress: Progress) -> Path:
    if "://" not in name:
        return Path(os.path.abspath(Path(name).expanduser()))
    # The cache of tensorflow_hub, so that the two share their downloads.
    cache = Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir(), "tfhub_modules")).expanduser()
    folder = cache / hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    if not is_saved_model(folder):
        separator = "&" if "?" in name else "?"
        fetch_archive(f"{name}{separator}tf-hub-format=compressed", folder, f"tfhub:{name}", progress)
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted([folder / "saved_model.pb", *folder.glob("variables/*"), *folder.glob("assets/*")])


def _size(spec: BaseSpec, fixed: list[int | None]) -> tuple[int, int]:
    size = spec.input_size
    if None in fixed:
        if size is None:
            raise InputError(
                f"{spec.handle} takes images of any size: set {field_name('input_size', 224)}, for example."
            )
        return size
    if size is not None and list(size) != fixed:
        raise InputError(
            f"{size[0]}x{size[1]} cannot be used with {spec.handle}: expected {fixed[0]}x{fixed[1]}.",
            field="input_size",
        )
    return int(fixed[0] or 0), int(fixed[1] or 0)


def _build(cached: Path, size: tuple[int, int], include_top: bool) -> Any:
    import keras

    from headstart.bases.graph_layer import GraphLayer

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("a module can only be used with the channel order it was built with, channels last")
    facts = json.loads((cached / "facts.json").read_text())
    layer = GraphLayer(
        (cached / "graph.txt").read_text(), facts["takes"], facts["gives"], facts["constants"], name="module"
    )
    inputs = keras.Input((*size, 3))
    network = keras.Model(inputs, layer(inputs), name="module_network")
    with np.load(cached / "weights.npz") as weights:
        layer.set_constants([weights[f"w{i}"] for i in range(len(facts["constants"]))])
    return network
