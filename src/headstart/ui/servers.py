"""HTTP servers of runs: `headstart serve` in child processes, for programs on this machine."""

import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from uuid import uuid4

from headstart.errors import UnavailableError
from headstart.serving import MODULES

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 10  # then the process is killed
_ADDRESS = re.compile(r"^serving .* on (http://\S+) ", re.MULTILINE)


class Servers:
    """The running servers, each for one run, reachable from this machine only.

    Args:
        logs: folder for their logs.
    """

    def __init__(self, logs: Path) -> None:
        self._logs, self._lock = logs, Lock()
        self._running: dict[str, tuple[subprocess.Popen[bytes], str]] = {}

    @staticmethod
    def why_not() -> str | None:
        """Why no server can be started; None if one can."""
        if all(map(find_spec, MODULES)):
            return None
        return "packages are missing: pip install 'headstart[serve]'"

    def address(self, name: str) -> str | None:
        """The address of the server of a run; None if none runs."""
        process, address = self._running.get(name, (None, ""))
        return address if process is not None and process.poll() is None else None

    def start(self, folder: Path) -> None:
        """Start the server of a run and wait until it answers.

        Raises:
            UnavailableError: it does not start; with its last message.
        """
        with self._lock:
            if self.address(folder.name):
                return
            log = self._logs / f"{uuid4().hex}.log"
            try:
                self._running[folder.name] = _start(folder, log)
            finally:
                log.unlink()

    def stop(self, name: str) -> None:
        """Stop the server of a run, after it has answered open requests."""
        with self._lock:
            process, _ = self._running.pop(name, (None, ""))
            if process is not None:
                _stop(process)

    def stop_all(self) -> None:
        """Stop all servers."""
        for name in [*self._running]:
            self.stop(name)


def _start(folder: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server; returns its process and address."""
    # It listens on this machine only, so it needs no token. The token of the page is not for its clients.
    environment = {name: value for name, value in os.environ.items() if name != "HEADSTART_TOKEN"}
    named_run = f"{folder.name.replace('=', '-')}={folder}"  # without a name, "=" in the path would separate one
    command = [sys.executable, "-m", "headstart", "serve", named_run, "--port", "0"]
    with open(log, "wb") as out:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if match := _ADDRESS.search(log.read_text(errors="replace")):
            return process, match[1]
        time.sleep(0.05)
    _stop(process)
    lines = log.read_text(errors="replace").strip().splitlines()
    raise UnavailableError(f"the server of {folder.name} did not start: {lines[-1] if lines else 'it logged nothing.'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
