"""What the environment says: where the cache is, which bundle is in use, whether the network may be used."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where caches live: ``HEADSTART_CACHE``, else ``$XDG_CACHE_HOME/headstart``, else ``~/.cache/headstart``."""
    chosen = os.environ.get("HEADSTART_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "headstart"


def bundle_folder() -> Path | None:
    """The bundle to take bases from: ``--bundle``, or ``HEADSTART_BUNDLE``; None where there is none."""
    chosen = os.environ.get("HEADSTART_BUNDLE")
    return Path(chosen).expanduser() if chosen else None


def is_offline() -> bool:
    """Whether the network must not be used: ``--offline``, ``HEADSTART_OFFLINE=1``, or a bundle is in use."""
    return os.environ.get("HEADSTART_OFFLINE", "0") not in ("", "0") or bundle_folder() is not None
