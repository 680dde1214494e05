"""Finds the scripts and model files to check."""

import os
from collections.abc import Iterator
from pathlib import Path

from headstart.errors import InputError

SCRIPT_SUFFIXES = (".py", ".ipynb")
MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


def find_files(path: Path) -> list[Path]:
    """The files to check for one path.

    Args:
        path: a script or model file; a run folder, which stands for its model; or a folder with scripts and ``.keras``
            files.

    Raises:
        InputError: there is no such file, or it is not a script or model.
    """
    if path.is_dir():
        model = path / "model.keras"
        files = [model] if model.is_file() else list(_search_folder(path))
        if not files:
            raise InputError(f"no files to check in {path}: expected .py, .ipynb or .keras files.")
        return files
    if not path.is_file():
        raise InputError(f"no file at {path}: expected a training script or a Keras model.")
    if path.suffix not in (*SCRIPT_SUFFIXES, *MODEL_SUFFIXES):
        raise InputError(f"cannot check {path}: expected a file that ends in .py, .ipynb, .keras or .h5.")
    return [path]


def _search_folder(folder: Path) -> Iterator[Path]:
    """The scripts and models in a folder, without hidden folders and virtual environments."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")) and name != "site-packages")
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        yield from (Path(parent, name) for name in sorted(names) if name.endswith((*SCRIPT_SUFFIXES, ".keras")))
