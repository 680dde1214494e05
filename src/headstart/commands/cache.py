"""The cache, seen from outside: what lies in it, and how to make room. Everything in it can be computed again."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import InputError
from headstart.system.disk import size_on_disk
from headstart.system.locks import is_held, remove_lock
from headstart.system.scratch import sweep
from headstart.system.settings import cache_folder

KINDS = {
    "features": "features of examples, by base",
    "image-info": "headers and fingerprints of images",
    "engines": "bases prepared for this machine",
    "heads": "trained heads",
    "searches": "heads that were tried",
    "tuning": "fine-tunings, and what unfinished ones go on from",
    "box-views": "feature maps of views of images with boxes",
    "words": "word vectors, as many as some data need",
    "saved-models": "SavedModels as Keras layers",
    "kerashub": "facts about models of KerasHub",
    "transformers": "models of transformers as graphs",
    "table-images": "images that are in tables, as files",
    "templates": "compiled templates of pages",
}
"""Folder of the cache -> what it holds."""

_DAY_S = 24 * 60 * 60


@dataclass(frozen=True)
class Item:
    """One thing in the cache.

    Attributes:
        kind: one of KINDS.
        path: its file or folder.
        size: bytes that it takes on the disk.
        used: when something in it was last written or locked, in seconds since 1970.
    """

    kind: str
    path: Path
    size: int
    used: float

    @property
    def in_use(self) -> bool:
        """Whether a process is at work on it."""
        locks = [self.path.with_name(self.path.name + ".lock")]
        locks += self.path.glob("*.lock") if self.path.is_dir() else []
        return any(is_held(lock) for lock in locks)


def items(folder: Path | None = None) -> list[Item]:
    """Everything in the cache.

    Args:
        folder: the cache; the user's when None.
    """
    folder = folder or cache_folder()
    return [item for kind in KINDS for item in _items(folder, kind)]


def clear(folder: Path | None = None, *, older_than: float = 0) -> tuple[list[Item], list[Item]]:
    """Remove what has not been used for some time.

    Args:
        folder: the cache; the user's when None.
        older_than: days of disuse; 0 removes everything.

    Returns:
        What was removed, and what would have been but is in use.

    Raises:
        InputError: a negative number of days.
    """
    if older_than < 0:
        raise InputError(f"expected at least 0 days, such as 30, got {older_than:g}.", field="older_than")
    latest = time.time() - older_than * _DAY_S
    old = [item for item in items(folder) if not older_than or item.used < latest]
    used_items = [item for item in old if item.in_use]
    removed = [item for item in old if item not in used_items]
    for item in removed:
        if item.path.is_dir():
            shutil.rmtree(item.path)
        else:
            item.path.unlink()
        remove_lock(item.path.with_name(f"{item.path.name}.lock"))
    return removed, used_items


def remove_leftovers(folder: Path | None = None) -> None:
    """Remove what killed processes left, in the cache and among temporary files.

    Args:
        folder: the cache; the user's when None.
    """
    for parent in (Path(tempfile.gettempdir()), *(Path(folder or cache_folder(), kind) for kind in KINDS)):
        sweep(parent)


def _items(folder: Path, kind: str) -> Iterator[Item]:
    for path in sorted((folder / kind).glob("*")):
        if path.suffix in (".lock", ".pulse"):
            continue
        used = max(file.stat().st_mtime for file in (path, *path.rglob("*")) if file.exists())
        yield Item(kind, path, size_on_disk(path), used)
