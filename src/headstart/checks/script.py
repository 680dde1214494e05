"""Training scripts: a Python file or a notebook, read and gone through in every way that its conditions allow."""

import ast
import json
from collections import deque
from pathlib import Path

from headstart.checks.interpreter import Interpreter
from headstart.checks.library import Keras
from headstart.checks.rules import Finding, finding
from headstart.errors import InputError

_MAX_WAYS = 64
"""Ways through a script that are tried; at first those in which one condition is other than usual."""


def check_script(path: Path) -> list[Finding]:
    """Find the mistakes in a script, without running it.

    Args:
        path: a ``.py`` file or an ``.ipynb`` notebook. Lines of a notebook are counted over its code cells.

    Raises:
        InputError: it cannot be read, or is not Python.
    """
    source = _source(path)
    tree = _parse(path, source)
    if b"keras" not in source:
        return []
    found: dict[tuple[str, int], Finding] = {}

    def report(rule: str, line: int, message: str) -> None:
        found.setdefault((rule, line), finding(rule, message, path, line))

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
    return sorted(found.values(), key=lambda one: (one.line or 0, one.code))


def _source(path: Path) -> bytes:
    return _code_of_notebook(path).encode() if path.suffix == ".ipynb" else path.read_bytes()


def _parse(path: Path, source: bytes) -> ast.Module:
    try:
        return ast.parse(source, filename=str(path))
    except SyntaxError as exc:
        where = f"{path}:{exc.lineno}" if exc.lineno else str(path)
        raise InputError(f"{where} is not Python 3: {exc.msg}.") from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise InputError(f"{path} cannot be read as Python: {exc}.") from exc


def _code_of_notebook(path: Path) -> str:
    """Its code cells one after the other; what is IPython's own and not Python becomes a comment."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (KeyError, TypeError, ValueError) as exc:
        raise InputError(f"{path} is damaged or not a Jupyter notebook of version 4: {exc}.") from exc
    lines = "\n".join(code).split("\n")
    return "\n".join(f"# {line}" if line.lstrip().startswith(("%", "!", "?")) else line for line in lines)
