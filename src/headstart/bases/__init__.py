"""Stage 1 of 7, bases: takes a handle, gives a Base; next: data."""

import importlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from headstart.bases import bundle
from headstart.bases.base import Base, BaseSpec, ImageBase, Preprocessing
from headstart.bases.derived import derive
from headstart.bases.embedded import module_of
from headstart.bases.handle import SOURCES, Handle, parse_handle
from headstart.bases.stanza import tokenizer_file
from headstart.bases.text import TextBase
from headstart.data.readers import Modality, Resize
from headstart.errors import InputError, UnavailableError

logger = logging.getLogger(__name__)

DEFAULT_BASES: dict[Modality, tuple[str, ...]] = {
    "image": ("embedded:efficientnet-lite0",),
    "text": (
        "embedded:all-minilm-l6-v2", "hf:sentence-transformers/all-MiniLM-L6-v2", "embedded:glove-6b-50d"
    ),
}  # fmt: skip
"""What is taken where no base is named: the first that can be had."""

__all__ = [
    "DEFAULT_BASES", "SOURCES", "Base", "BaseSpec", "Handle", "ImageBase", "Preprocessing", "TextBase", "for_images",
    "load_base", "load_default", "parse_handle",
]  # fmt: skip


def load_base(
    handle: str | BaseSpec = "embedded:efficientnet-lite0",
    *,
    weights: str | Path = "imagenet",
    input_size: int | tuple[int, int] | None = None,
    resize: Resize | None = None,
    cut: str | None = None,
    texts: Iterable[str] | None = None,
    words_by: str | None = None,
    cache: Path | None = None,
) -> Base:
    """Load a pretrained base by its handle.

    Args:
        handle: ``source:name``, for instance ``keras:Xception``; or a spec, and then nothing else but ``resize``.
        weights: ``"imagenet"``, the path of a weights file, or ``"none"`` for random weights (not transfer learning).
        input_size: pixels, one number for a square or (height, width).
        resize: how a photo of another shape becomes that size; the base's own way when None.
        cut: for ``file:`` bases, the layer whose output are the features.
        texts: for word vectors, the texts whose words have to be among them; without, only the most frequent ones are.
        words_by: for word vectors of languages without spaces between words, what divides texts into words:
            ``stanza:LANG`` or ``stanza:FILE.pt``.
        cache: the cache folder, for word vectors; None means the user's.

    Raises:
        InputError: no such source, base or option, or a size the base cannot take.
        UnavailableError: the weights are not here and cannot be fetched.
        IntegrityError: a file is not what was published, or is not what was put into the bundle that is in use.
    """
    if isinstance(handle, BaseSpec):
        spec = handle
    else:
        size = (input_size, input_size) if isinstance(input_size, int) else input_size
        divider = tokenizer_file(words_by) if words_by else None
        spec = BaseSpec(str(parse_handle(handle)), str(weights), size, cut, words_by=divider)
    if spec.folder is None and spec.weights == "imagenet":
        spec = replace(spec, folder=bundle.find(spec.handle))
    source = _source_of(parse_handle(spec.handle))
    if texts is not None and spec.words is None and hasattr(source, "choose_words"):
        spec = source.choose_words(spec, texts, cache)
    base: Base = source.load(spec)
    if base.weights_path is None and not isinstance(handle, BaseSpec):  # a spec loads again what was announced before
        logger.warning(
            f"{base.handle} has random weights (--weights none): this is not transfer learning, and whatever "
            "accuracy comes out says nothing about the base."
        )
    if isinstance(base, ImageBase):
        base = replace(base, resize=resize or base.resize)
    elif resize or spec.input_size or spec.cut:
        raise InputError(f"--input-size, --resize and --cut are for images, and {base.handle} is a base for texts.")
    if spec.words_by and not base.spec.words:
        raise InputError(f"--words-by is for word vectors, and {base.handle} divides texts in its own way.")
    return derive(base, spec)


def load_default(modality: Modality, **options: Any) -> Base:
    """Load the best base for such data that can be had here.

    Args:
        modality: of the data.
        options: as for :func:`load_base`.

    Raises:
        UnavailableError: none can be had; what the last one lacks.
    """
    *better, last = DEFAULT_BASES[modality]
    for handle in better:
        try:
            return load_base(handle, **options)
        except UnavailableError:
            continue
    return load_base(last, **options)


def for_images(base: Base) -> ImageBase:
    """The base, known to be one for images.

    Raises:
        InputError: it is not.
    """
    if not isinstance(base, ImageBase):
        raise InputError(f"{base.handle} is a base for {base.modality}s: expected one for images, which this is about.")
    return base


def _source_of(handle: Handle) -> ModuleType:
    """The module that loads a handle."""
    if handle.source == "embedded":
        return module_of(handle)
    return importlib.import_module(SOURCES[handle.source])
