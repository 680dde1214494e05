"""Hidden folders for unfinished work: removed at the end, or by the next process if theirs was killed."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from headstart.system.locks import HeldLock, is_held, remove_lock

_LOCK = re.compile(r"\..+-[0-9a-f]{12}\.lock")


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Give an empty folder, which is removed at the end of the block if it is still there.

    Scratch folders of killed processes in ``parent`` are removed first.

    Args:
        parent: made if missing.
        name: the folder's name begins with a dot and this.
    """
    parent.mkdir(parents=True, exist_ok=True)
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
