"""Whether Keras can compute on a GPU here, found out without importing a backend."""

import ctypes
import hashlib
import json
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from headstart.system import keras_worker
from headstart.system.checksums import checked_folder, is_intact

logger = logging.getLogger(__name__)

_DRIVER = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}


def is_usable(cache: Path) -> bool:
    """Whether the Keras backend that trains here computes on an NVIDIA GPU.

    Without NVIDIA's driver the answer is no, at once. With it, the backend is asked in a process of its own, which
    takes seconds; the answer is kept until driver, installed packages or ``CUDA_VISIBLE_DEVICES`` change.

    Args:
        cache: the cache folder.
    """
    driver = _driver_version()
    if driver is None or not keras_worker.can_train():
        return False
    backend = keras_worker.training_backend()
    if os.environ.get("KERAS_BACKEND", backend) != backend:  # another backend is set, which cannot train
        return False
    spec = find_spec(backend)
    packages = Path((spec and spec.origin) or "").parents[1]
    about = [backend, driver, str(packages), packages.stat().st_mtime_ns, os.environ.get("CUDA_VISIBLE_DEVICES")]
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    folder = cache / "engines" / f"gpu-{digest}"
    if not is_intact(folder):
        with checked_folder(folder, shared=True) as filled:
            (filled / "usable.json").write_text(json.dumps(_can_use_gpu(backend)))
    return bool(json.loads((folder / "usable.json").read_text()))


def _driver_version() -> int | None:
    """Newest version of CUDA that NVIDIA's driver knows, such as 13000; None without a driver."""
    try:
        driver, version = ctypes.CDLL(_DRIVER[sys.platform]), ctypes.c_int()
    except (KeyError, OSError):
        return None
    return version.value if driver.cuDriverGetVersion(ctypes.byref(version)) == 0 else None


def _can_use_gpu(backend: str) -> bool:
    logger.info(f"asking {backend} whether it can use the GPU …")
    try:
        return bool(keras_worker.call("headstart.system.keras_worker:on_gpu", {}, backend=backend))
    except RuntimeError:  # a backend that does not start here is no engine
        return False
