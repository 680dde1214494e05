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
from headstart.bases.handle import SOURCES, Handle, parse_handle, source_module
from headstart.bases.stanza import tokenizer_file
from headstart.bases.text import TextBase
from headstart.config.values import parse_input_size
from headstart.data.modalities import Modality
from headstart.data.resizing import Resize
from headstart.errors import InputError, UnavailableError
from headstart.system.display import show_progress
from headstart.system.progress import Progress

logger = logging.getLogger(__name__)

_WITH_NAMED_LAYERS = {"file", "yolo"}
"""Sources of models whose layers their users know by name."""

__all__ = [
    "SOURCES", "Base", "BaseSpec", "Handle", "ImageBase", "Preprocessing", "TextBase", "load_base",
    "load_default", "parse_handle",
]  # fmt: skip


def _size(input_size: int | tuple[int, int] | str) -> tuple[int, int]:
    try:
        return parse_input_size(input_size)
    except (TypeError, ValueError) as exc:
        message = f"expected pixels such as 224 or 192x256, got {input_size!r}."
        raise InputError(message, field="input_size") from exc


def load_base(
    handle: str | BaseSpec = "embedded:efficientnet-lite0",
    *,
    weights: str | Path = "imagenet",
    input_size: int | tuple[int, int] | str | None = None,
    resize: Resize | None = None,
    sample_range: tuple[float, float] | None = None,
    feature_layer: str | None = None,
    texts: Iterable[str] | None = None,
    segmenter: str | None = None,
    cache: Path | None = None,
    progress: bool | Progress = True,
) -> Base:
    """Load a pretrained base by its handle.

    Args:
        handle: ``source:name``, for instance ``keras:Xception``; or a spec, which only ``resize`` can be combined with.
        weights: ``"imagenet"``, the path of a weights file, or ``"none"`` for random weights (no transfer learning).
        input_size: pixels, one number for a square, or (height, width), or a text such as ``192x256``.
        resize: how an image of another shape is resized to that size; None means the base's default.
        sample_range: values that are black and white in images with more than 8 bits, where the file does not say so;
            None means those of each image alone.
        feature_layer: for ``file:`` bases, the layer whose output is used as the features.
        texts: for word vectors, the texts whose words are loaded in addition to the most frequent words. None, or no
            texts, means the most frequent words only.
        segmenter: for word vectors of languages without spaces between words, the segmenter that splits texts into
            words: ``stanza:LANG`` or ``stanza:FILE.pt``.
        cache: the cache folder, for word vectors; None means the user's.
        progress: True shows downloads and the reading of word vectors; False does not; or an object that follows them,
            see :class:`headstart.Progress`.

    Raises:
        InputError: unknown source, base or option, or a size that the base does not accept.
        UnavailableError: the weights are not on this machine and cannot be downloaded.
        IntegrityError: a file differs from the published one, or from the one in the manifest of the active bundle.
    """
    if isinstance(handle, BaseSpec):
        spec = handle
    else:
        _check_details(parse_handle(handle), feature_layer, segmenter)
        size = None if input_size is None else _size(input_size)
        segmenter_path = tokenizer_file(segmenter) if segmenter else None
        spec = BaseSpec(
            str(parse_handle(handle)), str(weights), size, feature_layer, segmenter=segmenter_path,
            sample_range=sample_range,
        )  # fmt: skip
    if spec.folder is None and spec.weights == "imagenet":
        spec = replace(spec, folder=bundle.find(spec.handle))
    source = _source_module(parse_handle(spec.handle))
    with show_progress(progress) as shown_progress:
        if texts and spec.words_folder is None and hasattr(source, "select_words"):
            spec = source.select_words(spec, texts, cache, shown_progress)
        base: Base = source.load(spec, shown_progress)
    if base.weights_path is None and not isinstance(handle, BaseSpec):  # a spec reloads a base already warned about
        logger.warning(
            f"{base.handle} has random weights: this is not transfer learning, and the accuracy says nothing about "
            "the base."
        )
    base = base.with_resize(resize)
    return derive(base, spec)


def _check_details(handle: Handle, feature_layer: str | None, segmenter: str | None) -> None:
    """Check, before anything is downloaded, that the source has these options at all."""
    if segmenter and not hasattr(_source_module(handle), "select_words"):
        raise InputError(f"only word vectors use a segmenter, and {handle} has none.", field="segmenter")
    if feature_layer and handle.source in SOURCES.keys() - _WITH_NAMED_LAYERS:
        raise InputError(
            f"it is for models in files of your own, such as file:MODEL.keras, and the base is {handle}.",
            field="feature_layer",
        )


def load_default(modality: Modality, **options: Any) -> Base:
    """Load the best default base that is available on this machine or can be downloaded.

    Args:
        modality: of the data.
        options: as for :func:`load_base`.

    Raises:
        UnavailableError: no default base is available; the message is about the last one.
    """
    *preferred, last = modality.default_bases
    for handle in preferred:
        try:
            return load_base(handle, **options)
        except UnavailableError:
            continue
    return load_base(last, **options)


def _source_module(handle: Handle) -> ModuleType:
    """The module that loads a handle."""
    if handle.source == "embedded":
        return module_of(handle)
    return importlib.import_module(source_module(handle.source, str(handle)))
