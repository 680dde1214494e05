"""Checksums, which detect changed files. A cached folder contains its own; a damaged one is computed again."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.system.atomic import atomic_folder

logger = logging.getLogger(__name__)

CHECKSUMS = "checksums.json"
"""File in a cached folder: name -> SHA-256 of every other file in it, written last."""


_SETTLED_NS = 100_000_000
"""A file that was changed this long ago changes again with other times; clocks of file systems tick every few ms."""

_digests: dict[Path, tuple[tuple[int, ...], str]] = {}  # digests of files that this process has read, by their times


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks: 2 GB a second on a current CPU.

    A file that this process has read already is read again only if its size, its inode or one of its times is another.
    """
    with open(path, "rb") as file:
        stat = os.fstat(file.fileno())
        version = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if _digests.get(path, (None,))[0] == version:
            return _digests[path][1]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS:
        _digests[path] = version, digest
    return digest


def checksums_of(folder: Path) -> dict[str, str]:
    """Path in the folder -> SHA-256, for all files except locks."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".lock", ".pulse"))
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def write_checksums(folder: Path) -> None:
    """Mark a cached folder as complete: write :data:`CHECKSUMS`."""
    (folder / CHECKSUMS).write_text(json.dumps(checksums_of(folder), indent=1))


@contextmanager
def checked_folder(folder: Path, *, shared: bool = False) -> Iterator[Path]:
    """Give an empty folder as :func:`headstart.system.atomic.atomic_folder` does, and add its checksums at the end."""
    with atomic_folder(folder, shared=shared) as filled:
        yield filled
        write_checksums(filled)


def is_intact(folder: Path) -> bool:
    """Whether a cached folder exists and no file has changed. A damaged folder is removed, with a warning."""
    if not folder.is_dir():
        return False
    damage = _find_damage(folder)
    if damage:
        logger.warning(f"the cache is damaged: {damage}. It is computed again.")
        shutil.rmtree(folder)
    return not damage


def _find_damage(folder: Path) -> str | None:
    try:
        expected = json.loads((folder / CHECKSUMS).read_bytes())
        for name, checksum in expected.items():
            if file_sha256(folder / name) != checksum:
                return f"{folder / name} has changed"
    except FileNotFoundError as exc:
        return f"{exc.filename} is missing"
    except (OSError, ValueError, AttributeError) as exc:
        return f"{folder} cannot be read ({exc})"
    return None
