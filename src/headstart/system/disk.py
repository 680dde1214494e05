"""Room on disks: looked at before work where the need can be foreseen, and named where it runs out."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from headstart.errors import UnavailableError
from headstart.system.settings import cache_folder

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(exc: BaseException) -> bool:
    """Whether an error says that a disk or a quota is full; libraries such as h5py say so in words only."""
    return (isinstance(exc, OSError) and exc.errno in _FULL) or os.strerror(errno.ENOSPC) in str(exc)


def full_disk_error(exc: BaseException) -> UnavailableError:
    """The error for :func:`is_full`, which names the file; or where it has none, the fullest folder that is written."""
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


def check_room(folder: Path, needed_bytes: float, purpose: str) -> None:
    """See that there is room for what will be written.

    Args:
        folder: to write into.
        needed_bytes: how much will be written, roughly.
        purpose: what is written, such as ``the features of 5,000 images``; begins the message.

    Raises:
        UnavailableError: there is less room.
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
    "HEADSTART_CACHE for the cache, TMPDIR for temporary files."
)


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 1e7 else f"{n_bytes / 1e6:,.1f} MB"
