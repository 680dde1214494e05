"""No command uses the network or writes to the home directory outside the cache: each runs in a recorded process."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image

from headstart.system.telemetry import SWITCHES
from tests.conftest import SIZE

pytestmark = pytest.mark.slow  # every command, in processes of their own

RECORDER = """
import os, sys
LOCAL = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "", None)
EVENTS = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"}
def record(event, args):
    if event in EVENTS:
        address = args[1] if event in ("socket.connect", "socket.sendto", "socket.sendmsg") else args[0]
        host = address[0] if isinstance(address, tuple) else address
        if host not in LOCAL and not (isinstance(address, (str, bytes)) and event == "socket.connect"):
            with open(os.environ["RECORD"], "a") as log:
                log.write(f"{event} {address} {sys.argv}\\n")
sys.addaudithook(record)
"""
"""``sitecustomize.py``: notes every look-up and connection of a Python process, this machine's own left out."""

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")

SCRIPT = """
import keras

base = keras.applications.Xception(weights="imagenet", include_top=False)
base.trainable = False
"""


class Recorded:
    """Processes with an empty home directory, whose look-ups and connections are recorded."""

    def __init__(self, folder: Path) -> None:
        self.home, self.record, recorder = folder / "home", folder / "record", folder / "recorder"
        self.temporary = folder / "temporary"
        self.home.mkdir()
        self.temporary.mkdir()
        recorder.mkdir()
        (recorder / "sitecustomize.py").write_text(RECORDER)
        paths = [str(recorder), *filter(None, [os.environ.get("PYTHONPATH")])]
        # Nothing else of this environment: several libraries report nothing where `CI` or pytest's variables are set.
        self.environment = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths),
            "RECORD": str(self.record), "HEADSTART_PRECISION": "float32", "TMPDIR": str(self.temporary),
        }  # fmt: skip
        self.folder = folder

    def python(self, *command: object) -> None:
        done = subprocess.run(
            [sys.executable, *map(str, command)], env=self.environment, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def headstart(self, *arguments: object) -> None:
        self.python("-m", "headstart", *arguments)

    @contextmanager
    def server(self, *arguments: str) -> Iterator[str]:
        """The address of a server that runs meanwhile."""
        command = [sys.executable, "-m", "headstart", *arguments, "--port", "0"]
        with subprocess.Popen(
            command, env=self.environment, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                yield next(match[0] for match in map(ADDRESS.search, process.stdout or ()) if match)
            finally:
                process.send_signal(signal.SIGINT)

    def assert_nothing_outside(self) -> None:
        assert not self.record.exists(), self.record.read_text()
        files = [path.relative_to(self.home) for path in self.home.rglob("*") if path.is_file()]
        assert files
        assert [path for path in files if path.parts[:2] != (".cache", "headstart")] == []
        assert list(self.temporary.iterdir()) == []


@pytest.fixture(scope="module")
def recorded(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """With ``runs/photos`` in its folder, logged to both trackers, and a script to check."""
    recorded = Recorded(tmp_path_factory.mktemp("recorded"))
    recorded.environment |= {"MLFLOW_TRACKING_URI": f"file:{recorded.folder}/mlruns", "MLFLOW_ALLOW_FILE_STORE": "true"}
    recorded.headstart("train", photos, "--input-size", SIZE, "--fine-tune", "none", "--tensorboard", "--mlflow")
    assert list((recorded.folder / "mlruns").rglob("run.json"))
    (recorded.folder / "script.py").write_text(SCRIPT)
    return recorded


def test_the_recorder_records(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.python("-c", "import socket; socket.gethostbyname('localhost')")
    assert not recorded.record.exists()
    recorded.python("-c", "import socket; socket.getaddrinfo('192.0.2.1', 80)")  # an address, so nothing is sent
    assert "192.0.2.1" in recorded.record.read_text()


def test_quick_commands_use_no_network(recorded: Recorded, photos: Path) -> None:
    image = photos / "china/07.jpg"
    for command in (
        ("predict", "runs/photos", image),
        ("evaluate", "runs/photos", photos),
        ("explain", "runs/photos", image),
        ("audit", photos),
        ("check", "script.py"),
        ("bases",),
        ("cache",),
        ("--offline", "predict", "runs/photos", image),
        ("--offline", "evaluate", "runs/photos", photos),
        ("--offline", "bases"),
    ):
        recorded.headstart(*command)
    recorded.assert_nothing_outside()


def test_slow_commands_use_no_network(recorded: Recorded, photos: Path, sentences: Path) -> None:
    recorded.headstart("compare", photos, "--bases", "embedded:efficientnet-lite0", "--input-size", SIZE)
    recorded.headstart("fetch", "embedded:efficientnet-lite0", "--to", "bundle")
    for path in sorted(photos.glob("*/0*.jpg")):
        more = recorded.folder / "more" / path.relative_to(photos)
        more.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).rotate(90).save(more)
    recorded.headstart("extend", "runs/photos", "more", "--name", "extended")
    recorded.headstart("train", sentences, "--fine-tune", "none")
    recorded.python("-c", f"import headstart as hs; hs.load('runs/photos').predict({str(photos / 'china/07.jpg')!r})")
    recorded.assert_nothing_outside()


def test_exports_and_their_scripts_use_no_network(recorded: Recorded, photos: Path) -> None:
    recorded.headstart("export", "runs/photos", "--to", "onnx,openvino")
    scripts = list((recorded.folder / "runs/photos/exports").glob("*/predict.py"))
    assert len(scripts) == 2
    for script in scripts:
        recorded.python(script, photos / "china/07.jpg")
    recorded.assert_nothing_outside()


def test_servers_and_jobs_use_no_network(recorded: Recorded, photos: Path) -> None:
    shutil.copytree(photos, recorded.folder / "photos")
    with recorded.server("serve", "runs/photos") as address:
        image = base64.b64encode((photos / "china/07.jpg").read_bytes()).decode()
        body = json.dumps({"images": [image]}).encode()
        assert b"china" in ask(f"{address}/predict/photos", body, {"Content-Type": "application/json"})
    with recorded.server("ui", "--root", ".", "--no-open") as address:
        ask(f"{address}/data/check", urlencode({"path": "photos", "input_size": SIZE}).encode(), {"X-Part": "1"})
        jobs = recorded.folder / ".headstart" / "jobs"
        deadline = time.monotonic() + 60
        while not (outcomes := list(jobs.glob("*/outcome.json"))):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "found" in json.loads(outcomes[0].read_text())
    recorded.assert_nothing_outside()


def ask(address: str, body: bytes, headers: dict[str, str]) -> bytes:
    """What a server answers to a POST; a redirection is followed."""
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=30) as answer:
        return bytes(answer.read())


def test_a_switch_that_the_user_has_set_keeps_its_value() -> None:
    program = "import headstart, json, os; print(json.dumps(dict(os.environ)))"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "false"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == environment | SWITCHES | {"MLFLOW_DISABLE_TELEMETRY": "false"}


def test_openvino_works_without_its_package_for_reports() -> None:
    program = "import headstart, openvino, sys; openvino.Core(); print(sys.modules['openvino_telemetry'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
