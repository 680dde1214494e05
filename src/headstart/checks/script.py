"""Training scripts: a Python file or a notebook, read and gone through in every way that its conditions allow."""

import ast
import json
import re
import warnings
from collections import deque
from dataclasses import replace
from pathlib import Path

from headstart.checks.interpreter import Interpreter
from headstart.checks.library import Keras
from headstart.checks.rules import Finding, finding
from headstart.errors import InputError

_IPYTHON = re.compile(r"^([ \t]*)(?:[\w, ]+=[ \t]*)?(?:[%!?].*|[\w.]+\?+[ \t]*)$", re.MULTILINE)
_MAX_WAYS = 64
"""Ways through a script that are tried; at first those in which one condition is other than usual."""


def check_script(path: Path) -> list[Finding]:
    """Find the mistakes in a script, without running it.

    Args:
        path: a ``.py`` file or an ``.ipynb`` notebook.

    Raises:
        InputError: it cannot be read, or is not Python.
    """
    cells = _code_cells(path) if path.suffix == ".ipynb" else None
    source = path.read_bytes() if cells is None else "\n".join(cells).encode()
    tree = _parse(path, source)
    if b"keras" not in source:
        return []
    found: dict[tuple[str, int], Finding] = {}

    def report(rule: str, line: int, message: str) -> None:
        if (rule, line) not in found:
            found[rule, line] = finding(rule, message, path, line)

    ways: deque[list[bool]] = deque([[]])
    for _ in range(_MAX_WAYS):
        if not ways:
            break
        prefix = ways.popleft()
        way = Interpreter(tree, prefix)
        way.library = library = Keras(report, way)
        way.run()
        library.finish()
        ways.extend([*way.trail[:i], False] for i in range(len(prefix), len(way.trail)))
    findings = sorted(found.values(), key=lambda one: (one.line or 0, one.code))
    return findings if cells is None else [_in_cell(one, cells) for one in findings]


def _parse(path: Path, source: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings(action="ignore"):  # of the script, such as unusual escapes
            return ast.parse(source, filename=str(path))
    except SyntaxError as exc:
        where = f"{path}:{exc.lineno}" if exc.lineno else str(path)
        raise InputError(f"{where} is not Python 3: {exc.msg}.") from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise InputError(f"{path} cannot be read as Python: {exc}.") from exc


def _code_cells(path: Path) -> list[str]:
    """The code cells of a notebook; what is IPython's own and not Python is left out."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (KeyError, TypeError, ValueError) as exc:
        raise InputError(f"{path} is damaged or not a Jupyter notebook of version 4: {exc}.") from exc
    return ["\n" * cell.count("\n") if cell.startswith("%%") else _IPYTHON.sub(r"\1pass", cell) for cell in code]


def _in_cell(one: Finding, cells: list[str]) -> Finding:
    """A finding with its place in the notebook."""
    line = one.line or 1
    for number, cell in enumerate(cells, 1):
        lines = cell.count("\n") + 1
        if line <= lines:
            return replace(one, cell=number, line=line)
        line -= lines
    return one
