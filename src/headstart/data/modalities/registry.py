"""The modalities by name: those of headstart, and those that other packages register.

A package registers a modality with :func:`register_modality`, or names it in its metadata, where every headstart
process finds it without an import:

    [project.entry-points."headstart.modalities"]
    audio = "my_package.audio:Audio"
"""

from importlib.metadata import entry_points

from headstart.data.modalities.image import IMAGE
from headstart.data.modalities.modality import Modality
from headstart.data.modalities.text import TEXT
from headstart.errors import InputError, did_you_mean

ENTRY_POINTS = "headstart.modalities"

_MODALITIES: dict[str, Modality] = {modality.name: modality for modality in (IMAGE, TEXT)}


def register_modality(modality: Modality) -> None:
    """Add a modality, which bases and runs then name.

    Raises:
        InputError: there is a modality of this name already.
    """
    if modality.name in _MODALITIES:
        raise InputError(f"there is a modality named {modality.name!r} already.")
    _MODALITIES[modality.name] = modality


def unregister_modality(name: str) -> None:
    """Remove a modality that :func:`register_modality` added."""
    del _MODALITIES[name]


def modalities() -> list[Modality]:
    """All modalities that are registered, those of headstart first."""
    return list(_MODALITIES.values())


def get_modality(name: str) -> Modality:
    """The modality with a name.

    Raises:
        InputError: no package here has it.
    """
    if name not in _MODALITIES:
        for entry_point in entry_points(group=ENTRY_POINTS, name=name):
            register_modality(entry_point.load()())
    if name not in _MODALITIES:
        raise InputError(
            f"unknown modality {name!r}: expected one of {', '.join(_MODALITIES)}."
            f"{did_you_mean(name, _MODALITIES)} If a package adds this modality, install or import it first."
        )
    return _MODALITIES[name]
