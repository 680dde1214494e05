"""Facts about a model that a separate process reads once and stores in the cache."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.system import keras_worker
from headstart.system.checksums import checked_folder, is_intact

logger = logging.getLogger(__name__)


def cached_facts(
    cached: Path, function: str, folder: Path, name: str, choose_backend: Callable[[], str], **options: Any
) -> dict[str, Any]:
    """Return the facts about a model; if they are not in the cache, a function reads them from the model's folder.

    Args:
        cached: folder in the cache; it appears complete or not at all.
        function: ``package.module:function``, called with ``folder``, ``out`` and ``name``; it writes ``facts.json``
            into ``out``.
        folder: of the model.
        name: of the model, for messages.
        choose_backend: returns the Keras backend to read with, or raises if none is installed.
        options: further arguments of the function, as plain data.
    """
    if not is_intact(cached):
        backend = choose_backend()
        logger.info(f"reading {name} …")
        with checked_folder(cached) as out:
            arguments = {"folder": str(folder), "out": str(out), "name": name, **options}
            keras_worker.call(function, arguments, backend=backend)
    facts: dict[str, Any] = json.loads((cached / "facts.json").read_text())
    return facts
