"""Reads the code cells of Jupyter notebooks, in all versions of the format."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from headstart.checks.scripts.ipython import convert_cell
from headstart.errors import InputError

_PYTHON_NAMES = {"python", "python2", "python3", "ipython", "pyspark", "sagemath"}
_LANGUAGE_OF_KERNEL = {"ir": "R"}


class Notebook(NamedTuple):
    """The code of a notebook.

    Attributes:
        language: its programming language if it is not Python, otherwise None.
        cells: the Python of each code cell, with as many lines as the cell; empty lines for other languages.
    """

    language: str | None
    cells: list[str]


def read_notebook(path: Path) -> Notebook:
    """Read a notebook.

    Args:
        path: an ``.ipynb`` file of version 1 to 4 of the format.

    Raises:
        InputError: the file is not a notebook.
    """
    try:
        notebook = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{path} is damaged or not a Jupyter notebook: {exc}.") from exc
    notebook = _dict(notebook)
    sheets = [notebook, *(_dict(sheet) for sheet in _list(notebook.get("worksheets")))]
    lists = [sheet["cells"] for sheet in sheets if isinstance(sheet.get("cells"), list)]
    if not lists:
        raise InputError(f"{path} is damaged or not a Jupyter notebook: it has no list of cells.")
    language = _language(_dict(notebook.get("metadata")))
    code_cells = [cell for cells in lists for cell in map(_dict, cells) if cell.get("cell_type") == "code"]
    return Notebook(language, [] if language else [_python_of(cell) for cell in code_cells])


def _language(metadata: dict[str, Any]) -> str | None:
    """The language of a notebook or cell if it is not Python."""
    kernel = _dict(metadata.get("kernelspec"))
    names = [
        kernel.get("language"),
        _dict(metadata.get("language_info")).get("name"),
        _dict(metadata.get("vscode")).get("languageId"),
        _LANGUAGE_OF_KERNEL.get(str(kernel.get("name"))),
    ]
    language = next((name for name in names if isinstance(name, str) and name), "python")
    return None if language.lower() in _PYTHON_NAMES else language


def _python_of(cell: dict[str, Any]) -> str:
    source = next((cell[name] for name in ("source", "input", "code") if name in cell), "")
    text = source if isinstance(source, str) else "".join(line for line in _list(source) if isinstance(line, str))
    own_language = cell.get("language", "python")
    if _language(_dict(cell.get("metadata"))) or str(own_language).lower() not in _PYTHON_NAMES:
        return "\n" * text.count("\n")
    return convert_cell(text)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
