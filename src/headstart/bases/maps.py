"""Feature maps of a base at strides 4 to 32, on which a detector finds objects from small to large."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from headstart.bases.base import ImageBase
from headstart.bases.blocks import Block, find_blocks
from headstart.errors import InputError

STRIDES = (4, 8, 16, 32)
"""Pixels of the input from one position of a map to the next, the finest map first."""

FINEST_POINTS = 8
"""Stride of the finest map at whose positions a detector predicts; a finer map adds detail to it."""

_MOST_CHANNELS = (
    4  # times the smallest number at a stride: a base's last layers before pooling have many, and cost much
)


@dataclass(frozen=True)
class FeatureMap:
    """The output of a block as a map.

    Attributes:
        block: name of the block.
        shape: (h, w, c).
        stride: pixels from one position to the next.
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

    Args:
        blocks: of the base.
        input_size: (height, width) in pixels.

    Raises:
        InputError: no block has a map at any of these strides.
    """
    maps = [level for stride in STRIDES if (level := _uppermost(blocks, input_size, stride))]
    if not any(level.stride >= FINEST_POINTS for level in maps):
        shapes = ", ".join(sorted({str(block.shape) for block in blocks}))
        raise InputError(
            f"the base has no feature maps that are 8, 16 or 32 times smaller than the image: its blocks have the "
            f"shapes {shapes}.",
            field="base",
        )
    return tuple(maps)


def _uppermost(blocks: Sequence[Block], input_size: tuple[int, int], stride: int) -> FeatureMap | None:
    h, w = (math.ceil(side / stride) for side in input_size)
    at_stride = [block for block in blocks if len(block.shape) == 3 and block.shape[:2] == (h, w)]
    if not at_stride:
        return None
    limit = _MOST_CHANNELS * min(block.shape[2] for block in at_stride)
    block = [block for block in at_stride if block.shape[2] <= limit][-1]
    return FeatureMap(block.name, (h, w, block.shape[2]), stride)


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
