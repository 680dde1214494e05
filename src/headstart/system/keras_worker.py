"""Run a piece of Keras work in a child process, with the backend that is right for it.

A Keras backend is fixed for the life of a process and slow to import; and the user's own process may already use one.
So all work that needs Keras runs in a child process, on Keras's OpenVINO backend when nothing is trained (it imports in
a fifth of TensorFlow's time) and on a training backend otherwise. Arguments and results are plain data; arrays travel
as ``.npy``. The progress and the log records of the child come back line by line; the parent passes them on to its own.
"""

import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

from headstart import errors
from headstart.errors import HeadstartError, UnavailableError, field_name
from headstart.system import keras_compat
from headstart.system.atomic import atomic_file
from headstart.system.disk import full_disk_error, is_full
from headstart.system.events import EventProgress, Relay, Send, send_records
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.scratch import scratch_folder

INFERENCE_BACKEND = "openvino"
TRAINING_BACKENDS = ("tensorflow", "torch", "jax")

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


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """For imports of thousands of modules: their objects stay, and to search them takes a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


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
    with scratch_folder(Path(tempfile.gettempdir()), "headstart") as folder:
        job, answer = folder / "job.json", folder / "answer.json"
        job.write_text(
            json.dumps({"function": function, "arguments": dict(arguments), "has_progress": progress is not None})
        )
        with open(folder / "log.txt", "w+b") as log:
            command = [sys.executable, "-m", "headstart.system.keras_worker", str(job), str(answer)]
            settings = {**_SETTINGS, **os.environ, "KERAS_BACKEND": backend}
            with subprocess.Popen(
                command,
                env=settings,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
            ) as child:
                _follow(child, progress or NO_PROGRESS)
            log.seek(0)
            last_words = log.read().decode(errors="replace")[-4000:]
        if not answer.exists():
            raise RuntimeError(f"the Keras process for {function} ended with code {child.returncode}:\n{last_words}")
        reply = json.loads(answer.read_text())
    if "error" in reply:
        kind = getattr(errors, reply["error"], HeadstartError)
        raise kind(reply["text"])
    if "traceback" in reply:
        raise RuntimeError(f"the Keras process for {function} failed:\n{reply['traceback']}")
    return reply["result"]


def _follow(child: subprocess.Popen, progress: Progress) -> None:
    """Pass on what a child sends until it ends; it does not outlive us."""
    relay = Relay(progress)
    try:
        for line in child.stdout or ():
            relay(json.loads(line))
    except BaseException:
        child.kill()
        child.wait()  # after an interrupt, the end of `with` waits for a quarter of a second only
        raise
    finally:
        relay.close()


class _NoTensorFlow:
    """Keras looks for TensorFlow when it saves a model or sets a seed; to import it just for that takes seconds."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError("TensorFlow is not wanted in this process", name=name)


def _import_lean_keras(backend: str) -> None:
    """Import Keras without what it would import only because it is installed: that takes three times as long."""
    unwanted: dict[str, Any] = dict.fromkeys({"pandas", "sklearn", "torch", "jax"} - {backend})  # None: not to be had
    if backend in (INFERENCE_BACKEND, "jax"):  # torch has reasons of its own to look for it
        sys.meta_path.insert(0, _NoTensorFlow())
    if backend == INFERENCE_BACKEND:
        unwanted["scipy.signal"] = ModuleType("scipy.signal")  # for spectra alone; SciPy finds its own when it is used
        keras_compat.compute_openvino_in_float32()
    sys.modules.update(unwanted)
    with without_garbage_collection():
        keras_compat.import_keras()
        gc.freeze()  # nor are these objects searched later: with TensorFlow, at the end of the process alone 0.7 s
    for name in unwanted:
        del sys.modules[name]


def _open_events() -> Send:
    """The function that sends an event to the parent. Standard output is for events only: other output is dropped."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)

    def send(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    return send


def _end_with_parent() -> None:
    """End at once when the parent does: then nobody holds the other end of the standard input any more."""

    def wait() -> None:
        while os.read(0, 1024):  # not by `sys.stdin`, whose lock Python would wait for when it ends, a second long
            pass
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _main(job_path: str, answer_path: str) -> None:
    _end_with_parent()
    send = _open_events()
    send_records(send)
    job = json.loads(Path(job_path).read_text())
    module, _, name = job["function"].partition(":")
    try:
        _import_lean_keras(os.environ["KERAS_BACKEND"])
        progress_argument = {"progress": EventProgress(send)} if job["has_progress"] else {}
        reply = {"result": getattr(importlib.import_module(module), name)(**job["arguments"], **progress_argument)}
    except HeadstartError as exc:
        reply = {"error": type(exc).__name__, "text": exc.message}
    except Exception as exc:  # noqa: BLE001 - reported to the parent, which raises it
        if is_full(exc):
            reply = {"error": "UnavailableError", "text": full_disk_error(exc).message}
        else:
            import traceback

            reply = {"traceback": traceback.format_exc()}
    with atomic_file(Path(answer_path)) as path:
        path.write_text(json.dumps(reply))


if __name__ == "__main__":
    _main(*sys.argv[1:])
