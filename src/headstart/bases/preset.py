"""The source ``preset:``: KerasHub's presets by name, which lie on Kaggle, or a folder that ``save_to_preset`` made."""

import importlib
import json
import os
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from headstart.bases import kaggle, kerashub
from headstart.bases.base import Base, BaseSpec
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, did_you_mean
from headstart.system import keras_worker
from headstart.system.settings import cache_folder


def names() -> list[str]:
    """Names that follow ``preset:``: only KerasHub knows them, and to ask it takes seconds."""
    return []


def load(spec: BaseSpec) -> Base:
    """Give a preset as a base.

    Raises:
        InputError: there is no such preset, or it is for neither images nor texts.
        UnavailableError: it is not here and cannot be fetched, or KerasHub is not installed.
    """
    name = parse_handle(spec.handle).name
    kerashub.check_installed(spec.handle)
    if spec.folder:
        return kerashub.from_folder(Path(spec.folder), spec)
    local = Path(os.path.abspath(Path(name).expanduser()))
    if local.is_dir():
        return kerashub.from_folder(local, replace(spec, handle=f"preset:{local}"))
    return kerashub.from_folder(kaggle.find_or_fetch(_kaggle_handle(name), spec.handle), spec)


def _kaggle_handle(name: str) -> str:
    """Where a preset lies; all are asked for once, because that means importing KerasHub."""
    kept = cache_folder() / "kerashub" / f"presets-{version('keras-hub')}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        handles = keras_worker.call("headstart.bases.preset:list_presets", {}, backend=kerashub.backend())
        with tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False) as file:
            json.dump(handles, file)
        os.replace(file.name, kept)
    known = json.loads(kept.read_text())
    if name not in known:
        raise InputError(
            f"preset:{name}: there is no such folder, and KerasHub {version('keras-hub')} has no such preset."
            + did_you_mean(name, known)
        )
    return known[name]


def list_presets() -> dict[str, str]:
    """Name -> handle on Kaggle, of all presets of KerasHub. In a Keras process."""
    presets = importlib.import_module("keras_hub").models.Backbone.presets
    prefix = "kaggle://"
    return {
        name: facts["kaggle_handle"].removeprefix(prefix)
        for name, facts in presets.items()
        if facts.get("kaggle_handle", "").startswith(prefix)
    }
