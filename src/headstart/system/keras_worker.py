"""Run a piece of Keras work in a child process, with the backend that is right for it.

A Keras backend is fixed for the life of a process and slow to import; and the user's own process may already use one.
So all work that needs Keras runs in a child process, on Keras's OpenVINO backend when nothing is trained (it imports in
a fifth of TensorFlow's time) and on a training backend otherwise. Arguments and results are plain data; arrays travel
as ``.npy``. The progress and the log records of the child come back line by line; the parent passes them on to its own.
The process stays for the next call, see :mod:`headstart.system.keras_process`.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from headstart import errors
from headstart.errors import HeadstartError, UnavailableError, field_name
from headstart.system import keras_compat
from headstart.system.events import Relay
from headstart.system.keras_process import Worker, without_garbage_collection
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.scratch import scratch_folder

INFERENCE_BACKEND = "openvino"
TRAINING_BACKENDS = ("tensorflow", "torch", "jax")

_idle: dict[str, Worker] = {}  # processes that wait for a job, by backend

_SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "GLOG_minloglevel": "3",
    # Of a GPU's memory no more than is needed: this process and its child may both compute on it.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}  # fmt: skip


def training_backend() -> str:
    """The backend to train with: ``KERAS_BACKEND`` if it can train, else the first one installed.

    Raises:
        UnavailableError: none is installed.
    """
    name = _training_backend()
    if name:
        return name
    raise UnavailableError(
        "this training needs a Keras backend that can train (tensorflow, torch or jax), and none is installed. "
        "Install one with `pip install 'headstart[tensorflow]'`, or train without fine-tuning: "
        f"{field_name('fine_tune', 'none')}."
    )


def can_train() -> bool:
    """Whether a backend that can train is installed."""
    return _training_backend() is not None


def _training_backend() -> str | None:
    backend_setting = os.environ.get("KERAS_BACKEND", "")
    for name in (backend_setting, *TRAINING_BACKENDS):
        if name in TRAINING_BACKENDS and find_spec(name):
            return name
    return None


def with_tensorflow(subject: str) -> str:
    """The backend for what only TensorFlow can read.

    Raises:
        UnavailableError: it is not installed.
    """
    if find_spec("tensorflow"):
        return "tensorflow"
    raise UnavailableError(f"{subject} can be read by TensorFlow only: pip install 'headstart[tensorflow]'.")


def import_keras() -> ModuleType:
    """Import Keras into this process, quietly, on the backend chosen by ``KERAS_BACKEND`` or the best one here."""
    for name, value in {**_SETTINGS, "KERAS_BACKEND": training_backend()}.items():
        os.environ.setdefault(name, value)
    with silent_stderr():
        with without_garbage_collection():
            keras = keras_compat.import_keras()
        keras.ops.zeros(1)  # wakes the backend's devices, which talk as well
    return keras


def on_gpu() -> bool:
    """Whether Keras, in this process, computes on a GPU."""
    name = importlib.import_module("keras").backend.backend()
    backend = importlib.import_module(name)
    if name == "tensorflow":
        return bool(backend.config.list_physical_devices("GPU"))
    if name == "torch":
        return bool(backend.cuda.is_available())
    return name == "jax" and backend.default_backend() == "gpu"


@contextmanager
def full_float32() -> Iterator[None]:
    """In here Keras's products of float32 values are exact to float32, on a GPU as well.

    By default JAX and TensorFlow, and torch in convolutions, let NVIDIA's GPUs round the factors to TensorFloat-32,
    which has 10 bits of mantissa: fine for training, too coarse for features that another engine has to agree with.
    """
    name = importlib.import_module("keras").backend.backend()
    backend = importlib.import_module(name)
    if name == "jax":
        with backend.default_matmul_precision("highest"):
            yield
    elif name == "torch":
        products, convolutions = backend.backends.cuda.matmul, backend.backends.cudnn
        before = products.allow_tf32, convolutions.allow_tf32
        products.allow_tf32 = convolutions.allow_tf32 = False
        try:
            yield
        finally:
            products.allow_tf32, convolutions.allow_tf32 = before
    elif name == "tensorflow":
        settings = backend.config.experimental
        before = settings.tensor_float_32_execution_enabled()
        settings.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            settings.enable_tensor_float_32_execution(before)
    else:
        yield


@contextmanager
def silent_stderr() -> Iterator[None]:
    """For C++ code that writes to the file descriptor, as TensorFlow does when it starts, at every log level."""
    sys.stderr.flush()
    saved_stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved_stderr, 2)
            os.close(saved_stderr)


def call(
    function: str, arguments: Mapping[str, Any], *, backend: str = INFERENCE_BACKEND, progress: Progress | None = None
) -> Any:
    """Call ``package.module:function(**arguments)`` in a child process and return its result.

    Args:
        function: where to find it; it must take and return what JSON can carry.
        arguments: keyword arguments, JSON-able.
        backend: Keras backend of the child.
        progress: follows the work; the function then takes an argument ``progress``, too.

    Raises:
        HeadstartError: the error that the function raised.
        RuntimeError: the child failed otherwise; the text ends with its own traceback.
    """
    job = {"function": function, "arguments": dict(arguments), "has_progress": progress is not None}
    with scratch_folder(Path(tempfile.gettempdir()), "headstart") as temporary:  # TensorFlow leaves files of AutoGraph
        reply = _do({**job, "temporary": str(temporary)}, backend, progress or NO_PROGRESS)
    if "error" in reply:
        kind = getattr(errors, reply["error"], HeadstartError)
        raise kind(reply["text"])
    if "traceback" in reply:
        raise RuntimeError(f"the Keras process for {function} failed:\n{reply['traceback']}")
    return reply["result"]


def _do(job: Mapping[str, Any], backend: str, progress: Progress) -> dict[str, Any]:
    """The reply to a job, by the process that waits for one or by a new one."""
    idle_worker = _idle.pop(backend, None)
    if idle_worker and not idle_worker.is_ready():
        idle_worker.close()
        idle_worker = None
    worker = idle_worker or Worker(backend, _SETTINGS)
    relay = Relay(progress)
    try:
        reply = worker.run(job, relay)
    except BrokenPipeError:
        if idle_worker:  # it ended just now, because it had nothing to do
            worker.close()
            return _do(job, backend, progress)
        reply = None
    except BaseException:
        worker.close()
        raise
    finally:
        relay.close()
    last_words = worker.last_words()
    if worker.is_ready():
        _keep(backend, worker)
    else:
        worker.close()
    if reply is None:
        raise RuntimeError(f"the Keras process for {job['function']} ended with code {worker.exit_code}:\n{last_words}")
    return reply


def _keep(backend: str, worker: Worker) -> None:
    """Keep a process for the next job, in place of the one that waits already, if there is one."""
    other = _idle.pop(backend, None)
    if other:
        other.close()
    _idle[backend] = worker
