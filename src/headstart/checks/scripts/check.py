"""Checks training scripts: follows every execution path and applies the rules."""

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from headstart.checks.rules.catalog import Finding, make_finding
from headstart.checks.scripts.interpreter import MAX_STEPS, Interpreter
from headstart.checks.scripts.keras_library import KerasLibrary
from headstart.checks.scripts.sources import Place, Sources
from headstart.errors import InputError

_MAX_EXECUTIONS = 64
"""Largest number of execution paths of a script. Paths that differ from the default in one condition come first."""


def check_scripts(paths: Iterable[Path]) -> tuple[list[Finding], dict[Path, InputError]]:
    """Find mistakes in scripts.

    Args:
        paths: ``.py`` files or ``.ipynb`` notebooks.

    Returns:
        The findings, each once: a module is checked itself and as a part of the scripts that import it. Then file ->
        why it could not be checked.
    """
    findings: dict[Finding, None] = {}
    problems = {}
    for path in paths:
        try:
            findings.update(dict.fromkeys(_check_script(path)))
        except InputError as exc:
            problems[path] = exc
    return list(findings), problems


def _check_script(path: Path) -> list[Finding]:
    sources = Sources(path)
    findings: dict[tuple[str, Place], Finding] = {}

    def report(rule: str, line: int, message: str) -> None:
        place = sources.place(line)
        if (rule, place) not in findings:
            findings[rule, place] = make_finding(rule, message, place.file, place.line, place.cell)

    pending: deque[list[bool]] = deque([[]] if sources.mention_keras() else [])
    steps = 0
    for _ in range(_MAX_EXECUTIONS):
        if not pending or steps > MAX_STEPS:
            break
        first_decisions = pending.popleft()
        interpreter = Interpreter(sources, first_decisions)
        interpreter.library = library = KerasLibrary(report, interpreter)
        interpreter.run()
        library.finish()
        steps += interpreter.steps
        decisions = interpreter.decisions
        pending.extend([*decisions[:i], False] for i in range(len(first_decisions), len(decisions)))
    return sorted(
        findings.values(), key=lambda finding: (finding.file, finding.cell or 0, finding.line or 0, finding.code)
    )
