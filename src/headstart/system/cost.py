"""What a run costs: wall and processor seconds, peak memory, and how the time divides among the stages."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headstart.system.keras_process import living_cost
from headstart.system.progress import NO_PROGRESS, Progress


class Cost:
    """Measures from its creation on, child processes included.

    Args:
        progress: is told when a stage begins.
    """

    def __init__(self, progress: Progress = NO_PROGRESS) -> None:
        self._progress = progress
        self._wall, self._cpu = time.perf_counter(), _cpu_s()
        self._done: list[tuple[str, float]] = []
        self._open: tuple[str, float] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside as one stage."""
        self._open = (name, time.perf_counter())
        self._progress.stage(name)
        yield
        self._done, self._open = self._stages(), None

    def so_far(self) -> dict[str, Any]:
        """``wall_s``, ``cpu_s``, ``peak_memory_mb`` (of the largest process; None where unknown) and ``stages``.

        The current stage counts up to now.
        """
        return {
            "wall_s": round(time.perf_counter() - self._wall, 3),
            "cpu_s": round(_cpu_s() - self._cpu, 3),
            "peak_memory_mb": _peak_mb(),
            "stages": [{"stage": name, "seconds": round(seconds, 3)} for name, seconds in self._stages()],
        }

    def _stages(self) -> list[tuple[str, float]]:
        if self._open is None:
            return self._done
        name, start = self._open
        return [*self._done, (name, time.perf_counter() - start)]


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + living_cost()[0]


def _peak_mb() -> float | None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    ended = [resource.getrusage(process).ru_maxrss for process in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(max(*ended, living_cost()[1]) * unit / 1e6, 1)
