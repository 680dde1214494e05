"""headstart: transfer learning, done right.

    import headstart as hs
    run = hs.train("photos/")
    run.metrics["accuracy"], run.predict("cat.jpg"), run.report()

The stages are usable on their own: :func:`load_base`, :func:`load_dataset`, :func:`extract`. Names are imported when
they are first used, so ``import headstart`` is quick and pulls in nothing heavy.

The import also switches off the usage reports of the libraries behind it: see :mod:`headstart.system.telemetry`.
"""

from typing import Any

import lazy_loader

from headstart.system import telemetry as _telemetry

_telemetry.switch_off()  # here, because every process that uses any part of headstart runs this file first
_import_public, _, _names = lazy_loader.attach_stub(__name__, __file__)  # the names in __init__.pyi
__all__ = [*_names, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("headstart")
    if name not in __all__:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return _import_public(name)


def __dir__() -> list[str]:
    return sorted(__all__)
