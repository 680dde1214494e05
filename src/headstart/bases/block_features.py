"""Features from all blocks of a base: pooled outputs of the lower ones beside the base's own features.

The last layers know what the base was trained for; for other tasks earlier ones know more, and the one pass of the base
computes their outputs anyway. Sources: Evci et al., "Head2Toe: utilizing intermediate representations for better
transfer learning", ICML 2022, arXiv 2201.03529; Peters et al. (ELMo), arXiv 1802.05365, for texts.
"""

from collections.abc import Sequence
from dataclasses import replace

from headstart.bases.base import OWN, Base, split_tap
from headstart.bases.blocks import Block
from headstart.bases.derived import with_taps

MAX_FEATURES = 8192
"""Most values of the blocks together, so that they can be cached for tens of thousands of examples."""

_FINEST_STRIDE = 4  # pixels from one position to the next; finer maps cost much and brought nothing
_POOLINGS = (("mean", "std"), ("mean",))


def with_block_features(base: Base, blocks: Sequence[Block]) -> Base | None:
    """The base whose features are its own, followed by the pooled outputs of its blocks.

    Each block gives the mean and the standard deviation of its output over all positions. The last block is left out:
    the base's own features stand for it. Where all blocks give more than :data:`MAX_FEATURES` values, the standard
    deviations are left out, then every second block, and so on.

    Args:
        base: the base, with features of its own.
        blocks: its blocks, the lowest one first.

    Returns:
        The base; None if it has no blocks with several positions.
    """
    if base.spec.taps is not None or base.spec.maps is not None or base.spec.last_block is not None:
        return None
    usable = [block for block in reversed(blocks[:-1]) if _has_positions(block, base)]
    for step in range(1, len(usable) + 1):
        for poolings in _POOLINGS:
            kept_blocks = usable[::step]
            if sum(block.shape[-1] for block in kept_blocks) * len(poolings) <= MAX_FEATURES:
                return with_taps(base, (OWN, *(f"{block.name}:{name}" for block in kept_blocks for name in poolings)))
    return None


def without_block_features(base: Base) -> Base:
    """The spec and digest of the base with its own features only; it is not for building a model."""
    return replace(base, spec=replace(base.spec, taps=None))


def own_width(taps: Sequence[str], blocks: Sequence[Block], width: int) -> int:
    """How many of the features of a base with taps are its own, which come first.

    Args:
        taps: of the base.
        blocks: of the base.
        width: of all features.
    """
    channels = {block.name: block.shape[-1] for block in blocks}
    return width - sum(channels[block] for block, _ in map(split_tap, taps) if block)


def _has_positions(block: Block, base: Base) -> bool:
    """Whether there is something to pool in the output of a block, and not too much."""
    if len(block.shape) < 2 or max(block.shape[:-1]) < 2:
        return False
    height = base.for_images().input_size[0] if base.modality.has_pixels else 0
    return len(block.shape) != 3 or height >= _FINEST_STRIDE * block.shape[0]
