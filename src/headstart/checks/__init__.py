"""Checks of someone's own Keras transfer learning, beside the stages: takes scripts and model files, gives findings.

A script becomes, by way of the interpreter, what a model file is from the start: networks of layers. The rules look at
these.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from headstart.checks.rules import RULES, Finding, Rule
from headstart.errors import InputError

logger = logging.getLogger(__name__)

__all__ = ["RULES", "Finding", "Rule", "check"]

_SCRIPTS = (".py", ".ipynb")
_MODELS = (".keras", ".h5", ".hdf5")


def check(*paths: str | os.PathLike[str]) -> list[Finding]:
    """Look for the mistakes of transfer learning in training scripts and Keras models.

    Nothing is executed: scripts are read as syntax trees, models opened in Keras's safe mode.

    Args:
        paths: ``.py`` or ``.ipynb`` files, ``.keras`` or full-model ``.h5`` files, or folders: then all scripts and
            ``.keras`` files in them; those of them that cannot be read are named in warnings. A run folder means its
            model.

    Returns:
        What was found, scripts first, by file and line; an empty list if nothing was.

    Raises:
        InputError: no such file, not one of these, or a named one that cannot be read.
    """
    named = {path for path in map(Path, paths) if not path.is_dir()}
    files = list(dict.fromkeys(file for path in map(Path, paths) for file in _files(path)))
    findings, problems = _scripts([file for file in files if file.suffix in _SCRIPTS])
    models = [file for file in files if file.suffix in _MODELS]
    if models:
        from headstart.checks.model_file import check_models

        found, others = check_models(models)
        findings, problems = findings + found, problems | others
    for file, problem in problems.items():
        if file in named:
            raise problem
        logger.warning(str(problem))
    return findings


def _scripts(files: list[Path]) -> tuple[list[Finding], dict[Path, InputError]]:
    from headstart.checks.script import check_script

    findings: dict[Finding, None] = {}  # each once: a module is seen by itself and by way of those that import it
    problems = {}
    for file in files:
        try:
            findings.update(dict.fromkeys(check_script(file)))
        except InputError as exc:
            problems[file] = exc
    return list(findings), problems


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = [path / "model.keras"] if (path / "model.keras").is_file() else list(_walk(path))
        if not found:
            raise InputError(f"there is nothing to check in {path}: expected .py, .ipynb or .keras files.")
        return found
    if not path.is_file():
        raise InputError(f"no file at {path}: expected a training script or a Keras model.")
    if path.suffix not in (*_SCRIPTS, *_MODELS):
        raise InputError(f"cannot check {path}: expected a file that ends in .py, .ipynb, .keras or .h5.")
    return [path]


def _walk(folder: Path) -> Iterator[Path]:
    """The scripts and models in a folder; hidden folders and environments are not one's own code."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")) and name != "site-packages")
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        yield from (Path(place, name) for name in sorted(names) if name.endswith((*_SCRIPTS, ".keras")))
