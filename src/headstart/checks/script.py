"""Training scripts, gone through in every way that their conditions allow."""

from collections import deque
from pathlib import Path

from headstart.checks.interpreter import MAX_STEPS, Interpreter
from headstart.checks.library import Keras
from headstart.checks.rules import Finding, finding
from headstart.checks.sources import Place, Sources

_MAX_WAYS = 64
"""Ways through a script that are tried; at first those in which one condition is other than usual."""


def check_script(path: Path) -> list[Finding]:
    """Find the mistakes in a script, without running it.

    Args:
        path: a ``.py`` file or an ``.ipynb`` notebook. Modules beside it that it imports are followed.

    Raises:
        InputError: it cannot be read, or is not Python.
    """
    sources = Sources(path)
    found: dict[tuple[str, Place], Finding] = {}

    def report(rule: str, line: int, message: str) -> None:
        place = sources.place(line)
        if (rule, place) not in found:
            found[rule, place] = finding(rule, message, place.file, place.line, place.cell)

    ways: deque[list[bool]] = deque([[]] if sources.mention_keras() else [])
    steps = 0
    for _ in range(_MAX_WAYS):
        if not ways or steps > MAX_STEPS:
            break
        prefix = ways.popleft()
        way = Interpreter(sources, prefix)
        way.library = library = Keras(report, way)
        way.run()
        library.finish()
        steps += way.steps
        ways.extend([*way.trail[:i], False] for i in range(len(prefix), len(way.trail)))
    return sorted(found.values(), key=lambda one: (one.file, one.cell or 0, one.line or 0, one.code))
