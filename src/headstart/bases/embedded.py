"""The source ``embedded:``: bases whose weights come with a Python package and need no download."""

import importlib
from types import ModuleType

from headstart.bases.handle import Handle
from headstart.errors import InputError, did_you_mean

_MODULES = {
    "efficientnet-lite0": "headstart.bases.efficientnet_lite",
    "all-minilm-l6-v2": "headstart.bases.huggingface",
    "glove-6b-50d": "headstart.bases.word_vectors",
}


def names() -> list[str]:
    """All names for ``embedded:``."""
    return list(_MODULES)


def module_of(handle: Handle) -> ModuleType:
    """The module that loads an embedded base.

    Raises:
        InputError: an unknown base, or an option in its handle.
    """
    if handle.name not in _MODULES or handle.options:
        handle_list = " and ".join(f"'embedded:{name}'" for name in _MODULES)
        raise InputError(
            f"unknown embedded base {str(handle)!r}: there are {handle_list}." + did_you_mean(handle.name, _MODULES)
        )
    return importlib.import_module(_MODULES[handle.name])
