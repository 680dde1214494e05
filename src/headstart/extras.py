"""Optional packages: imported when first needed, with an error that names the extra to install."""

import importlib
from types import ModuleType

from headstart.errors import UnavailableError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Raises:
        UnavailableError: the module is not installed; the text names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        raise UnavailableError(
            f"{purpose} needs the Python package {module!r}, which is not installed. "
            f"Install it with: pip install 'headstart[{extra}]'"
        ) from exc
