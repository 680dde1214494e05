"""The process that Keras runs in: how it ends, and that it ends with the process that started it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def _start(folder: Path, function: str, **arguments: Any) -> tuple[subprocess.Popen[bytes], Path]:
    job, answer = folder / "job.json", folder / "answer.json"
    job.write_text(json.dumps({"function": function, "arguments": arguments, "has_progress": False}))
    command = [sys.executable, "-m", "headstart.system.keras_worker", str(job), str(answer)]
    environment = {**os.environ, "KERAS_BACKEND": "openvino"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, **pipes), answer


def test_it_ends_in_order_when_the_work_is_done(tmp_path: Path) -> None:
    """Python ends by a signal, after a second, if a thread holds the lock of its standard input."""
    process, answer = _start(tmp_path, "os:getcwd")
    with process:
        assert process.stdout
        assert process.stderr
        assert (process.stdout.read(), process.stderr.read(), process.wait(60)) == (b"", b"", 0)
    assert json.loads(answer.read_text()) == {"result": os.getcwd()}


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(2)"]
    process, answer = _start(tmp_path, "subprocess:call", args=sleep)
    process.communicate(timeout=60)  # closes the standard input, as the end of this process would
    assert process.returncode == 1
    assert not answer.exists()
