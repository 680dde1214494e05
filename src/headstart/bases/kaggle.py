"""The source ``kaggle:``: Kaggle Models, by the client ``kagglehub`` and in its cache.

What a model is, its files tell: a preset of KerasHub, a SavedModel of TensorFlow, or a Keras model file.
"""

import logging
import os
import re
from dataclasses import replace
from pathlib import Path

from headstart.bases import kerashub, local, saved_model
from headstart.bases.base import Base, BaseSpec
from headstart.bases.bundle import not_here, why_offline
from headstart.bases.handle import parse_handle
from headstart.errors import InputError
from headstart.system.extras import require

logger = logging.getLogger(__name__)

_HANDLE = re.compile(r"[\w.-]+(?:/[\w.-]+){3}(?:/\d+)?")


def names() -> list[str]:
    """Names that follow ``kaggle:``: any model, so there are none to list."""
    return []


def load(spec: BaseSpec) -> Base:
    """Give a model of Kaggle as a base; its handle then names the version.

    Raises:
        InputError: no such form of a handle, or files that are no model that headstart knows.
        UnavailableError: it is not here and cannot be fetched.
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
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise InputError(
        f"{spec.handle} has {found} (in {folder}): expected a preset of KerasHub, a SavedModel, or one .keras or .h5 "
        "file. Of several files, name one: --base file:PATH."
    )


def find_or_fetch(handle: str, what: str) -> Path:
    """The folder of a model of Kaggle: the newest version here, if none is named, else the newest there is.

    Args:
        handle: OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION].
        what: it is called in messages.

    Raises:
        UnavailableError: it is not here and cannot be fetched.
    """
    *parts, version = handle.split("/") if handle.count("/") == 4 else (*handle.split("/"), "")
    cache = Path(os.environ.get("KAGGLEHUB_CACHE") or "~/.cache/kagglehub").expanduser()
    variation = cache.joinpath("models", *parts)
    # kagglehub marks what arrived whole; a folder without its mark is a torso.
    whole = [
        mark.stem for mark in variation.glob("*.complete") if mark.stem.isdigit() and mark.with_suffix("").is_dir()
    ]
    here = [version] if version in whole else [] if version else sorted(whole, key=int)
    if here:
        return variation / here[-1]
    otherwise = f"Or copy its files into {variation}/VERSION, with an empty file VERSION.complete beside that folder."
    offline = why_offline()
    if offline:
        raise not_here(what, offline, otherwise)
    client = require("kagglehub", extra="kerashub", purpose=f"fetching {what}")
    logger.info(f"fetching {what} by kagglehub …")
    own = [kind for kind in vars(client.exceptions).values() if isinstance(kind, type)]  # they have no common parent
    failures = tuple(kind for kind in (OSError, ValueError, RuntimeError, *own) if issubclass(kind, Exception))
    try:
        return Path(client.model_download(handle))
    except failures as exc:
        raise not_here(what, " ".join(str(exc).split())[:300], otherwise) from exc
