"""The source ``kaggle:``: Kaggle Models, by the client ``kagglehub`` and in its cache.

The files of a model show its kind: a preset of KerasHub, a SavedModel of TensorFlow, or a Keras model file.
"""

import logging
import os
import re
from dataclasses import replace
from pathlib import Path

from headstart.bases import kerashub, local, saved_model
from headstart.bases.base import Base, BaseSpec
from headstart.bases.bundle import offline_reason, unavailable_error
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, field_name
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
        return kerashub.from_folder(folder, spec)
    if (folder / "saved_model.pb").is_file():
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
    # kagglehub writes VERSION.complete after a download; a folder without that file is incomplete.
    complete_versions = [
        marker.stem
        for marker in variation.glob("*.complete")
        if marker.stem.isdigit() and marker.with_suffix("").is_dir()
    ]
    if version:
        local_versions = [version] if version in complete_versions else []
    else:
        local_versions = sorted(complete_versions, key=int)
    if local_versions:
        return variation / local_versions[-1]
    alternative = f"Or copy its files into {variation}/VERSION, and create an empty file VERSION.complete beside it."
    reason = offline_reason()
    if reason:
        raise unavailable_error(name, reason, alternative)
    client = require("kagglehub", extra="kerashub", purpose=f"fetching {name}")
    logger.info(f"fetching {name} by kagglehub …")
    own_errors = [kind for kind in vars(client.exceptions).values() if isinstance(kind, type)]  # no common parent
    failures = tuple(kind for kind in (OSError, ValueError, RuntimeError, *own_errors) if issubclass(kind, Exception))
    try:
        return Path(client.model_download(handle))
    except failures as exc:
        raise unavailable_error(name, " ".join(str(exc).split())[:300], alternative) from exc
