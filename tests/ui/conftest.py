import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

import headstart as hs


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Server:
    """``headstart ui`` in a process of its own, as a user starts it."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        command = [sys.executable, "-m", "headstart", "ui", "--root", str(root), "--port", "0", "--no-open", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        self.address = line.split()[3]
        self.netloc = urlsplit(self.address).netloc

    def ask(
        self, method: str, path: str, body: bytes | dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self.netloc.replace("0.0.0.0", "127.0.0.1"), timeout=60)
        content = urlencode(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, content, {"X-Part": "1", **(headers or {})})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    def follow(self, job: str, until: Callable[[Answer], bool], within_s: float = 60) -> Answer:
        deadline = time.monotonic() + within_s
        while True:
            answer = self.ask("GET", f"{job}/progress")
            if until(answer):
                return answer
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture(scope="module")
def root(photos: Path, run: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos/`` and a run, and beside it what must not be seen."""
    above = tmp_path_factory.mktemp("ui")
    root = above / "root"
    shutil.copytree(photos, root / "photos")
    shutil.copytree(run.folder, root / "runs" / "photos")
    shutil.copy(photos / "china/00.jpg", above / "secret.jpg")
    (root / "link.jpg").symlink_to(above / "secret.jpg")
    os.symlink(above, root / "way-out")
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    started = Server(root)
    yield started
    started.end()
