"""Obtaining bases before they are needed: into the caches of their sources, or into a bundle."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.bases import Base, load_base
from headstart.bases.bundle import add, files_of
from headstart.bases.handle import parse_handle
from headstart.system.display import show_progress
from headstart.system.progress import Progress


@dataclass(frozen=True)
class Fetched:
    """A base that is here now.

    Attributes:
        handle: under which it is found.
        folder: that its files lie in, where its source keeps them.
        size: of these files, in bytes.
        licence: of its weights, where known.
    """

    handle: str
    folder: Path
    size: int
    licence: str


def fetch(
    handles: Sequence[str],
    *,
    to: str | Path | None = None,
    input_size: int | tuple[int, int] | None = None,
    progress: bool | Progress = True,
) -> list[Fetched]:
    """Obtain bases, each by its source's own loader, so that they can be used without network.

    Every one is loaded to see that it can be used; only then anything is copied.

    Args:
        handles: of the bases.
        to: a bundle to copy their files into, made or added to; None leaves them in the caches of their sources.
        input_size: as for :func:`load_base`: some modules cannot be loaded without, and the MobileNets have weights
            of their own for some sizes.
        progress: as for :func:`headstart.train`.

    Raises:
        InputError: no such base, or ``to`` is a folder but no bundle.
        UnavailableError: it cannot be fetched, or a package is missing.
        IntegrityError: what arrived is damaged.
    """
    bases = {}
    with show_progress(progress) as shown_progress:
        for handle in handles:
            base = load_base(handle, input_size=input_size, progress=shown_progress)
            bases[_key(handle, base)] = base
        if to is not None:
            add(Path(to), bases, shown_progress)
    return [_fetched(handle, base) for handle, base in bases.items()]


def _key(text: str, base: Base) -> str:
    """What it is called in a bundle: as canonical as can be; but a path is what its user will write elsewhere."""
    handle = parse_handle(text)
    return str(handle) if handle.is_path else base.handle


def _fetched(handle: str, base: Base) -> Fetched:
    files = files_of(base).values()
    folder = Path(os.path.commonpath([path.parent for path in files]))
    return Fetched(handle, folder, sum(path.stat().st_size for path in files), base.licence)
