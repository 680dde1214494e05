"""The source files of a script: the script or notebook, and the modules beside it that it imports."""

import ast
import json
import os
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from headstart.errors import InputError

_LINES_PER_FILE = 1_000_000  # line numbers are unique over all files: file number n starts at n times this
_IPYTHON = re.compile(r"^([ \t]*)(?:[\w, ]+=[ \t]*)?(?:[%!?].*|[\w.]+\?+[ \t]*)$", re.MULTILINE)
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

    Raises:
        InputError: the file cannot be read, or is not Python.
    """

    def __init__(self, path: Path) -> None:
        self._trees: dict[Path, ast.Module] = {}
        self._modules: dict[tuple[str, int, int], ast.Module | None] = {}
        self._reassigned_names: set[str] = set()
        self._searched_file_count = 0  # files that were searched for these names
        self._cells = _code_cells(path) if path.suffix == ".ipynb" else None
        source = path.read_bytes() if self._cells is None else "\n".join(self._cells).encode()
        self._has_keras = b"keras" in source
        self.main = self._add(path, source)

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

    def mention_keras(self) -> bool:
        """Whether the script or an imported module contains the word keras."""
        for node in ast.walk(self.main):
            if isinstance(node, ast.ImportFrom):
                self.module(node.module or "", node.level, node.lineno)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.module(alias.name, 0, node.lineno)
        return self._has_keras

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
            source = file.read_bytes()
            self._has_keras = self._has_keras or b"keras" in source
            return self._add(file, source)
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


def _parse(path: Path, source: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings about the script, such as invalid escapes
            return ast.parse(source, filename=str(path))
    except SyntaxError as exc:
        where = f"{path}:{exc.lineno}" if exc.lineno else str(path)
        raise InputError(f"{where} is not Python 3: {exc.msg}.") from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise InputError(f"{path} cannot be read as Python: {exc}.") from exc


def _code_cells(path: Path) -> list[str]:
    """The code cells of a notebook; lines in the syntax of IPython are replaced by ``pass``."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (KeyError, TypeError, ValueError) as exc:
        raise InputError(f"{path} is damaged or not a Jupyter notebook of version 4: {exc}.") from exc
    return ["\n" * cell.count("\n") if cell.startswith("%%") else _IPYTHON.sub(r"\1pass", cell) for cell in code]
