"""The catalogue: every base known by name, with its facts. Needs no Keras."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from headstart.bases import bundle, efficientnet_lite, keras_applications
from headstart.bases.keras_table import MODELS
from headstart.errors import InputError

Where = Literal["in package", "in bundle", "here", "download"]
Sort = Literal["name", "size", "top1", "params", "features", "input"]

_EMBEDDED_PARAMS = 3_413_024


@dataclass(frozen=True)
class Entry:
    """What is known of one base before it is loaded.

    Args:
        handle: what to give to ``--base``.
        size_mb: of its weights without the top.
        top1: published ImageNet accuracy in percent, None where none is published.
        top5: likewise.
        params_m: millions of weights, without the top.
        depth: layers, as published.
        input_size: pixels a side by default.
        min_size: pixels a side, the smallest it takes.
        preprocessing: name of the map from pixels to its input.
        feature_dim: d, the length of a feature vector.
        weights: where they are: in a package, in the bundle in use, here in Keras's folder, or to download.
    """

    handle: str
    size_mb: float
    top1: float | None
    top5: float | None
    params_m: float
    depth: int | None
    input_size: int
    min_size: int
    preprocessing: str
    feature_dim: int
    weights: Where

    @property
    def is_here(self) -> bool:
        """Whether it can be used without network."""
        return self.weights != "download"


def entries() -> list[Entry]:
    """All bases with a name: the embedded one first, then those of Keras Applications by name."""
    held = bundle.held()
    return [_embedded(), *(_keras(model, held) for model in MODELS)]


def _embedded() -> Entry:
    return Entry(
        handle=f"embedded:{efficientnet_lite.NAME}",
        size_mb=_EMBEDDED_PARAMS * 4 / 1e6,
        top1=75.1,  # as published with the TensorFlow TPU models, efficientnet/lite
        top5=None,
        params_m=_EMBEDDED_PARAMS / 1e6,
        depth=None,
        input_size=efficientnet_lite.DEFAULT_SIZE,
        min_size=efficientnet_lite.MIN_SIZE,
        preprocessing=efficientnet_lite.PREPROCESSING.name,
        feature_dim=efficientnet_lite.FEATURE_DIM,
        weights="in package",
    )


def _keras(model: keras_applications.Model, held: list[str]) -> Entry:
    handle = f"keras:{model.name}"
    here: Where = "here" if keras_applications.is_here(model) else "download"
    return Entry(
        handle=handle,
        size_mb=model.size_mb,
        top1=model.top1,
        top5=model.top5,
        params_m=model.params / 1e6,
        depth=model.depth,
        input_size=model.default_size,
        min_size=model.min_size,
        preprocessing=model.preprocessing.name,
        feature_dim=model.feature_dim,
        weights="in bundle" if handle in held else here,
    )


def select(
    all_entries: Iterable[Entry],
    *,
    contains: str | None = None,
    max_mb: float | None = None,
    min_top1: float | None = None,
    here: bool = False,
    sort: Sort = "name",
) -> list[Entry]:
    """Those entries that meet every condition, sorted.

    Args:
        all_entries: to choose from.
        contains: part of the handle, in any case.
        max_mb: largest size in MB.
        min_top1: smallest published top-1 accuracy in percent; without a published figure a base is left out.
        here: only what can be used without network.
        sort: by what; accuracy from the best down, all else from the smallest up.

    Raises:
        InputError: ``min_top1`` is a fraction, where percent are meant.
    """
    if min_top1 is not None and 0 < min_top1 <= 1:
        raise InputError(f"--min-top1 {min_top1} looks like a fraction: expected percent, for instance 75.")
    chosen = [
        entry
        for entry in all_entries
        if (contains is None or contains.lower() in entry.handle.lower())
        and (max_mb is None or entry.size_mb <= max_mb)
        and (min_top1 is None or (entry.top1 or 0) >= min_top1)
        and (entry.is_here or not here)
    ]
    keys = {
        "name": lambda entry: 0,  # as they come
        "size": lambda entry: entry.size_mb,
        "top1": lambda entry: -(entry.top1 or 0),
        "params": lambda entry: entry.params_m,
        "features": lambda entry: entry.feature_dim,
        "input": lambda entry: entry.input_size,
    }
    return sorted(chosen, key=keys[sort])
