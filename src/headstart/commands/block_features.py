"""Features from all blocks as a stage of a training: computed in the pass of the base, kept if they are better."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.bases.base import Base
from headstart.bases.block_features import own_width, with_block_features, without_block_features
from headstart.commands.data_preparation import PreparedData, training_data
from headstart.config import HeadConfig, TrainConfig
from headstart.data.dataset import Dataset
from headstart.errors import InputError
from headstart.features.engines import cached_blocks
from headstart.features.extraction import FeatureSet, first_inputs, store_part
from headstart.runs.facts import HeadChoice
from headstart.system.settings import cache_folder
from headstart.training import compare_features, fit_head

logger = logging.getLogger(__name__)

MIN_EXAMPLES = 150
"""With fewer examples, the base's own features are used: on 4 to 32 examples of a class they are as good or better."""

MAX_EXAMPLES = 50_000
"""With more examples, the base's own features are used: those of all blocks take about 20 kB each in the cache."""


def base_with_blocks(base: Base, config: TrainConfig, dataset: Dataset, cache: Path | None) -> Base | None:
    """The base that gives its own features and those of its blocks in one pass.

    Returns:
        The base; None where only its own features are used.

    Raises:
        InputError: the features of all blocks are required, and the base has none.
    """
    head = config.head
    if dataset.task.trains_on != "features":
        return None
    shots = config.split.shots
    n_examples = len(dataset) if shots is None else shots * len(dataset.classes)
    may_help = head.kind == "linear" and config.base.feature_layer is None
    may_help = may_help and MIN_EXAMPLES <= n_examples <= MAX_EXAMPLES
    if head.features == "own" or (head.features == "auto" and not may_help):
        return None
    probe = first_inputs(base.reader(), dataset.examples)
    wide = with_block_features(base, cached_blocks(base, cache or cache_folder(), probe)) if len(probe) else None
    if wide is None and head.features == "blocks":
        raise InputError(f"{base.handle} has no blocks with several positions: use own or auto.", field="features")
    return wide


def split_features(base: Base, wide: Base, features: FeatureSet, cache: Path | None) -> FeatureSet:
    """The base's own features among those of all blocks; they are added to the cache as features of their own."""
    folder = cache or cache_folder()
    blocks = cached_blocks(base, folder, np.empty(0))
    width = own_width(wide.spec.taps or (), blocks, features.dim)
    return store_part(features, width, without_block_features(wide), folder)


def choose_head(
    base: Base, prepared: PreparedData, wide: Base | None, config: HeadConfig, cache: Path | None
) -> HeadChoice:
    """The head on the features that suit the data better: the base's own, or those of all blocks.

    Args:
        base: with features of its own.
        prepared: the examples and both kinds of features.
        wide: that gives both kinds; None where only its own are used.
        config: of the head.
        cache: the cache folder; None means the user's.
    """
    own = training_data(prepared)
    if wide is None or prepared.block_features is None:
        return HeadChoice(base, own, fit_head(own, config, cache), config)
    blocks = replace(own, features=prepared.block_features)
    compared = compare_features(own, blocks, config, cache)
    plain = HeadChoice(base, own, compared.own, config, features=compared)
    if config.features != "blocks" and not compared.prefers_blocks:
        return plain
    if compared.gain is not None:
        logger.info("features of all blocks: " + compared.gain.describe("with the base's own"))
    return HeadChoice(wide, blocks, compared.blocks, config, features=compared, plain=plain)
