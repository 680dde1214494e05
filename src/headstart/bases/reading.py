"""What a process of its own reads of a model: once, and then kept in the cache."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.system import keras_worker

logger = logging.getLogger(__name__)


def read_once(
    kept: Path, function: str, folder: Path, name: str, backend: Callable[[], str], **more: Any
) -> dict[str, Any]:
    """Let a function read a model's folder into ``kept``, unless that was done before; gives the facts it wrote.

    Args:
        kept: folder in the cache; it appears complete or not at all.
        function: ``package.module:function``, called with ``folder``, ``out`` and ``name``; it writes ``facts.json``.
        folder: of the model.
        name: it is called in messages.
        backend: gives the Keras backend to read with, or raises where there is none.
        more: what else the function takes, as plain data.
    """
    if not (kept / "facts.json").is_file():
        chosen = backend()
        logger.info(f"reading {name} …")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".reading-") as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            arguments = {"folder": str(folder), "out": str(made), "name": name, **more}
            keras_worker.call(function, arguments, backend=chosen)
            shutil.rmtree(kept, ignore_errors=True)
            os.replace(made, kept)
    facts: dict[str, Any] = json.loads((kept / "facts.json").read_text())
    return facts
