"""Bases derived from a base: with tuned weights, with features from other blocks, or truncated after a block."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import OWN, Base, BaseSpec, tapped_blocks
from headstart.bases.blocks import find_blocks
from headstart.bases.maps import with_maps
from headstart.system.checksums import file_sha256


def derive(base: Base, spec: BaseSpec) -> Base:
    """Apply the parts of ``spec`` that no source handles: tuned weights, taps and the last block."""
    base = with_taps(with_tuned_weights(base, spec.tuned_weights), spec.taps)
    if spec.maps is not None:
        base = with_maps(base.for_images(), spec.maps)
    return truncate_after(base, spec.last_block)


def with_tuned_weights(base: Base, path: str | Path | None) -> Base:
    """The base with some of its weights replaced.

    Args:
        base: the base.
        path: of a ``.npz`` as :func:`save_weights` writes it; None returns the base unchanged.
    """
    if path is None:
        return base

    def build(include_top: bool) -> Any:
        network = base.build(include_top)
        _replace_weights(network, Path(path))
        return network

    spec = replace(base.spec, tuned_weights=str(path))
    return replace(base, spec=spec, build=build, tuned_weights_sha256=file_sha256(Path(path)))


def with_taps(base: Base, taps: tuple[str, ...] | None) -> Base:
    """The base whose features are the pooled and concatenated outputs of some of its blocks.

    The layers above the uppermost of these blocks are left out.

    Args:
        base: the base.
        taps: block and pooling (``mean``, ``max`` or ``std``) of each, such as ``block5a:mean``, the uppermost block
            first; ``own`` for the base's own features. None returns the base unchanged.
    """
    if taps is None:
        return base
    blocks = tapped_blocks(taps)

    def build(include_top: bool) -> Any:
        import keras

        network = base.build(False)
        output_of = {"": network.outputs[0], **{block.name: block.output for block in find_blocks(network)}}
        outputs = [output_of[name] for name in blocks]
        name = f"{network.name}_to_{blocks[0] or OWN}"
        return keras.Model(network.inputs[0], outputs if len(outputs) > 1 else outputs[0], name=name)

    return replace(base, spec=replace(base.spec, taps=taps), build=build, feature_dim=None)


def truncate_after(base: Base, block: str | None) -> Base:
    """The base up to the output of a block, which replaces the features; None returns the base unchanged."""
    if block is None:
        return base

    def build(include_top: bool) -> Any:
        import keras

        network = base.build(False)
        output = next(candidate.output for candidate in find_blocks(network) if candidate.name == block)
        return keras.Model(network.inputs[0], output, name=f"{network.name}_to_{block}")

    return replace(base, spec=replace(base.spec, last_block=block), build=build, feature_dim=None)


def save_weights(network: Any, weights: Iterable[Any], path: Path) -> None:
    """Write some of a network's weights, each under the name of its layer and its index there."""
    selected_ids = set(map(id, weights))
    arrays: dict[str, Any] = {
        f"{layer.name}:{i}": np.asarray(weight)
        for layer in network.layers
        for i, weight in enumerate(weight for weight in layer.weights if not weight.name.startswith("lora_kernel"))
        if id(weight) in selected_ids
    }
    np.savez(path, **arrays)


def _replace_weights(network: Any, path: Path) -> None:
    with np.load(path) as saved:
        for name in saved.files:
            layer, _, index = name.rpartition(":")
            network.get_layer(layer).weights[int(index)].assign(saved[name])
