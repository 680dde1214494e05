"""What an example is: everything that depends on the kind of example, one modality for each kind."""

from headstart.data.modalities.image import IMAGE
from headstart.data.modalities.modality import Modality
from headstart.data.modalities.registry import (
    get_modality,
    modalities,
    modality_of_folder,
    modality_of_table,
    register_modality,
    unregister_modality,
)
from headstart.data.modalities.text import TEXT

__all__ = [
    "IMAGE", "TEXT", "Modality", "get_modality", "modalities", "modality_of_folder", "modality_of_table",
    "register_modality", "unregister_modality",
]  # fmt: skip
