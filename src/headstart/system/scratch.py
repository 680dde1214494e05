"""Hidden folders for unfinished work: removed at the end, or by the next process if theirs was killed."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from headstart.errors import InputError
from headstart.system.locks import HeldLock, is_held, remove_lock

_LOCK = re.compile(r"\..+-[0-9a-f]{12}\.lock")


def make_folder(folder: Path) -> None:
    """Make a folder, unless it is there, and see that files can be made in it.

    Raises:
        InputError: that is no place for a folder: a file is there, or the file system makes none.
        OSError: this user may not write there, or the disk is full.
    """
    with _naming_place(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def check_folder(folder: Path, field: str) -> None:
    """See that a folder is there and can be written into, or can be made.

    Args:
        folder: to write into later.
        field: the setting that names it.

    Raises:
        InputError: that is no place for a folder.
        OSError: this user may not write there, or the disk is full.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    with _naming_place(folder, field), tempfile.TemporaryFile(dir=existing):
        pass


@contextmanager
def _naming_place(folder: Path, field: str | None = None) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as exc:
        message = f"no folder can be made at {folder}" if not folder.is_dir() else f"no file can be made in {folder}"
        raise InputError(f"{message} ({exc.strerror}). Choose another folder.", field=field) from exc


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Give an empty folder, which is removed at the end of the block if it is still there.

    Scratch folders of killed processes in ``parent`` are removed first.

    Args:
        parent: made if missing.
        name: the folder's name begins with a dot and this.
    """
    make_folder(parent)
    sweep(parent)
    folder = parent / f".{name}-{uuid4().hex[:12]}"
    path = folder.with_name(f"{folder.name}.lock")
    lock = HeldLock(path)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        path.unlink(missing_ok=True)


def sweep(parent: Path) -> None:
    """Remove the scratch folders in ``parent`` whose processes have ended."""
    for lock in parent.glob(".*.lock"):
        if _LOCK.fullmatch(lock.name) and not is_held(lock):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            remove_lock(lock)
