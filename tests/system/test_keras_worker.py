"""The processes that Keras runs in: what a job sees and costs, how it ends, and that nothing outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.system.cost import Cost
from headstart.system.keras_worker import call

_FORKS = pytest.mark.skipif(sys.platform != "linux", reason="a process does one job and ends elsewhere")


@_FORKS
def test_the_process_stays_for_the_next_job() -> None:
    assert call("os:getppid", {}) == call("os:getppid", {}) != os.getpid()
    assert call("os:getpid", {}) != call("os:getpid", {})  # each job has a process of its own


def test_a_job_sees_folder_and_environment_as_they_are_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("os:getcwd", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_TEST", "new")
    assert call("os:getcwd", {}) == str(tmp_path)
    assert call("os:getenv", {"key": "HEADSTART_TEST"}) == "new"
    monkeypatch.delenv("HEADSTART_TEST")
    assert call("os:getenv", {"key": "HEADSTART_TEST"}) is None


@_FORKS
def test_what_counts_when_libraries_are_imported_needs_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    before = call("os:getppid", {})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert call("os:getppid", {}) != before


def test_jobs_that_fail_or_are_killed_are_reported_and_others_go_on() -> None:
    with pytest.raises(RuntimeError, match="has no attribute 'nothing'"):
        call("os:nothing", {})
    with pytest.raises(RuntimeError, match="os:abort ended with code -6"):
        call("os:abort", {})
    assert call("os:getcwd", {}) == os.getcwd()


@_FORKS
def test_a_process_that_ended_in_the_meantime_is_replaced() -> None:
    os.kill(call("os:getppid", {}), signal.SIGKILL)
    assert call("os:getcwd", {}) == os.getcwd()


@_FORKS
def test_what_a_job_computes_is_counted_once() -> None:
    cost = Cost()
    call("timeit:timeit", {"stmt": "sum(range(1000))", "number": 20_000})
    counted = cost.so_far()["cpu_s"]
    assert counted > 0.1
    os.kill(call("os:getppid", {}), signal.SIGKILL)
    call("os:getcwd", {})  # from here on the operating system counts the process
    assert cost.so_far()["cpu_s"] < counted + 2


@_FORKS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_ends_with_the_process_that_called_for_it(number: int) -> None:
    program = "from headstart.system.keras_worker import call; call('os:getcwd', {}); call('signal:pause', {})"
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        deadline = time.monotonic() + 20
        while len(children := _descendants(parent.pid)) < 2:  # the program and its second job
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)
        parent.send_signal(number)
    while any(Path(f"/proc/{process}").exists() for process in children):
        assert time.monotonic() < deadline, "a child lives on"
        time.sleep(0.02)


def _descendants(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    children = [int(line) for line in listed.stdout.split()]
    return children + [other for child in children for other in _descendants(child)]


def test_processes_that_wait_end_with_their_parent() -> None:
    program = "from headstart.system import keras_worker; print(keras_worker.call('os:getppid', {}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not Path(f"/proc/{int(done.stdout)}").exists()
