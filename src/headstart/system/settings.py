"""Settings of the environment: cache, bundle, network, precision; and which files may be read or written."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Literal, cast

from headstart.errors import InputError

Precision = Literal["auto", "float32", "bfloat16"]


def cache_folder() -> Path:
    """Where caches live: ``HEADSTART_CACHE``, else ``$XDG_CACHE_HOME/headstart``, else ``~/.cache/headstart``."""
    folder = os.environ.get("HEADSTART_CACHE")
    if folder:
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "headstart"


def bundle_folder() -> Path | None:
    """The bundle to take bases from: ``--bundle``, or ``HEADSTART_BUNDLE``; None if not set."""
    folder = os.environ.get("HEADSTART_BUNDLE")
    return Path(folder).expanduser() if folder else None


def is_offline() -> bool:
    """Whether the network must not be used: ``--offline``, ``HEADSTART_OFFLINE=1``, or a bundle is in use."""
    return os.environ.get("HEADSTART_OFFLINE", "0") not in ("", "0") or bundle_folder() is not None


def asked_precision(precision: Precision) -> Precision:
    """What ``auto`` stands for: ``HEADSTART_PRECISION``, for the same figures on every machine; else still ``auto``.

    Raises:
        InputError: there is no precision of that name.
    """
    precision_setting = os.environ.get("HEADSTART_PRECISION") or "auto"
    if precision_setting not in ("auto", "float32", "bfloat16"):
        raise InputError(f"HEADSTART_PRECISION={precision_setting}: expected float32, bfloat16 or auto.")
    return cast(Precision, precision_setting) if precision == "auto" else precision


def root_folder() -> str | None:
    """The folder outside of which no file of the user's data may be read (``HEADSTART_ROOT``); None where all may."""
    return os.environ.get("HEADSTART_ROOT") or None


def table_images_folder() -> Path:
    """Folder of the cache for images that are in tables: of the user's data, though it lies elsewhere."""
    return cache_folder() / "table-images"


def check_readable(path: Path) -> None:
    """See that a file of the user's data may be read: where ``HEADSTART_ROOT`` names a folder, none outside of it may.

    Images out of tables may be read. Links are followed before that is decided. ``headstart ui`` sets the folder, for
    itself and its child processes.

    Raises:
        PermissionError: it may not.
    """
    root, real = root_folder(), Path(os.path.realpath(path))
    if root and not any(real.is_relative_to(os.path.realpath(folder)) for folder in (root, table_images_folder())):
        raise PermissionError(errno.EACCES, f"is outside {root}, and only files inside it may be read", str(path))


def check_place(path: str | Path, suffix: str, *, replaced: bool = False, field: str | None = None) -> None:
    """See that a file can be written there.

    Args:
        path: of the file.
        suffix: that it has to have.
        replaced: whether it may be there already.
        field: the setting that names it, for messages.

    Raises:
        InputError: it cannot.
    """
    path = Path(path)
    folder = path.absolute().parent
    if path.suffix.lower() != suffix:
        raise InputError(f"{path}: expected the name of a {suffix} file.", field=field)
    if not folder.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}.", field=field)
    if path.exists() and not replaced:
        raise InputError(f"{path} is there already: choose another name, or remove it.", field=field)
    try:
        if path.exists():
            with open(path, "rb+"):
                pass
        else:
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as exc:
        reason = exc.strerror if path.exists() else f"{exc.strerror} in {folder}"
        raise InputError(f"{path} cannot be written ({reason}): choose another place.", field=field) from exc
