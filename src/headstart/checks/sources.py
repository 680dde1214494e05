"""The files of a script: itself or a notebook, and the modules beside it that it imports."""

import ast
import json
import os
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from headstart.errors import InputError

_FILE = 1_000_000  # lines are counted through all files: those of the file with the number n begin at n times this
_IPYTHON = re.compile(r"^([ \t]*)(?:[\w, ]+=[ \t]*)?(?:[%!?].*|[\w.]+\?+[ \t]*)$", re.MULTILINE)
_INSTALLED = {"keras", "tensorflow", "tf_keras", "tensorflow_datasets", "numpy", "sklearn", "pandas", "matplotlib"}


class Place(NamedTuple):
    """Where something is: file, code cell of a notebook (from 1) or None, line (from 1)."""

    file: Path
    cell: int | None
    line: int


class Sources:
    """Reads a script, and modules when they are asked for.

    Args:
        path: a ``.py`` file or an ``.ipynb`` notebook.

    Attributes:
        main: the syntax tree of the script.

    Raises:
        InputError: it cannot be read, or is not Python.
    """

    def __init__(self, path: Path) -> None:
        self._files: dict[Path, ast.Module] = {}
        self._modules: dict[tuple[str, int, int], ast.Module | None] = {}
        self._varying: set[str] = set()
        self._counted = 0  # of the files, for these names
        self._cells = _code_cells(path) if path.suffix == ".ipynb" else None
        source = path.read_bytes() if self._cells is None else "\n".join(self._cells).encode()
        self._keras = b"keras" in source
        self.main = self._add(path, source)

    def varying_names(self) -> set[str]:
        """Names that may have several values in the course of the script."""
        if len(self._files) > self._counted:
            nodes = [node for tree in self._files.values() for node in ast.walk(tree)]
            stored = Counter(one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
            loops = [one.target for one in nodes if isinstance(one, (ast.For, ast.AsyncFor, ast.comprehension))]
            self._varying = {name for name, times in stored.items() if times > 1}
            self._varying |= {one.arg for one in nodes if isinstance(one, ast.arg)}
            self._varying |= {one.id for target in loops for one in ast.walk(target) if isinstance(one, ast.Name)}
            self._counted = len(self._files)
        return self._varying

    def mention_keras(self) -> bool:
        """Whether the script, or a module that it imports, has to do with Keras at all."""
        imports = [node for node in ast.walk(self.main) if isinstance(node, (ast.Import, ast.ImportFrom))]
        for node in imports:
            for name in [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]:
                self.module(name, getattr(node, "level", 0), node.lineno)
        return self._keras

    def module(self, name: str, level: int, line: int) -> ast.Module | None:
        """The module that an import means, if it is a file beside the importing one or beside the script.

        Args:
            name: with dots.
            level: number of dots before it.
            line: of the import.
        """
        key = (name, level, line // _FILE)
        if key not in self._modules:
            installed = not name or name.partition(".")[0] in _INSTALLED
            self._modules[key] = None if installed else self._beside(*key)
        return self._modules[key]

    def _beside(self, name: str, level: int, number: int) -> ast.Module | None:
        files = list(self._files)
        near = files[number].parent
        folders = [near.joinpath(*[".."] * (level - 1))] if level else [near, files[0].parent]
        paths = [folder / name.replace(".", "/") for folder in folders]
        for file in (os.path.normpath(f"{path}{end}") for path in paths for end in (".py", "/__init__.py")):
            if (known := Path(file)) in self._files:
                return self._files[known]
            if os.path.isfile(file):
                return self._read(known)
        return None

    def place(self, line: int) -> Place:
        """Where a line of a syntax tree is."""
        number, line = divmod(line, _FILE)
        if number == 0 and self._cells is not None:
            for cell, lines in enumerate((cell.count("\n") + 1 for cell in self._cells), 1):
                if line <= lines:
                    return Place(next(iter(self._files)), cell, line)
                line -= lines
        return Place(list(self._files)[number], None, line)

    def _read(self, file: Path) -> ast.Module | None:
        try:
            source = file.read_bytes()
            self._keras = self._keras or b"keras" in source
            return self._add(file, source)
        except (InputError, OSError):
            return None  # like a module that is not here

    def _add(self, file: Path, source: bytes) -> ast.Module:
        tree = ast.increment_lineno(_parse(file, source), len(self._files) * _FILE)
        self._files[file] = tree
        return tree


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
