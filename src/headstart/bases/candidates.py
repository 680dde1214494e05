"""Candidates: the bases that a comparison chooses from."""

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.bases import bundle
from headstart.bases.catalog import entries
from headstart.bases.handle import parse_handle
from headstart.config import BASES_ALL, BASES_HERE
from headstart.data.modalities import Modality
from headstart.errors import InputError

_CATALOG_MODALITY = "image"
_EMBEDDED_BASES: dict[str, tuple[str, ...]] = {"text": ("all-minilm-l6-v2", "glove-6b-50d")}
_HUGGING_FACE_BASES: dict[str, tuple[tuple[str, float], ...]] = {  # with millions of weights
    "image": (("facebook/dinov2-small", 22.1), ("facebook/dinov2-base", 86.6)),
    "text": (("BAAI/bge-small-en-v1.5", 33.4), ("sentence-transformers/all-mpnet-base-v2", 109.5)),
}
"""The encoders of the hub that ``all`` includes: small and common ones, with weights as safetensors."""


@dataclass(frozen=True)
class Candidate:
    """Facts about a base before it is loaded.

    Args:
        handle: of the base.
        size_mb: size of its weights in MB, if known.
        is_local: whether it is available without network; None if only loading shows it.
    """

    handle: str
    size_mb: float | None = None
    is_local: bool | None = None


def candidates(bases: str | Sequence[str], modality: Modality) -> list[Candidate]:
    """List the bases that the user chose.

    Args:
        bases: ``here`` for all known bases that are available without network; ``all`` for all known bases; or
            handles, as a sequence or as one comma-separated text.
        modality: of the data.

    Raises:
        InputError: an entry is not a handle, or there are no entries.
    """
    if bases == BASES_ALL:
        return _known_candidates(modality)
    if bases == BASES_HERE:
        return [candidate for candidate in _known_candidates(modality) if candidate.is_local]
    by_handle = {candidate.handle: candidate for candidate in _known_candidates(modality)}
    raw_handles = _split_handles(bases) if isinstance(bases, str) else [*bases]
    if not raw_handles:
        raise InputError(
            "it is empty: expected here, all, or handles such as keras:Xception,keras:ResNet50.", field="bases"
        )
    handles = dict.fromkeys(str(parse_handle(handle)) for handle in raw_handles)
    return [by_handle.get(handle, Candidate(handle)) for handle in handles]


def _split_handles(text: str) -> list[str]:
    """Split a comma-separated list of handles; a comma inside a path is kept."""
    handles: list[str] = []
    for part in text.split(","):
        if ":" in part or not handles:
            handles.append(part.strip())
        else:
            handles[-1] += f",{part}"
    return [handle for handle in handles if handle]


def _known_candidates(modality: Modality) -> list[Candidate]:
    bundled_handles = bundle.list_handles()
    candidates = [
        Candidate(entry.handle, entry.size_mb, entry.is_local)
        for entry in entries()
        if modality.name == _CATALOG_MODALITY
    ]
    candidates += [Candidate(f"embedded:{name}", is_local=True) for name in _EMBEDDED_BASES.get(modality.name, ())]
    for name, millions in _HUGGING_FACE_BASES.get(modality.name, ()):
        handle = f"hf:{name}"
        candidates.append(Candidate(handle, 4 * millions, handle in bundled_handles or None))
    known_handles = {candidate.handle for candidate in candidates}
    return candidates + [Candidate(handle, is_local=True) for handle in bundled_handles if handle not in known_handles]
