"""The source ``kaggle:``: Kaggle Models, by the client ``kagglehub`` and in its cache.

The files of a model show its kind: a preset of KerasHub, a SavedModel of TensorFlow, or a Keras model file.
"""

import logging
import os
import re
from dataclasses import replace
from pathlib import Path

from headstart.bases import huggingface, kerashub, local, saved_model
from headstart.bases.base import Base, BaseSpec
from headstart.bases.bundle import offline_reason, unavailable_error
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, field_name, one_line
from headstart.system.extras import require
from headstart.system.progress import NO_PROGRESS, Progress

logger = logging.getLogger(__name__)

_HANDLE = re.compile(r"[\w.-]+(?:/[\w.-]+){3}(?:/\d+)?")


def names() -> list[str]:
    """Names for ``kaggle:``: an empty list, because every model is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> Base:
    """Load a model from Kaggle; the handle of the base names its version.

    Raises:
        InputError: a malformed handle, or files of an unsupported kind.
        UnavailableError: the model is not on this machine and cannot be downloaded.
    """
    name = parse_handle(spec.handle).name
    if not _HANDLE.fullmatch(name):
        raise InputError(
            f"{spec.handle}: expected kaggle:OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION], for instance "
            "kaggle:keras/resnetv1/keras/resnet_50_imagenet."
        )
    if spec.folder:
        folder = Path(spec.folder)
    else:
        folder = find_or_fetch(name, spec.handle)
        spec = replace(spec, handle=f"kaggle:{'/'.join(name.split('/')[:4])}/{folder.name}")
    if (folder / "config.json").is_file():
        return (huggingface if huggingface.is_model(folder) else kerashub).from_folder(folder, spec)
    if saved_model.is_saved_model(folder):
        return saved_model.from_folder(folder, spec)
    files = [path for suffix in ("*.keras", "*.h5", "*.hdf5") for path in sorted(folder.rglob(suffix))]
    if len(files) == 1:
        return local.from_file(files[0], spec)
    names_of_files = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "no files"
    raise InputError(
        f"{spec.handle} has {names_of_files} (in {folder}): expected a preset of KerasHub, a SavedModel, or one .keras "
        f"or .h5 file. If there are several model files, choose one by {field_name('base', 'file:PATH')}."
    )


def find_or_fetch(handle: str, name: str) -> Path:
    """The folder of a Kaggle model, after a download if necessary.

    If the handle has no version, the newest version on this machine is used; otherwise the newest on Kaggle.

    Args:
        handle: OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION].
        name: of the base, for messages.

    Raises:
        UnavailableError: it is not on this machine and cannot be downloaded.
    """
    *parts, version = handle.split("/") if handle.count("/") == 4 else (*handle.split("/"), "")
    cache = Path(os.environ.get("KAGGLEHUB_CACHE") or "~/.cache/kagglehub").expanduser()
    variation = cache.joinpath("models", *parts)
    reason = offline_reason()
    cached_version = _version_on_this_machine(variation, version, partly=bool(reason))
    if cached_version:
        return cached_version
    number = version or "VERSION"
    alternative = f"Or copy its files into {variation}/{number}, and create an empty file {number}.complete beside it."
    if reason:
        raise unavailable_error(name, reason, alternative)
    client = require("kagglehub", extra="kerashub", purpose=f"fetching {name}")
    logger.info(f"fetching {name} by kagglehub …")
    own_errors = [kind for kind in vars(client.exceptions).values() if isinstance(kind, type)]  # no common parent
    failures = tuple(kind for kind in (OSError, ValueError, RuntimeError, *own_errors) if issubclass(kind, Exception))
    try:
        return Path(client.model_download(handle))
    except failures as exc:
        raise unavailable_error(name, one_line(str(exc)), alternative) from exc


def _version_on_this_machine(variation: Path, version: str, *, partly: bool) -> Path | None:
    """The folder of a version, or of the newest one, that kagglehub has downloaded.

    After a download of everything, kagglehub writes VERSION.complete. KerasHub downloads file by file: each file has a
    marker ``.complete/VERSION/FILE.complete``, and files that no one needed are missing.

    Args:
        variation: the folder of all versions.
        version: the number; empty means the newest.
        partly: accept a folder without all files, if it has a configuration and weights.
    """
    numbers = [path.name for path in variation.glob("*") if path.name.isdigit() and path.is_dir()]
    folders = [variation / number for number in sorted(numbers, key=int) if number == (version or number)]
    complete = [folder for folder in folders if folder.with_suffix(".complete").is_file()]
    if partly and not complete:
        complete = [folder for folder in folders if _has_config_and_weights(folder)]
    return complete[-1] if complete else None


def _has_config_and_weights(folder: Path) -> bool:
    """Whether KerasHub has downloaded what a model needs, and no file is incomplete."""
    markers = folder.parent / ".complete" / folder.name
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    is_complete = all((markers / f"{name}.complete").is_file() for name in files)
    weights = {"model.weights.h5", "model.weights.json", "model.safetensors", "model.safetensors.index.json"}
    return is_complete and "config.json" in files and not weights.isdisjoint(files)
