"""Servers of runs that the page starts and ends: `headstart serve`, for this machine's programs to ask."""

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

_OPEN_S = 60  # until a run is open
_END_S = 10  # until one that was told to end is made to
_ADDRESS = re.compile(r"^serving .* on (http://\S+) ", re.MULTILINE)


class Servers:
    """Each answers for one run, on this machine alone, until it is stopped or the page ends.

    Args:
        logs: folder for what they say.
    """

    def __init__(self, logs: Path) -> None:
        self._logs, self._changing = logs, Lock()
        self._running: dict[str, tuple[subprocess.Popen[bytes], str]] = {}

    @staticmethod
    def why_not() -> str | None:
        """What is missing for it, if anything is."""
        if all(map(find_spec, MODULES)):
            return None
        return "it takes more packages: pip install 'headstart[serve]'"

    def address(self, name: str) -> str | None:
        """Where the server of a run is; None where there is none."""
        process, address = self._running.get(name, (None, ""))
        return address if process is not None and process.poll() is None else None

    def start(self, folder: Path) -> None:
        """Start the server of a run and wait until it answers.

        Raises:
            UnavailableError: it does not start; with what it said.
        """
        with self._changing:
            if self.address(folder.name):
                return
            log = self._logs / f"{uuid4().hex}.log"
            try:
                self._running[folder.name] = _start(folder, log)
            finally:
                log.unlink()

    def stop(self, name: str) -> None:
        """End the server of a run, if there is one, when it has answered what was asked."""
        with self._changing:
            process, _ = self._running.pop(name, (None, ""))
            if process is not None:
                _end(process)

    def stop_all(self) -> None:
        """End all of them."""
        for name in [*self._running]:
            self.stop(name)


def _start(folder: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The process, and its address."""
    # It listens on this machine only; the token of a page that is open to others is no business of its clients.
    environment = {name: value for name, value in os.environ.items() if name != "HEADSTART_TOKEN"}
    named = (
        f"{folder.name.replace('=', '-')}={folder}"  # or what stands before an equals sign in a path would be the name
    )
    command = [sys.executable, "-m", "headstart", "serve", named, "--port", "0"]
    with open(log, "wb") as out:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    deadline = time.monotonic() + _OPEN_S
    while process.poll() is None and time.monotonic() < deadline:
        if found := _ADDRESS.search(log.read_text(errors="replace")):
            return process, found[1]
        time.sleep(0.05)
    _end(process)
    said = log.read_text(errors="replace").strip().splitlines()
    raise UnavailableError(f"the server of {folder.name} did not start: {said[-1] if said else 'it said nothing.'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
