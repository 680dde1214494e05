"""Converts the syntax of IPython to Python, line by line, so that every line keeps its number.

Handled are magics (``%matplotlib inline``, ``%%time``), shell commands (``!pip install``), help (``model.fit?``),
assignments of these (``files = !ls``), and the forms that Databricks and Colab add. Source: "Built-in magic commands"
and "Introduction to IPython", https://ipython.readthedocs.io/en/stable/interactive/.
"""

import ast
import re
import warnings
from itertools import pairwise

_PYTHON_MAGICS = {"time", "timeit", "capture", "prun", "memit", "debug", "snakeviz", "wandb", "px"}
"""Cell magics whose cell is Python that shares its names with the other cells."""

_OTHER_MAGICS = {
    *("bash", "sh", "shell", "script", "system", "sx", "!", "cmd", "powershell", "html", "javascript", "js", "latex"),
    *(
        "markdown",
        "md",
        "md-sandbox",
        "svg",
        "css",
        "mermaid",
        "perl",
        "ruby",
        "r",
        "julia",
        "scala",
        "sql",
        "bigquery",
    ),
    *(
        "cython",
        "cuda",
        "cu",
        "cpp",
        "writefile",
        "file",
        "python",
        "python2",
        "python3",
        "pypy",
        "fs",
        "run",
        "configure",
    ),
}
"""Cell magics (in lower case) whose cell is another language, or Python in another process or file."""

_DATABRICKS_MAGICS = {"python", "md", "md-sandbox", "sh", "scala", "r", "sql", "fs"}
"""In Databricks, these line magics are valid for the whole cell."""

_CELL_MAGIC = re.compile(r"\s*%%([\w.!-]+)(.*)")
_LINE_MAGIC = re.compile(r"\s*%([\w-]+)(.*)")
_TIMED_STATEMENT = re.compile(r"%(?:time|timeit|prun|memit)\s+(?:-{1,2}\w[\w-]*\s*\d*\s+)*(?P<statement>.+)", re.DOTALL)
_ASSIGNMENT = re.compile(r"""(?P<targets>[\w.,\s\[\]'"*:]+?)=[ \t]*(?P<command>[!%].*)""", re.DOTALL)
_HELP = re.compile(r"""(?:\?|(?:[^#'"]|'[^']*'|"[^"]*")*\?+\s*(?:\#.*)?$)""")
_SHELL_WORD = re.compile(
    r"(?:pip3?|conda|mamba|uv|apt(?:-get)?|git|wget|curl|cd|ls|mkdir|rm|cp|mv|cat|unzip|python3?)"
    r"[ \t]+(?!(?:in|is|if|and|or|not|for)\b)[\w./~$-]"
)
_CELL_MARK = re.compile(r"^\# ?(?:%%|In ?\[[\d ]*\]|COMMAND -{5,}).*$", re.MULTILINE)
_TOKEN = re.compile(r"""\#.*|\"\"\"|'''|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[()\[\]{}]|\\$""")
_COLAB_NOTE = "# Commented out IPython magic to ensure Python compatibility."


def parses(code: str) -> bool:
    """Whether a text is Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def convert_cell(cell: str) -> str:
    """The Python in a code cell with the same number of lines; empty lines if the cell is another language."""
    lines = cell.split("\n")
    for i, line in enumerate(lines):
        is_python = _reads_as_python(line, lines[i + 1 :])
        if is_python is False:
            return "\n" * (len(lines) - 1)
        if is_python:
            lines[i] = ""
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return "\n".join(_convert_lines(_dedent(lines)))


def convert_script(code: str) -> str:
    """The Python in a ``.py`` file of an editor that runs cells, or of a notebook that was saved as a script."""
    marks = [0, *(match.start() for match in _CELL_MARK.finditer(code)), len(code)]
    return "".join(
        convert_cell(code[start : stop - 1]) + code[stop - 1 : stop] for start, stop in pairwise(marks) if stop > start
    )


def uncomment_magics(code: str) -> str:
    """Restore the cells with a magic that Colab turned into comments when it saved a notebook as a script."""
    lines = code.split("\n")
    is_commented = False
    for i, line in enumerate(lines):
        if i and lines[i - 1].startswith(_COLAB_NOTE):
            magic = _CELL_MAGIC.match(line.removeprefix("# "))
            is_commented = bool(magic and magic[1] in _PYTHON_MAGICS)
        elif is_commented and line.startswith("#"):
            lines[i] = line[2:]
        else:
            is_commented = False
    return "\n".join(lines)


def expand_magics(tree: ast.Module) -> ast.Module:
    """Replace ``get_ipython().run_cell_magic("time", "", code)``, as nbconvert writes it, by the code."""
    return _MagicCalls().visit(tree)


class _MagicCalls(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        call = node.value
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
            return node
        values = [argument.value if isinstance(argument, ast.Constant) else None for argument in call.args]
        is_magic = call.func.attr in ("run_cell_magic", "run_line_magic") and values[0] in _PYTHON_MAGICS
        code = values[-1] if is_magic and isinstance(values[-1], str) else ""
        code = convert_cell(code)
        if not code or not parses(code):
            return node
        statements = ast.parse(code).body
        for inner in (inner for statement in statements for inner in ast.walk(statement)):
            if hasattr(inner, "lineno"):
                inner.lineno = inner.end_lineno = node.lineno  # type: ignore[attr-defined]
        return statements


def _reads_as_python(line: str, following: list[str]) -> bool | None:
    """Whether the cell after a cell magic is Python; None if the line is no cell magic."""
    if magic := _CELL_MAGIC.match(line):
        name = magic[1].lower()
        if name in _PYTHON_MAGICS or name in _OTHER_MAGICS:
            return name in _PYTHON_MAGICS
        return parses(convert_cell("\n".join(following)))
    magic = _LINE_MAGIC.match(line)
    if magic is None or magic[1] not in _DATABRICKS_MAGICS:
        return None
    if magic[1] == "python":
        return not magic[2].strip() or None
    is_one_line = bool(magic[2].strip()) and magic[1] == "sql"  # of another extension
    return None if is_one_line and parses("\n".join(following)) else False


def _dedent(lines: list[str]) -> list[str]:
    """Remove the indentation of the first line of code from all lines, as IPython does."""
    first = next((line for line in lines if line.strip()), "")
    indentation = first[: len(first) - len(first.lstrip())]
    return [line.removeprefix(indentation) for line in lines]


def _convert_lines(lines: list[str]) -> list[str]:
    converted: list[str] = []
    state = _StatementState()
    pending = iter(lines)
    for line in pending:
        statement = line.lstrip()
        if not state.is_at_start or not _is_ipython(statement):
            state.read(line)
            converted.append(line)
            continue
        parts = [statement]
        while parts[-1].rstrip().endswith("\\") and (next_line := next(pending, None)) is not None:
            parts.append(next_line)
        command = " ".join(part.rstrip().removesuffix("\\") for part in parts)
        indentation = line[: len(line) - len(statement)]
        converted += [indentation + _convert_statement(command), *[""] * (len(parts) - 1)]
    return converted


def _is_ipython(statement: str) -> bool:
    if statement.startswith(("!", "%", ",", ";", "/")) or _HELP.match(statement) or _ASSIGNMENT.match(statement):
        return True
    return bool(_SHELL_WORD.match(statement)) and not parses(statement)


def _convert_statement(command: str) -> str:
    """The Python that a command of IPython executes; an assignment of anything else assigns an unknown value."""
    if assignment := _ASSIGNMENT.match(command):
        expression = _timed_statement(assignment["command"])
        assigned = f"{assignment['targets']}= {expression}"
        return assigned if expression and parses(assigned) else f"{assignment['targets']}= ..."
    return _timed_statement(command) or "pass"


def _timed_statement(command: str) -> str:
    """The Python in ``%time STATEMENT`` and similar magics, or an empty text."""
    timed = _TIMED_STATEMENT.fullmatch(command.strip())
    return timed["statement"] if timed and parses(timed["statement"]) else ""


class _StatementState:
    """Follows strings, brackets and continued lines, to know whether the next line begins a statement."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""  # of a string with several lines
        self._is_continued = False

    @property
    def is_at_start(self) -> bool:
        return not (self._depth or self._quote or self._is_continued)

    def read(self, line: str) -> None:
        self._is_continued = False
        position = 0
        while True:
            token = re.compile(rf"\\.|{self._quote}").search(line, position) if self._quote else None
            token = token or (None if self._quote else _TOKEN.search(line, position))
            if token is None:
                return
            position = token.end()
            self._follow(token[0])

    def _follow(self, token: str) -> None:
        if self._quote:
            self._quote = "" if token == self._quote else self._quote
        elif token in ('"""', "'''"):
            self._quote = token
        elif token in "([{":
            self._depth += 1
        elif token in ")]}":
            self._depth = max(self._depth - 1, 0)
        elif token == "\\":
            self._is_continued = True
