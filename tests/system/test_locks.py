"""Locks between processes, one of which ends, stops or goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headstart.system import locks
from headstart.system.locks import is_held, own_folder, patient_lock

_HOLD = """
import sys, time
from pathlib import Path
from headstart.system import locks
locks._PULSE_S = 0.05
with locks.patient_lock(Path(sys.argv[1]), "waiting"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""

Hold = Callable[[Path, float], subprocess.Popen[str]]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts a process that holds a lock for some seconds."""
    processes: list[subprocess.Popen[str]] = []

    def start(path: Path, seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _HOLD, str(path), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_who_waits_says_for_whom(
    hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "_SILENT_S", 0.2)
    monkeypatch.setattr(locks, "STOPPED_S", 0.5)  # the other one is alive for longer than that
    process = hold(tmp_path / "a.lock", 1.5)
    with caplog.at_level("INFO"), patient_lock(tmp_path / "a.lock", "preparing keras:Xception") as is_held_here:
        assert is_held_here
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for process {process.pid}, which is preparing keras:Xception …"
    ]
    assert not is_held(tmp_path / "a.lock")
    assert not (tmp_path / "a.pulse").exists()


def test_a_process_that_ends_releases_its_lock_at_once(hold: Hold, tmp_path: Path) -> None:
    process = hold(tmp_path / "a.lock", 60)
    assert is_held(tmp_path / "a.lock")
    process.kill()
    process.wait()
    started = time.monotonic()
    with patient_lock(tmp_path / "a.lock", "working") as is_held_here:
        assert is_held_here
    assert time.monotonic() - started < 1


def test_a_process_that_has_stopped_is_not_waited_for(
    hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "STOPPED_S", 0.5)
    process = hold(tmp_path / "work.lock", 60)
    os.kill(process.pid, signal.SIGSTOP)
    with patient_lock(tmp_path / "work.lock", "working") as is_held_here:
        assert not is_held_here
    assert f"process {process.pid} has stopped while working" in caplog.text
    monkeypatch.setattr(locks, "STOPPED_S", 60)  # it is known to have stopped
    with own_folder(tmp_path / "work", "working") as folder:  # two processes in one would disturb each other
        assert folder == tmp_path / "work-2"
    os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.wait()
    with own_folder(tmp_path / "work", "working") as folder:
        assert folder == tmp_path / "work"
