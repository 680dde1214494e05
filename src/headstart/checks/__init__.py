"""Checks of someone's own Keras transfer learning, beside the stages: takes scripts and model files, gives findings.

A script becomes, by way of the interpreter, what a model file is from the start: networks of layers. The rules look at
these.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from headstart.checks.rules import RULES, Finding, Rule
from headstart.errors import InputError

__all__ = ["RULES", "Finding", "Rule", "check"]

_SCRIPTS = (".py", ".ipynb")
_MODELS = (".keras", ".h5", ".hdf5")


def check(*paths: str | os.PathLike[str]) -> list[Finding]:
    """Look for the mistakes of transfer learning in a training script or a Keras model.

    Nothing is executed: scripts are read as syntax trees, models opened in Keras's safe mode.

    Args:
        paths: ``.py`` or ``.ipynb`` files, ``.keras`` or full-model ``.h5`` files, or folders: then all of these in
            them. A run folder means its model.

    Returns:
        What was found, scripts first, by file and line; an empty list if nothing was.

    Raises:
        InputError: no such file, not one of these, or one that cannot be read.
    """
    from headstart.checks.script import check_script

    findings: list[Finding] = []
    files = list(dict.fromkeys(file for path in paths for file in _files(Path(path))))
    for file in files:
        if file.suffix in _SCRIPTS:
            findings += check_script(file)
    models = [file for file in files if file.suffix in _MODELS]
    if models:
        from headstart.checks.model_file import check_models

        findings += check_models(models)
    return findings


def _files(path: Path) -> Iterable[Path]:
    path = path.expanduser()
    if path.is_dir():
        if (path / "model.keras").is_file():
            return [path / "model.keras"]
        found = [file for file in sorted(path.rglob("*")) if file.suffix in (*_SCRIPTS, ".keras") and file.is_file()]
        if not found:
            raise InputError(f"there is nothing to check in {path}: expected .py, .ipynb or .keras files.")
        return found
    if not path.is_file():
        raise InputError(f"no file at {path}: expected a training script or a Keras model.")
    if path.suffix not in (*_SCRIPTS, *_MODELS):
        raise InputError(f"cannot check {path}: expected a file that ends in .py, .ipynb, .keras or .h5.")
    return [path]
