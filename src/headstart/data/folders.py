"""Folders of data: their files and folders in a fixed order, without hidden ones. Symbolic links are followed."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from headstart.system.settings import check_readable

logger = logging.getLogger(__name__)

Report = Callable[[str, str], None]
"""Is told the path of what is not read, and the reason."""

UNREADABLE = "cannot be read"
"""Begins the reason for a folder that is not read."""

_NOT_DATA = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_LOOP = "a symbolic link to a folder that it lies in: not followed"
_AGAIN = "a symbolic link to a folder that is read already: not followed"


def log_unread(path: str, reason: str) -> None:
    """Log that something is not read."""
    logger.warning(f"{path} {reason}" if reason.startswith(UNREADABLE) else f"{path} is not read: {reason}")


def ignore_unread(path: str, reason: str) -> None:
    """Say nothing."""


def walk(folder: str, report: Report = log_unread) -> Iterator[str]:
    """All files of a folder and of the folders in it, sorted; paths start with ``folder``.

    Each folder is read once, also where links lead to it again.

    Args:
        folder: to walk.
        report: is told of links that lead in a circle, of folders that cannot be read, and of what is no file.
    """
    real = Path(os.path.realpath(folder))
    visited = {_identity(str(path)) for path in (real, *real.parents)}
    waiting = [folder]
    while waiting:
        folders = []
        for entry in _entries(waiting.pop(), report):
            if is_folder(entry):
                if (identity := _identity(entry.path)) in visited:
                    report(entry.path, _LOOP if _lies_in(entry.path) else _AGAIN)
                else:
                    visited.add(identity)
                    folders.append(entry.path)
            elif entry.is_symlink() or entry.is_file():  # reading it reports a broken link
                yield entry.path
            else:
                report(entry.path, "neither a file nor a folder")
        waiting += sorted(folders, reverse=True)


def subfolders(path: Path, report: Report = ignore_unread) -> list[Path]:
    """The folders in a folder, sorted, without links to folders that it lies in, which ``report`` is told of."""
    entries = []
    for entry in sorted(entry for entry in path.iterdir() if entry.is_dir() and not is_hidden(entry.name)):
        if entry.is_symlink() and _lies_in(str(entry)):
            report(str(entry), _LOOP)
        else:
            entries.append(entry)
    return entries


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not data: hidden, or written by an operating system."""
    return name.startswith(".") or name in _NOT_DATA


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _lies_in(link: str) -> bool:
    """Whether a link leads to a folder that it lies in."""
    return Path(os.path.realpath(os.path.dirname(link))).is_relative_to(os.path.realpath(link))


def _entries(folder: str, report: Report) -> "list[os.DirEntry[str]]":
    """What is in a folder, sorted; links last, as a folder is preferred to a link to it."""
    try:
        check_readable(Path(folder))
        with os.scandir(folder) as scan:
            return sorted(
                (entry for entry in scan if not is_hidden(entry.name)),
                key=lambda entry: (entry.is_symlink() and is_folder(entry), entry.name),
            )
    except OSError as exc:
        report(folder, f"{UNREADABLE}: {exc.strerror or exc}")
        return []


def _identity(folder: str) -> tuple[int, int]:
    stat = os.stat(folder)
    return stat.st_dev, stat.st_ino
