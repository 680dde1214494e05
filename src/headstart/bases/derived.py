"""Bases made from a base: with tuned weights, with features from other places, or ending early, after a block."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import Base, BaseSpec, file_sha256, tapped_blocks
from headstart.bases.blocks import find_blocks


def derive(base: Base, spec: BaseSpec) -> Base:
    """Give the base what ``spec`` asks for beyond its source: tuned weights, taps, an early end."""
    return ending_after(tapped(with_weights(base, spec.tuned), spec.taps), spec.ends_after)


def with_weights(base: Base, tuned: str | Path | None) -> Base:
    """The base with some of its weights replaced; as it is for None.

    Args:
        base: the base.
        tuned: a ``.npz`` as :func:`save_weights` writes it.
    """
    if tuned is None:
        return base

    def build(include_top: bool) -> Any:
        network = base.build(include_top)
        _replace_weights(network, Path(tuned))
        return network

    return replace(base, spec=replace(base.spec, tuned=str(tuned)), build=build, tuned_sha256=file_sha256(Path(tuned)))


def tapped(base: Base, taps: tuple[str, ...] | None) -> Base:
    """The base whose features are outputs of its blocks, pooled and side by side; as it is for None.

    What lies above the uppermost of these blocks is left out.

    Args:
        base: the base.
        taps: of each, block and pooling (``mean`` or ``max``), such as ``block5a:mean``; the uppermost block first.
    """
    if taps is None:
        return base
    blocks = tapped_blocks(taps)

    def build(include_top: bool) -> Any:
        import keras

        network = base.build(False)
        ends = {found.name: found.output for found in find_blocks(network)}
        outputs = [ends[block] for block in blocks]
        name = f"{network.name}_to_{blocks[0]}"
        return keras.Model(network.inputs[0], outputs if len(outputs) > 1 else outputs[0], name=name)

    return replace(base, spec=replace(base.spec, taps=taps), build=build, feature_dim=None)


def ending_after(base: Base, block: str | None) -> Base:
    """The base up to the output of a block, which it then gives instead of features; as it is for None."""
    if block is None:
        return base

    def build(include_top: bool) -> Any:
        import keras

        network = base.build(False)
        end = next(found.output for found in find_blocks(network) if found.name == block)
        return keras.Model(network.inputs[0], end, name=f"{network.name}_to_{block}")

    return replace(base, spec=replace(base.spec, ends_after=block), build=build, feature_dim=None)


def save_weights(network: Any, weights: Iterable[Any], path: Path) -> None:
    """Write some of a network's weights, each under the name of its layer and its place there."""
    wanted = set(map(id, weights))
    arrays: dict[str, Any] = {
        f"{layer.name}:{i}": np.asarray(weight)
        for layer in network.layers
        for i, weight in enumerate(weight for weight in layer.weights if not weight.name.startswith("lora_kernel"))
        if id(weight) in wanted
    }
    np.savez(path, **arrays)


def _replace_weights(network: Any, path: Path) -> None:
    with np.load(path) as saved:
        for name in saved.files:
            layer, _, place = name.rpartition(":")
            network.get_layer(layer).weights[int(place)].assign(saved[name])
