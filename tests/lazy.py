"""Packages that take seconds to import: a test imports them when it first uses them, so the others start at once."""

import importlib
from importlib.util import find_spec
from typing import Any

import pytest


class Lazy:
    """Stands for a module; its first attribute imports it.

    Args:
        name: of the module.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith(("_", "pytest")):  # pytest looks at every name of a test's module
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self.__name__), attribute)


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skips a test where a package is not installed."""
    missing = [package for package in packages if find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"could not find {', '.join(missing)}")
