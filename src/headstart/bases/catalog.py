"""The catalogue: every base that is known by name, with its facts. It needs no Keras."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from headstart.bases import bundle, efficientnet_lite, keras_applications
from headstart.bases.keras_table import MODELS
from headstart.errors import InputError, near_name

WeightsLocation = Literal["in package", "in bundle", "here", "download"]
Sort = Literal["name", "size", "top1", "params", "features", "input"]

_EMBEDDED_PARAMS = 3_413_024


@dataclass(frozen=True)
class Entry:
    """Facts about one base before it is loaded.

    Args:
        handle: ``source:name``.
        size_mb: size of its weights without the top, in MB.
        top1: published ImageNet top-1 accuracy in percent; None if none is published.
        top5: published ImageNet top-5 accuracy in percent; None if none is published.
        params_m: millions of weights, without the top.
        depth: layers, as published.
        input_size: default side length in pixels.
        min_size: smallest side length in pixels.
        preprocessing: name of the map from pixels to its input.
        feature_dim: d, the length of a feature vector.
        weights: where they are: in a package, in the active bundle, ``here`` in Keras's folder, or to ``download``.
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
    weights: WeightsLocation

    @property
    def is_local(self) -> bool:
        """Whether it is available without network."""
        return self.weights != "download"


def entries() -> list[Entry]:
    """All image bases with a name: the embedded one first, then those of Keras Applications by name."""
    bundled_handles = bundle.list_handles()
    return [_embedded_entry(), *(_keras_entry(model, bundled_handles) for model in MODELS)]


def _embedded_entry() -> Entry:
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


def _keras_entry(model: keras_applications.Model, bundled_handles: list[str]) -> Entry:
    handle = f"keras:{model.name}"
    location: WeightsLocation = "here" if keras_applications.is_local(model) else "download"
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
        weights="in bundle" if handle in bundled_handles else location,
    )


def select(
    all_entries: Iterable[Entry],
    *,
    contains: str | None = None,
    max_mb: float | None = None,
    min_top1: float | None = None,
    local_only: bool = False,
    sort: Sort = "name",
) -> list[Entry]:
    """Return the entries that meet every condition, sorted.

    Args:
        all_entries: all entries.
        contains: part of the handle, case-insensitive.
        max_mb: largest size in MB.
        min_top1: smallest published top-1 accuracy in percent; bases without a published accuracy are left out.
        local_only: only bases that are available without network.
        sort: sort key; accuracy in descending, all others in ascending order.

    Raises:
        InputError: ``min_top1`` is a fraction instead of a percentage, or no handle contains the name.
    """
    if min_top1 is not None and 0 < min_top1 <= 1:
        raise InputError(f"{min_top1} looks like a fraction: expected percent, for instance 75.", field="min_top1")
    all_entries = list(all_entries)
    if contains and not any(contains.lower() in entry.handle.lower() for entry in all_entries):
        names = {name: entry.handle for entry in all_entries for name in (entry.handle, entry.handle.partition(":")[2])}
        near = near_name(contains, names)
        hint = f" Did you mean {names[near]!r}?" if near else ""
        raise InputError(f"no base has a name with {contains!r}.{hint} `headstart bases` lists all bases.")
    selected = [
        entry
        for entry in all_entries
        if (contains is None or contains.lower() in entry.handle.lower())
        and (max_mb is None or entry.size_mb <= max_mb)
        and (min_top1 is None or (entry.top1 or 0) >= min_top1)
        and (entry.is_local or not local_only)
    ]
    keys = {
        "name": lambda entry: 0,  # the entries are already in this order
        "size": lambda entry: entry.size_mb,
        "top1": lambda entry: -(entry.top1 or 0),
        "params": lambda entry: entry.params_m,
        "features": lambda entry: entry.feature_dim,
        "input": lambda entry: entry.input_size,
    }
    return sorted(selected, key=keys[sort])
