"""Candidates: the bases that a comparison may choose from."""

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.bases import bundle
from headstart.bases.catalog import entries
from headstart.bases.handle import parse_handle
from headstart.config import BASES_ALL, BASES_HERE
from headstart.data.readers import Modality
from headstart.errors import InputError

_OF_TEXTS = ("all-minilm-l6-v2", "glove-6b-50d")  # among the embedded ones
_OF_HUGGING_FACE: dict[Modality, tuple[tuple[str, float], ...]] = {  # with millions of weights
    "image": (("facebook/dinov2-small", 22.1), ("facebook/dinov2-base", 86.6)),
    "text": (("BAAI/bge-small-en-v1.5", 33.4), ("sentence-transformers/all-mpnet-base-v2", 109.5)),
}
"""Of the hub's encoders, those that ``all`` means: small and common ones, with weights as safetensors."""


@dataclass(frozen=True)
class Candidate:
    """What is known of a base before it is loaded.

    Args:
        handle: of the base.
        size_mb: of its weights in MB, where known.
        is_here: whether it needs no network; None where only loading tells.
    """

    handle: str
    size_mb: float | None = None
    is_here: bool | None = None


def candidates(bases: str | Sequence[str], modality: Modality) -> list[Candidate]:
    """The bases that are meant.

    Args:
        bases: ``here``, all with a name that need no network; ``all`` with a name; or handles, also as one text with
            commas between them.
        modality: of the data.

    Raises:
        InputError: something is no handle, or there is none.
    """
    if bases == BASES_ALL:
        return _named(modality)
    if bases == BASES_HERE:
        return [one for one in _named(modality) if one.is_here]
    known = {one.handle: one for one in _named(modality)}
    given = _divided(bases) if isinstance(bases, str) else [*bases]
    if not given:
        raise InputError("--bases names none: expected here, all, or handles such as keras:Xception,keras:ResNet50.")
    handles = dict.fromkeys(str(parse_handle(handle)) for handle in given)
    return [known.get(handle, Candidate(handle)) for handle in handles]


def _divided(handles: str) -> list[str]:
    """Handles between commas; a comma in the path of one does not divide it."""
    parts: list[str] = []
    for part in handles.split(","):
        if ":" in part or not parts:
            parts.append(part.strip())
        else:
            parts[-1] += f",{part}"
    return [part for part in parts if part]


def _named(modality: Modality) -> list[Candidate]:
    held = bundle.held()
    if modality == "image":
        found = [Candidate(entry.handle, entry.size_mb, entry.is_here) for entry in entries()]
    else:
        found = [Candidate(f"embedded:{name}", is_here=True) for name in _OF_TEXTS]
    of_hub = [(f"hf:{name}", 4 * millions) for name, millions in _OF_HUGGING_FACE[modality]]
    found += [Candidate(handle, size_mb, handle in held or None) for handle, size_mb in of_hub]
    known = {one.handle for one in found}
    return found + [Candidate(handle, is_here=True) for handle in held if handle not in known]
