"""Free disk space: checked before work whose output size is known, and named in the error when a disk is full."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from headstart.errors import UnavailableError, field_name
from headstart.system.settings import cache_folder

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(exc: BaseException) -> bool:
    """Whether an error means that a disk or a quota is full; errors of libraries such as h5py have no errno."""
    return (isinstance(exc, OSError) and exc.errno in _FULL) or os.strerror(errno.ENOSPC) in str(exc)


def full_disk_error(exc: BaseException) -> UnavailableError:
    """The error for a full disk; it names the file, or, if ``exc`` does not, the folder with the least free space."""
    name = getattr(exc, "filename", None)
    if name:
        return no_room_error(Path(name).parent, str(name))
    folders = (cache_folder(), Path(tempfile.gettempdir()), Path.cwd())
    return no_room_error(min(folders, key=free_bytes), "a file")


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, which may not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def size_on_disk(path: Path) -> int:
    """Bytes that a file or a folder takes by now; shards have their full length before they are filled."""
    stats = [file.stat() for file in (path, *path.rglob("*")) if file.exists()]
    return int(sum(getattr(stat, "st_blocks", stat.st_size / 512) * 512 for stat in stats))


def check_room(folder: Path, needed_bytes: float, purpose: str) -> None:
    """Check that a disk has enough free space.

    Args:
        folder: to write into.
        needed_bytes: approximate size of the files.
        purpose: what is written, such as ``the features of 5,000 images``; begins the message.

    Raises:
        UnavailableError: less space is free.
    """
    if needed_bytes > (free := free_bytes(folder)):
        raise UnavailableError(
            f"{purpose} need {_megabytes(needed_bytes)} in {folder}, and {_megabytes(free)} are free there. {_ADVICE}"
        )


def no_room_error(folder: Path, purpose: str) -> UnavailableError:
    """The error for a disk that became full.

    Args:
        folder: that was written into.
        purpose: what was written; begins the message.
    """
    return UnavailableError(
        f"{purpose} could not be written: the disk of {folder} is full, {_megabytes(free_bytes(folder))} are free. "
        f"{_ADVICE}"
    )


_ADVICE = (
    "Free disk space (`headstart cache` shows what the cache holds), or choose a folder on another disk: "
    f"{field_name('runs')} for runs, HEADSTART_CACHE for the cache, TMPDIR for temporary files."
)


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 1e7 else f"{n_bytes / 1e6:,.1f} MB"
