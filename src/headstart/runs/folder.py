"""How a folder comes to be: written beside its place and then renamed, and never in place of another.

So a folder with its name is always complete: ``runs/photos``, then ``runs/photos-2``.
"""

import os
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from headstart.errors import InputError
from headstart.system.scratch import scratch_folder

_PACKAGES = ("headstart", "keras", "openvino", "tensorflow", "torch", "jax", "numpy", "pillow")


def write_folder(parent: Path, name: str, fill: Callable[[Path, str], None]) -> Path:
    """Make ``parent/name`` (or ``name-2``, ``-3`` …) appear at once, complete.

    Args:
        parent: made if missing.
        name: wanted name.
        fill: called with an empty folder and the name it will have; again with another name if someone was faster.
    """
    with scratch_folder(parent, name) as partial:
        partial.chmod(0o777 & ~_umask())  # a scratch folder is private to its user; a run is an ordinary folder
        while True:
            final = _free(parent, name)
            fill(partial, final.name)
            try:
                os.rename(partial, final)
            except OSError:
                if not final.exists():
                    raise
                _empty(partial)
                continue
            return final


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def check_name(name: str) -> str:
    """A name that can be that of a folder.

    Raises:
        InputError: it cannot.
    """
    if not name or name in (".", "..") or any(character in name for character in '/\\:*?"<>|\0'):
        raise InputError(f"{name!r} cannot be the name of a folder: use letters, digits, - and _.", field="name")
    return name


def name_of(data: Any, default: str) -> str:
    """What a run on these data is called unless told otherwise: the folder's or the table's own name."""
    if not isinstance(data, str | Path):
        return default
    path = Path(data).expanduser().absolute()
    return path.name if path.is_dir() else path.stem


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, where installed."""
    version_of = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            version_of[package] = version(package)
        except PackageNotFoundError:
            continue
    return version_of


def _free(parent: Path, name: str) -> Path:
    number = 1
    while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
