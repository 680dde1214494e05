"""Files and folders that appear complete or not at all: written beside their place, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.system.scratch import scratch_folder


@contextmanager
def atomic_file(path: Path, *, shared: bool = False, durable: bool = False) -> Iterator[Path]:
    """Give the path to write a file to: it replaces ``path`` at the end of the block, and is removed if that fails.

    Args:
        path: of the file. The given path has the same suffix, because some libraries add one that is missing.
        shared: several processes may write the file at the same time. Otherwise a lock prevents that, and what a killed
            process left is overwritten.
        durable: wait until the content is on the disk; after a power failure the file could be empty otherwise.
    """
    number = f".{os.getpid()}" if shared else ""
    partial = path.with_name(f"{path.stem}{number}.partial{path.suffix}")
    try:
        yield partial
        if durable:
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path, *, shared: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill: it replaces ``folder`` at the end of the block, and is removed if that fails.

    Args:
        folder: to make; its parents are made, too.
        shared: several processes may make the folder at the same time, with the same content; the first one wins.
    """
    with scratch_folder(folder.parent, folder.name) as scratch:
        filled = scratch / folder.name
        filled.mkdir()  # the scratch folder is private to its user, this one is an ordinary folder
        yield filled
        if shared and folder.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(filled, folder)
