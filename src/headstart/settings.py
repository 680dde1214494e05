"""What the environment says: where the cache is, and whether the network may be used."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where caches live: ``HEADSTART_CACHE``, else ``$XDG_CACHE_HOME/headstart``, else ``~/.cache/headstart``."""
    chosen = os.environ.get("HEADSTART_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "headstart"


def is_offline() -> bool:
    """Whether the network must not be used: ``--offline``, or ``HEADSTART_OFFLINE=1``."""
    return os.environ.get("HEADSTART_OFFLINE", "0") not in ("", "0")
