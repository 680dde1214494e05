"""Feature maps of a base at strides 4 to 32, on which a detector finds objects from small to large."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from headstart.bases.base import ImageBase, token_grid
from headstart.bases.blocks import Block, find_blocks
from headstart.errors import InputError

STRIDES = (4, 8, 16, 32)
"""Pixels of the input from one position of a map to the next, the finest map first."""

_MOST_CHANNELS = (
    4  # times the smallest number at a stride: a base's last layers before pooling have many, and cost much
)
_CROPPED_SHARE = 0.8  # of the positions at a stride: bases whose convolutions do not pad their input have fewer


@dataclass(frozen=True)
class FeatureMap:
    """The output of a block as a map.

    Attributes:
        block: name of the block.
        shape: (h, w, c).
        stride: pixels from one position to the next; of patches the nearest of :data:`STRIDES`.
    """

    block: str
    shape: tuple[int, int, int]
    stride: int

    @property
    def size(self) -> int:
        """Number of values for one image."""
        return math.prod(self.shape)


def find_maps(blocks: Sequence[Block], input_size: tuple[int, int]) -> tuple[FeatureMap, ...]:
    """The uppermost block at each of :data:`STRIDES` that the base has, the finest first.

    The tokens of patches, as vision transformers have them, are one map.

    Args:
        blocks: of the base.
        input_size: (height, width) in pixels.

    Raises:
        InputError: no block has a map at any of these strides.
    """
    shapes = [(block.name, shape) for block in blocks if (shape := _map_shape(block.shape, input_size))]
    maps = [level for stride in STRIDES if (level := _uppermost(shapes, input_size, stride))]
    if not maps:
        shape_list = ", ".join(sorted({str(block.shape) for block in blocks}))
        raise InputError(
            "the base has no feature maps that are 4, 8, 16 or 32 times smaller than the image: its blocks have the "
            f"shapes {shape_list}.",
            field="base",
        )
    return tuple(maps)


def _map_shape(shape: tuple[int, ...], input_size: tuple[int, int]) -> tuple[int, int, int] | None:
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    grid = token_grid(shape[0], input_size) if len(shape) == 2 else None
    return (*grid, shape[1]) if grid else None


def _uppermost(
    shapes: Sequence[tuple[str, tuple[int, int, int]]], input_size: tuple[int, int], stride: int
) -> FeatureMap | None:
    at_stride = [(name, shape) for name, shape in shapes if _has_stride(shape, input_size, stride)]
    if not at_stride:
        return None
    limit = _MOST_CHANNELS * min(c for _, (_, _, c) in at_stride)
    name, shape = [(name, shape) for name, shape in at_stride if shape[2] <= limit][-1]
    return FeatureMap(name, shape, stride)


def _has_stride(shape: tuple[int, int, int], input_size: tuple[int, int], stride: int) -> bool:
    shares = [n / math.ceil(side / stride) for n, side in zip(shape, input_size, strict=False)]
    return all(_CROPPED_SHARE <= share <= 1 / _CROPPED_SHARE for share in shares)


def with_maps(base: ImageBase, blocks: tuple[str, ...]) -> ImageBase:
    """The base whose features are the outputs of some of its blocks, each flattened, one after the other.

    Args:
        base: the base.
        blocks: names, the finest map first.
    """

    def build(include_top: bool) -> Any:
        import keras

        network = base.build(False)
        output_of = {block.name: block.output for block in find_blocks(network)}
        return keras.Model(network.inputs[0], [output_of[name] for name in blocks], name=f"{network.name}_maps")

    return replace(base, spec=replace(base.spec, maps=blocks), build=build, feature_dim=None)
