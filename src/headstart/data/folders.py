"""Folders of data: their files and folders in a fixed order, without hidden ones."""

import os
from collections.abc import Iterator
from pathlib import Path

_NOT_DATA = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def walk(folder: str) -> Iterator[str]:
    """All files of a folder and of the folders in it, sorted; paths start with ``folder``."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (os.path.join(parent, name) for name in sorted(files) if not is_hidden(name))


def subfolders(path: Path) -> list[Path]:
    """The folders in a folder, sorted."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not is_hidden(entry.name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not data: hidden, or written by an operating system."""
    return name.startswith(".") or name in _NOT_DATA
