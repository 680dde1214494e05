"""Optional packages: imported when first needed, with an error that names the extra to install."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from headstart.errors import UnavailableError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Raises:
        UnavailableError: the module is not installed; the text names the extra that brings it.
    """
    return _import(module, purpose, f"'headstart[{extra}]'")


def require_package(module: str, *, purpose: str) -> ModuleType:
    """Import an optional module of a package that no extra brings, and that has the name of the module.

    Raises:
        UnavailableError: it is not installed.
    """
    return _import(module, purpose, module)


def _import(module: str, purpose: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        raise UnavailableError(
            f"{purpose} needs the Python package {module!r}, which is not installed. "
            f"Install it with: pip install {install}"
        ) from exc


def path_in_package(module: str, inside: str, *, contents: str, package: str, install: str) -> Path:
    """A file or folder that comes with a Python package, which is not imported for it.

    Args:
        module: the package as it is imported.
        inside: path in it.
        contents: is missing if it is not installed, for the message.
        package: its name where it is published.
        install: what to give to ``pip install``.

    Raises:
        UnavailableError: the package is not installed.
    """
    spec = find_spec(module)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.exists():
        raise UnavailableError(
            f"{contents} are missing: they come with the Python package {package!r}. "
            f"Install it with: pip install {install}"
        )
    return path
