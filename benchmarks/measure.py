"""Run a command and say what it cost, seen from outside: wall time, processor time, peak memory.

What a program says of itself leaves out its start and its children; the operating system counts both.
"""

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_MB = 1_000_000
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
_SAMPLE_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Cost:
    """What one command cost, with all its child processes.

    Attributes:
        wall_s: from start to end.
        cpu_s: user and system time, summed over processes and cores.
        peak_mb: resident memory of the largest process at its largest (processes are not added up). Pages of
            memory-mapped files count, though the system can take them back at any time.
        own_mb: memory that it cannot take back: the largest value seen in the first process, looked at ten times a
            second. Linux only; None elsewhere.
        others_share: of the machine's processor time, what everything else took meanwhile. Linux only.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    own_mb: float | None
    others_share: float | None = None

    def plus(self, other: "Cost") -> "Cost":
        """The cost of both, one after the other."""
        wall_s, others = self.wall_s + other.wall_s, None
        if self.others_share is not None and other.others_share is not None:
            others = (self.others_share * self.wall_s + other.others_share * other.wall_s) / wall_s
        return Cost(wall_s, self.cpu_s + other.cpu_s, max(self.peak_mb, other.peak_mb), None, others)


class CommandFailedError(Exception):
    """A measured command ended with an error; the text ends with what it printed last."""


def run(command: Sequence[object], log: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end and measure it.

    Keep the calling process small: Linux starts a child's peak memory at its parent's, which the child shares until it
    executes its own program. So nothing heavy is imported or held here or in the scripts that call this.

    Args:
        command: the program and its arguments, in any form that has a text.
        log: file that receives what the command prints.
        env: environment variables to add to this process's own.

    Raises:
        CommandFailedError: it ended with another code than 0.
    """
    arguments = [str(part) for part in command]
    with open(log, "wb") as out:
        start, busy_before_s = time.perf_counter(), _busy_s()
        process = subprocess.Popen(
            arguments, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        sampler = _Sampler(process.pid)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            own_mb = sampler.finish()
        wall_s = time.perf_counter() - start
        busy_after_s = _busy_s()
    process.returncode = os.waitstatus_to_exitcode(status)  # wait4 has reaped it, so Popen cannot find out any more
    if process.returncode:
        tail = log.read_text(errors="replace")[-3000:].strip()
        raise CommandFailedError(f"`{' '.join(arguments)}` ended with code {process.returncode}:\n{tail}")
    cpu_s = usage.ru_utime + usage.ru_stime
    others = None
    if busy_before_s is not None and busy_after_s is not None:
        others = max(0.0, busy_after_s - busy_before_s - cpu_s) / (wall_s * (os.cpu_count() or 1))
    return Cost(wall_s, cpu_s, usage.ru_maxrss * _MAXRSS_UNIT / _MB, own_mb, others)


def _busy_s() -> float | None:
    """Processor time of the whole machine that was not idle, since it started."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stat.read_text().split()[1:11])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class _Sampler:
    """Watches the memory that a process has for itself; wait4 knows only the peak that includes mapped files."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._peak_kib = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def finish(self) -> float | None:
        """Stop watching and give the peak in MB, or None where it cannot be seen."""
        self._over.set()
        self._thread.join()
        return self._peak_kib * 1024 / _MB or None

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_INTERVAL_S):
            try:
                lines = self._status.read_text().splitlines()
            except OSError:  # it has just ended, or this is not Linux
                return
            now_kib = next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)
            self._peak_kib = max(self._peak_kib, now_kib)


def headstart_command() -> Path:
    """The ``headstart`` that belongs to this interpreter, as users start it.

    Raises:
        FileNotFoundError: it is not installed here.
    """
    path = Path(sys.executable).with_name("headstart")
    if not path.exists():
        raise FileNotFoundError(f"no headstart command beside {sys.executable}. Run `make setup` first.")
    return path


def machine() -> str:
    """One line on where a measurement was made: processor, cores, Python and the packages that matter."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux; platform.processor() says little there
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    processor = next(named, platform.processor() or platform.machine())
    packages = []
    for name in ("headstart", "keras", "tensorflow", "openvino"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"no {name}")
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(packages)}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in the source, too; all but the first are right-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])
