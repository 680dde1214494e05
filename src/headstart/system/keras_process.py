"""The process that Keras runs in, both ends of it: the program, and the handle that its parent holds.

Parent and program talk in lines of JSON. The parent sends jobs. The program answers with events (see
:mod:`headstart.system.events`), then ``{"reply": ...}``, and ``{"ended": exit code, ...}`` after each job.

To import Keras takes longer than many jobs. Where it is safe, the program imports it once and forks for each job: a
job starts with a fresh Keras, and its memory is free when it ends. Forking is unsafe once a backend has started threads
or a GPU. So the program itself computes nothing; and where the import does that already (JAX, torch), where there is a
GPU, and where the operating system cannot fork, a program does one job and ends.
"""

import atexit
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread
from types import ModuleType
from typing import Any

from headstart.errors import HeadstartError
from headstart.system import keras_compat
from headstart.system.disk import full_disk_error, is_full
from headstart.system.events import Event, EventProgress, Send, send_records

_FORKING_BACKENDS = ("openvino", "tensorflow")
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, WSL, AMD
_IMPORT_VARIABLES = ("CUDA", "KERAS", "LD_", "MKL", "NVIDIA", "OMP", "OPENBLAS", "PYTHON", "TF_", "XLA")
_IDLE_S = 60.0
"""How long a program without a job waits for the next one. With TensorFlow it holds 500 MB."""

_workers: list["Worker"] = []  # not yet known to the operating system's account of ended child processes


class Worker:
    """A process with Keras on one backend, which does jobs one after another.

    Args:
        backend: Keras backend.
        variables: environment variables that are set unless they are set already.
    """

    def __init__(self, backend: str, variables: Mapping[str, str]) -> None:
        self._backend, self._variables, self._key = backend, variables, _import_variables()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._cpu_s, self._peak_kb = 0.0, 0
        self._job: int | None = None  # process that does the job
        self.exit_code: int | None = None
        """Of the process that did the last job, see :class:`subprocess.Popen`."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headstart.system.keras_process", backend],
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
            )
        except BaseException:
            self._log.close()
            raise
        _workers.append(self)

    def is_ready(self) -> bool:
        """Whether it waits for a job, with all environment variables that count for an import as they are now."""
        return self._process.poll() is None and self._key == _import_variables()

    def run(self, job: Mapping[str, Any], on_event: Callable[[Event], None]) -> dict[str, Any] | None:
        """Do a job.

        Args:
            job: ``function``, ``arguments``, ``has_progress``, and ``temporary``, a folder for its temporary files.
            on_event: takes every event.

        Returns:
            the reply; None where the process ended without one.

        Raises:
            BrokenPipeError: the process had ended before it took the job, because it was idle for too long.
        """
        self._log.seek(0)
        self._log.truncate()
        place = {"environment": self._environment(), "folder": _current_folder()}
        print(json.dumps({**job, **place}), file=self._process.stdin, flush=True)
        reply = None
        for line in self._process.stdout or ():
            event = json.loads(line)
            if "job" in event:
                self._job = event["job"]
            elif "reply" in event:
                reply = event["reply"]
            elif "ended" in event:
                self.exit_code, self._cpu_s, self._peak_kb = event["ended"], event["cpu_s"], event["peak_kb"]
                break
            else:
                on_event(event)
        else:
            self.exit_code = self._process.wait()
        if self._job is None:
            raise BrokenPipeError
        self._job = None
        return reply

    def close(self) -> None:
        """End it, and wait for the end. A job ends with it."""
        for process in (self._job, self._process.pid):
            if process is not None and self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(OSError, ValueError):
                    if pipe.readable():
                        pipe.read()  # up to the end of the job, which holds the other end
                    pipe.close()
        self._process.wait()
        self._log.close()
        if self in _workers:
            _workers.remove(self)

    def last_words(self) -> str:
        """What it wrote to its standard error last."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    def cost(self) -> tuple[float, int]:
        """Seconds of processor time so far, and the memory of the largest job in kilobytes, of a living process."""
        return (self._cpu_s, self._peak_kb) if self._process.returncode is None else (0.0, 0)

    def _environment(self) -> dict[str, str]:
        return {**self._variables, **os.environ, "KERAS_BACKEND": self._backend}


def living_cost() -> tuple[float, int]:
    """Seconds of processor time of all workers that have not ended, and the memory of the largest job in kilobytes.

    The operating system tells a process about its children only when they have ended.
    """
    costs = [worker.cost() for worker in _workers]
    return sum(cpu_s for cpu_s, _ in costs), max((peak_kb for _, peak_kb in costs), default=0)


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


@atexit.register
def _close_all() -> None:
    for worker in [*_workers]:
        worker.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.clear)  # they are the parent's


def _import_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_IMPORT_VARIABLES)}


def _current_folder() -> str | None:
    with suppress(FileNotFoundError):  # somebody removed it
        return os.getcwd()
    return None


# The program


class _NoTensorFlow:
    """Keras looks for TensorFlow when it saves a model or sets a seed; to import it just for that takes seconds."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError("TensorFlow is not wanted in this process", name=name)


def _import_lean_keras(backend: str) -> None:
    """Import Keras without what it would import only because it is installed: that takes three times as long."""
    unwanted: dict[str, Any] = dict.fromkeys({"pandas", "sklearn", "torch", "jax"} - {backend})  # None: not to be had
    if backend in ("openvino", "jax"):  # torch has reasons of its own to look for it
        sys.meta_path.insert(0, _NoTensorFlow())
    if backend == "openvino":
        unwanted["scipy.signal"] = ModuleType("scipy.signal")  # for spectra alone; SciPy finds its own when it is used
        keras_compat.compute_openvino_in_float32()
    sys.modules.update(unwanted)
    with without_garbage_collection():
        keras_compat.import_keras()
        gc.freeze()  # nor are these objects searched later: with TensorFlow, at the end of the process alone 0.7 s
    for name in unwanted:
        del sys.modules[name]


def _forks(backend: str) -> bool:
    return (
        sys.platform == "linux"
        and backend in _FORKING_BACKENDS
        and (backend == "openvino" or not any(map(os.path.exists, _GPU_DEVICES)))
    )


def _open_events() -> Send:
    """The function that sends an event to the parent. Standard output is for events only: other output is dropped."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)

    def send(event: Event) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    return send


def _read_job(idle_s: float | None) -> dict[str, Any] | None:
    """The next job; None where the parent has ended, or sends none for so long."""
    if idle_s is not None and not select.select([0], [], [], idle_s)[0]:
        return None
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        part = os.read(0, 1 << 20)  # not by `sys.stdin`, whose lock Python would wait for when it ends
        if not part:
            return None
        parts.append(part)
    return dict(json.loads(b"".join(parts)))


def _end_with(pipe: int) -> None:
    """End at once when nobody holds the other end of a pipe any more."""

    def wait() -> None:
        while os.read(pipe, 1024):
            pass
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _do(job: Mapping[str, Any], send: Send) -> None:
    """Do a job and send the reply."""
    module, _, name = job["function"].partition(":")
    os.environ.setdefault("TFHUB_CACHE_DIR", os.path.join(os.path.dirname(job["temporary"]), "tfhub_modules"))
    tempfile.tempdir = job["temporary"]
    try:
        if "keras" not in sys.modules:
            _import_lean_keras(os.environ["KERAS_BACKEND"])
        progress_argument = {"progress": EventProgress(send)} if job["has_progress"] else {}
        reply = {"result": getattr(importlib.import_module(module), name)(**job["arguments"], **progress_argument)}
    except HeadstartError as exc:
        reply = {"error": type(exc).__name__, "text": exc.message}
    except Exception as exc:  # noqa: BLE001 - reported to the parent, which raises it
        if is_full(exc):
            reply = {"error": "UnavailableError", "text": full_disk_error(exc).message}
        else:
            reply = {"traceback": traceback.format_exc()}
    send({"reply": reply})


def _fork_and_do(job: Mapping[str, Any], send: Send) -> int:
    """Do a job in a process of its own and return its exit code. Ends with the parent, and the job then, too."""
    end_of_job, held_by_job = os.pipe()
    end_of_program, held_by_program = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: those of OpenBLAS can do it
        process = os.fork()
    if process == 0:
        os.close(held_by_program)
        _end_with(end_of_program)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(job["environment"])
        if job["folder"]:
            os.chdir(job["folder"])
        send({"job": os.getpid()})
        _do(job, send)
        os._exit(0)
    os.close(held_by_job)
    os.close(end_of_program)
    if 0 in select.select([0, end_of_job], [], [])[0]:  # only the end of the parent is readable while a job is done
        os.kill(process, signal.SIGKILL)
        os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(end_of_job)
    os.close(held_by_program)
    return code


def _ended(code: int) -> Event:
    import resource

    times = os.times()
    cpu_s = times.user + times.system + times.children_user + times.children_system
    return {"ended": code, "cpu_s": cpu_s, "peak_kb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}


def _main(backend: str) -> None:
    send = _open_events()
    send_records(send)
    if not _forks(backend):
        job = _read_job(None)
        if job:
            _end_with(0)
            send({"job": os.getpid()})
            _do(job, send)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the parent decides
    with suppress(Exception):  # an error is found again, and reported, by the first job
        _import_lean_keras(backend)
    while job := _read_job(_IDLE_S):
        send(_ended(_fork_and_do(job, send)))
    os._exit(0)


if __name__ == "__main__":
    _main(sys.argv[1])
