"""Folders for unfinished work, and processes that end in the middle of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.system.scratch import scratch_folder

_HOLD = """
import sys, time
from pathlib import Path
from headstart.system.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "work") as folder:
    (folder / "large.bin").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(60)
"""


def _start(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    killed, left = _start(tmp_path)
    living, kept = _start(tmp_path)
    killed.kill()
    killed.communicate()
    assert (left / "large.bin").exists()
    (tmp_path / ".mine-0123456789ab").mkdir()  # not ours: without a lock
    with scratch_folder(tmp_path, "other") as folder:
        assert not left.exists()
        assert (kept / "large.bin").exists()
        assert folder.is_dir()
    living.kill()
    living.communicate()
    with scratch_folder(tmp_path, "other"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".mine-0123456789ab"]


def _children(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _leftovers(*folders: Path) -> list[str]:
    return [str(path) for folder in folders for path in folder.rglob(".*") if folder.exists()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_training_that_is_ended_leaves_no_process_and_no_folder(photos: Path, tmp_path: Path, number: int) -> None:
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "HEADSTART_CACHE": str(cache), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "headstart", "train", str(photos), "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(
        [*command, "--input-size", "64"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (children := _children(process.pid)):  # Keras converts the base
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(number)
    _, text = process.communicate(timeout=20)
    deadline = time.monotonic() + 5
    while any(map(_is_alive, children)):
        assert time.monotonic() < deadline, "a child lives on"
        time.sleep(0.02)
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert "terminated. Computed features are kept" in text
    else:
        assert _leftovers(cache, temporary)
        (tmp_path / "empty").mkdir()
        command[-3] = str(tmp_path / "empty")
        assert subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False).returncode == 2
    assert not _leftovers(cache, temporary, tmp_path / "runs")
