"""The source ``preset:``: KerasHub's presets by name, stored on Kaggle, or a folder that ``save_to_preset`` wrote."""

import importlib
import json
import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from headstart.bases import huggingface, kaggle, kerashub
from headstart.bases.base import Base, BaseSpec
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, did_you_mean
from headstart.system import keras_worker
from headstart.system.atomic import atomic_file
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder


def names() -> list[str]:
    """Names for ``preset:``: an empty list, because reading them from KerasHub takes seconds."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> Base:
    """Load a preset.

    Raises:
        InputError: there is no such preset, or its input is neither images nor texts.
        UnavailableError: it is not on this machine and cannot be downloaded, or KerasHub is not installed.
    """
    name = parse_handle(spec.handle).name
    kerashub.check_installed(spec.handle)
    if spec.folder:
        return _from_folder(Path(spec.folder), spec)
    local = Path(os.path.abspath(Path(name).expanduser()))
    if local.is_dir():
        return _from_folder(local, replace(spec, handle=f"preset:{local}"))
    return kerashub.from_folder(kaggle.find_or_fetch(_kaggle_handle(name), spec.handle), spec)


def _from_folder(folder: Path, spec: BaseSpec) -> Base:
    """Load a folder, which may also contain a model of Hugging Face."""
    return (huggingface if huggingface.is_model(folder) else kerashub).from_folder(folder, spec)


def _kaggle_handle(name: str) -> str:
    """The Kaggle handle of a preset. All handles are read once and cached, because that needs an import of KerasHub."""
    cached = cache_folder() / "kerashub" / f"presets-{version('keras-hub')}.json"
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        handles = keras_worker.call("headstart.bases.preset:list_presets", {}, backend=kerashub.kerashub_backend())
        with atomic_file(cached, shared=True) as path:
            path.write_text(json.dumps(handles))
    handles = json.loads(cached.read_text())
    if name not in handles:
        raise InputError(
            f"preset:{name}: there is no such folder, and KerasHub {version('keras-hub')} has no such preset."
            + did_you_mean(name, handles)
        )
    return handles[name]


def list_presets() -> dict[str, str]:
    """Name -> handle on Kaggle, for all presets of KerasHub. Runs in a Keras process."""
    presets = importlib.import_module("keras_hub").models.Backbone.presets
    prefix = "kaggle://"
    return {
        name: facts["kaggle_handle"].removeprefix(prefix)
        for name, facts in presets.items()
        if facts.get("kaggle_handle", "").startswith(prefix)
    }
