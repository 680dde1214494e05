"""The source files of a script: the script or notebook, and the modules beside it that it imports."""

import ast
import os
import tokenize
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from headstart.checks.scripts.ipython import convert_script, expand_magics, parses, uncomment_magics
from headstart.checks.scripts.notebooks import read_notebook
from headstart.errors import InputError

_LINES_PER_FILE = 1_000_000  # line numbers are unique over all files: file number n starts at n times this
_INSTALLED = {"keras", "tensorflow", "tf_keras", "tensorflow_datasets", "numpy", "sklearn", "pandas", "matplotlib"}


class Place(NamedTuple):
    """A position: file, code cell of a notebook (from 1) or None, line (from 1)."""

    file: Path
    cell: int | None
    line: int


class Sources:
    """Reads a script, and its modules when they are imported.

    Args:
        path: a ``.py`` file or an ``.ipynb`` notebook.

    Attributes:
        main: the syntax tree of the script.
        language: of a notebook that is not Python, otherwise None.
        cell_problems: one sentence for each cell of a notebook that was skipped because it is not Python.

    Raises:
        InputError: the file cannot be read, or nothing in it is Python.
    """

    def __init__(self, path: Path) -> None:
        self._trees: dict[Path, ast.Module] = {}
        self._modules: dict[tuple[str, int, int], ast.Module | None] = {}
        self._reassigned_names: set[str] = set()
        self._searched_file_count = 0  # files that were searched for these names
        self._cells: list[str] | None = None
        self.language: str | None = None
        self.cell_problems: list[str] = []
        if path.suffix == ".ipynb":
            self.language, self._cells = read_notebook(path)
            self.main = self._trees[path] = self._parse_cells(path, self._cells)
        else:
            self.main = self._add(path, path.read_bytes())

    def _parse_cells(self, path: Path, cells: list[str]) -> ast.Module:
        """Parse each cell by itself: a cell that is not Python is skipped, the others are read."""
        statements: list[ast.stmt] = []
        line_count = 0
        for number, cell in enumerate(cells, 1):
            try:
                tree = _parse_text(f"{path}:cell {number}", cell)
                statements += ast.increment_lineno(tree, line_count).body
            except InputError as exc:
                self.cell_problems.append(f"{exc} The cell is skipped.")
            line_count += cell.count("\n") + 1
        if self.cell_problems and not statements:
            raise InputError(f"no code cell of {path} is Python. {self.cell_problems[0]}")
        return ast.Module(statements, [])

    def reassigned_names(self) -> set[str]:
        """Names that may have several values while the script runs."""
        if len(self._trees) > self._searched_file_count:
            nodes = [node for tree in self._trees.values() for node in ast.walk(tree)]
            counts = Counter(
                node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
            targets = [node.target for node in nodes if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension))]
            names = {name for name, count in counts.items() if count > 1}
            names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
            names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
            self._reassigned_names = names
            self._searched_file_count = len(self._trees)
        return self._reassigned_names

    def read_all(self) -> list[ast.Module]:
        """The syntax trees of the script and of the modules that it imports from files beside it."""
        for node in ast.walk(self.main):
            if isinstance(node, ast.ImportFrom):
                self.module(node.module or "", node.level, node.lineno)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.module(alias.name, 0, node.lineno)
        return list(self._trees.values())

    def module(self, name: str, level: int, line: int) -> ast.Module | None:
        """The syntax tree of an imported module, if it is a file beside the importing file or beside the script.

        Args:
            name: with dots.
            level: number of dots before the name.
            line: of the import.
        """
        key = (name, level, line // _LINES_PER_FILE)
        if key not in self._modules:
            is_installed = not name or name.partition(".")[0] in _INSTALLED
            self._modules[key] = None if is_installed else self._read_local_module(*key)
        return self._modules[key]

    def _read_local_module(self, name: str, level: int, file_number: int) -> ast.Module | None:
        files = list(self._trees)
        importing_folder = files[file_number].parent
        package = importing_folder.joinpath(*[".."] * (level - 1))
        folders = [package] if level else [importing_folder, files[0].parent]
        paths = [folder / name.replace(".", "/") for folder in folders]
        for candidate in (os.path.normpath(f"{path}{end}") for path in paths for end in (".py", "/__init__.py")):
            if (file := Path(candidate)) in self._trees:
                return self._trees[file]
            if file.is_file():
                return self._read_module(file)
        return None

    def _read_module(self, file: Path) -> ast.Module | None:
        try:
            return self._add(file, file.read_bytes())
        except (InputError, OSError):
            return None  # as if there were no such module

    def _add(self, file: Path, source: bytes) -> ast.Module:
        tree = ast.increment_lineno(_parse(file, source), len(self._trees) * _LINES_PER_FILE)
        self._trees[file] = tree
        return tree

    def place(self, line: int) -> Place:
        """File, cell and line for a line number of a syntax tree."""
        file_number, line = divmod(line, _LINES_PER_FILE)
        if file_number == 0 and self._cells is not None:
            for cell, line_count in enumerate((cell.count("\n") + 1 for cell in self._cells), 1):
                if line <= line_count:
                    return Place(next(iter(self._trees)), cell, line)
                line -= line_count
        return Place(list(self._trees)[file_number], None, line)

    def describe(self, line: int) -> str:
        """A line number of a syntax tree in words: ``line 3``, ``cell 2, line 3`` or ``line 3 of models.py``."""
        file, cell, line = self.place(line)
        if cell:
            return f"cell {cell}, line {line}"
        return f"line {line}" if file == next(iter(self._trees)) else f"line {line} of {file.name}"


def _parse(path: Path, source: bytes) -> ast.Module:
    """Parse a script; if it is not Python, it may be a notebook that was saved as a script."""
    try:
        text = _decode(source)
        text = uncomment_magics(text)
        if not parses(text) and parses(converted := convert_script(text)):
            text = converted
    except (SyntaxError, UnicodeDecodeError):  # of the encoding
        return _parse_text(str(path), source)
    return expand_magics(_parse_text(str(path), text))


def _decode(source: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(BytesIO(source).readline)
    return source.decode(encoding)


def _parse_text(place: str, source: str | bytes) -> ast.Module:
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings about the script, such as invalid escapes
            return ast.parse(source)
    except SyntaxError as exc:
        where = f"{place}:{exc.lineno}" if exc.lineno else place
        raise InputError(f"{where} is not Python 3: {exc.msg}.") from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise InputError(f"{place} cannot be read as Python: {exc}.") from exc
