"""Stage 1 of 7, bases: takes a handle, gives a Base; next: data."""

import importlib
from dataclasses import replace
from pathlib import Path

from headstart import console
from headstart.bases.base import Base, BaseSpec, Fit, Preprocessing
from headstart.bases.derived import derive
from headstart.bases.handle import SOURCES, Handle, parse_handle

DEFAULT_BASE = "embedded:efficientnet-lite0"

__all__ = ["DEFAULT_BASE", "SOURCES", "Base", "BaseSpec", "Handle", "Preprocessing", "load_base", "parse_handle"]


def load_base(
    handle: str | BaseSpec = DEFAULT_BASE,
    *,
    weights: str | Path = "imagenet",
    input_size: int | tuple[int, int] | None = None,
    fit: Fit | None = None,
    cut: str | None = None,
) -> Base:
    """Load a pretrained base by its handle.

    Args:
        handle: ``source:name``, for instance ``keras:Xception``; or a spec, and then nothing else.
        weights: ``"imagenet"``, the path of a weights file, or ``"none"`` for random weights (not transfer learning).
        input_size: pixels, one number for a square or (height, width).
        fit: how a photo of another shape becomes that size; the base's own way when None.
        cut: for ``file:`` bases, the layer whose output are the features.

    Raises:
        InputError: no such source, base or option, or a size the base cannot take.
        UnavailableError: the weights are not here and cannot be fetched.
    """
    if isinstance(handle, BaseSpec):
        spec = handle
    else:
        size = (input_size, input_size) if isinstance(input_size, int) else input_size
        spec = BaseSpec(str(parse_handle(handle)), str(weights), size, cut)
    source = importlib.import_module(SOURCES[parse_handle(spec.handle).source])
    base = source.load(spec)
    if base.weights_path is None and spec is not handle:  # a spec loads again what was announced before
        console.warn(
            f"{base.handle} has random weights (--weights none): this is not transfer learning, and whatever "
            "accuracy comes out says nothing about the base."
        )
    return derive(replace(base, fit=fit) if fit else base, spec)
