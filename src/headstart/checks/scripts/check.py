"""Checks training scripts: follows every execution path and applies the rules."""

import logging
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from headstart.checks.rules.catalog import Finding, make_finding
from headstart.checks.scripts.frameworks import describe_other_framework
from headstart.checks.scripts.interpreter import MAX_STEPS, Interpreter
from headstart.checks.scripts.keras_library import KerasLibrary
from headstart.checks.scripts.sources import Place, Sources
from headstart.errors import InputError

logger = logging.getLogger(__name__)

_LINE = re.compile(r"\bline (\d+)\b")  # of a syntax tree, in the message of a rule
_MAX_EXECUTIONS = 64
"""Largest number of execution paths of a script. Paths that differ from the default in one condition come first."""


class ScriptResults(NamedTuple):
    """What was found in scripts.

    Attributes:
        findings: each once: a module is checked itself and as a part of the scripts that import it.
        problems: file -> why it could not be checked.
        other_frameworks: file without Keras -> what it uses instead.
    """

    findings: list[Finding]
    problems: dict[Path, InputError]
    other_frameworks: dict[Path, str]


def check_scripts(paths: Iterable[Path]) -> ScriptResults:
    """Find mistakes in scripts. Cells of a notebook that are not Python lead to a warning.

    Args:
        paths: ``.py`` files or ``.ipynb`` notebooks.
    """
    findings: dict[Finding, None] = {}
    results = ScriptResults([], {}, {})
    for path in paths:
        try:
            sources = Sources(path)
        except InputError as exc:
            results.problems[path] = exc
            continue
        for problem in sources.cell_problems:
            logger.warning(problem)
        if description := describe_other_framework(sources):
            results.other_frameworks[path] = description
        else:
            findings.update(dict.fromkeys(_check_script(sources)))
    return results._replace(findings=list(findings))


def _check_script(sources: Sources) -> list[Finding]:
    findings: dict[tuple[str, Place], Finding] = {}

    def report(rule: str, line: int, message: str) -> None:
        place = sources.place(line)
        message = _LINE.sub(lambda match: sources.describe(int(match[1])), message)
        if (rule, place) not in findings:
            findings[rule, place] = make_finding(rule, message, place.file, place.line, place.cell)

    pending: deque[list[bool]] = deque([[]])
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
