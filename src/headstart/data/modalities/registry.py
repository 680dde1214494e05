"""The modalities by name: those of headstart, and those that other packages register.

A package registers a modality with :func:`register_modality`, or names it in its metadata, where every headstart
process finds it without an import. A source of bases for it, which loads them by their handles, is a module:

    [project.entry-points."headstart.modalities"]
    audio = "my_package.audio:Audio"

    [project.entry-points."headstart.sources"]
    wav2vec = "my_package.bases"
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from headstart.data.folders import ignore_unread, walk
from headstart.data.modalities.image import IMAGE
from headstart.data.modalities.modality import Modality
from headstart.data.modalities.text import TEXT
from headstart.system.registry import Registry

_REGISTRY: Registry[Modality] = Registry("modality", (IMAGE, TEXT), group="headstart.modalities")


def register_modality(modality: Modality) -> None:
    """Add a modality, which bases and runs then name.

    Raises:
        InputError: there is a modality of this name already.
    """
    _REGISTRY.register(modality)


def unregister_modality(name: str) -> None:
    """Remove a modality that :func:`register_modality` added."""
    _REGISTRY.unregister(name)


def modalities() -> list[Modality]:
    """All modalities that are registered, those of headstart first."""
    return _REGISTRY.all()


def modality_of_folder(root: Path) -> Modality:
    """The first modality that has a file in a folder; texts if none has."""
    return _first_with_file(lambda modality: modality.has_file(walk(str(root), ignore_unread))) or TEXT


def modality_of_table(files: Sequence[str], texts: Sequence[str]) -> Modality:
    """The modality of a table: texts if it holds some, else the first one that has a file of it.

    If none has, it is images, because a URL may lack an extension.
    """
    if texts:
        return TEXT
    return _first_with_file(lambda modality: not modality.is_in_tables and modality.has_file(files)) or IMAGE


def _first_with_file(has_file: Callable[[Modality], bool]) -> Modality | None:
    """The first modality with a file; those of installed packages are imported only if no other has one."""
    return next(filter(has_file, chain(modalities(), _installed())), None)


def _installed() -> Iterator[Modality]:
    yield from _REGISTRY.load_installed()


def get_modality(name: str) -> Modality:
    """The modality with a name.

    Raises:
        InputError: no installed package has it.
    """
    return _REGISTRY.get(name)
