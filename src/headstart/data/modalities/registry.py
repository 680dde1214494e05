"""The modalities by name: those of headstart, and those that other packages register.

A package registers a modality with :func:`register_modality`, or names it in its metadata, where every headstart
process finds it without an import:

    [project.entry-points."headstart.modalities"]
    audio = "my_package.audio:Audio"
"""

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


def get_modality(name: str) -> Modality:
    """The modality with a name.

    Raises:
        InputError: no installed package has it.
    """
    return _REGISTRY.get(name)
