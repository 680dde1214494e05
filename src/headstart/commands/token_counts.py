"""Counts of tokens as a stage of a training: added to the head on texts if they make it better."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.bases.base import Base
from headstart.config import HeadConfig
from headstart.data.dataset import Dataset
from headstart.data.parallel import map_ahead
from headstart.data.readers import decode_example
from headstart.errors import InputError
from headstart.runs.facts import HeadChoice
from headstart.training import FEW, TokenSource, compare_counts

logger = logging.getLogger(__name__)

MIN_EXAMPLES = 150
"""With fewer training texts, only the features are used: on 8 to 32 texts of a class, counts are as good or worse."""

MAX_EXAMPLES = 50_000
"""With more training texts, only the features are used: to count tokens takes about 10 kB of memory for each text."""

MAX_OUTPUTS = 10_000_000
"""The most training texts times classes: beyond it, fitting takes minutes."""


def check_counts(base: Base, config: HeadConfig) -> None:
    """Check that counts are possible where they are required.

    Raises:
        InputError: the base does not read token ids.
    """
    if config.counts == "tokens" and base.n_token_ids is None:
        raise InputError(f"{base.handle} reads no tokens that could be counted: use auto or none.", field="counts")


def add_counts(choice: HeadChoice, dataset: Dataset, cache: Path | None) -> HeadChoice:
    """The head with counts of the tokens that its base reads, if they make it better.

    Args:
        choice: the head on features.
        dataset: the examples.
        cache: the cache folder; None means the user's.
    """
    config, base, data = choice.config, choice.base, choice.data
    is_tried = config.counts == "tokens" or (config.counts == "auto" and _may_help(choice))
    if base.n_token_ids is None or not is_tried:
        return choice
    reader = base.reader()

    def read(indices: np.ndarray) -> list[np.ndarray]:
        return list(map_ahead(lambda i: decode_example(reader, dataset.examples[i]), indices.tolist()))

    source = TokenSource(read, reader.key, base.pad_id, base.n_token_ids)
    compared = compare_counts(choice.head, data, source, config, cache)
    if compared is None:
        return choice
    if config.counts == "auto" and not compared.gain.is_clear:
        return replace(choice, counts=compared)
    logger.info(f"counts of tokens: {compared.gain.describe('without')}")
    return replace(choice, head=compared.head, counts=compared, plain=choice.plain or choice)


def _may_help(choice: HeadChoice) -> bool:
    """Whether the head can have counts, and there are enough texts: with few of each class, the encoder is trained."""
    data = choice.data
    most = int(data.task.counts(data.labels[data.train], data.n_classes).max())
    return (
        choice.config.kind == "linear"
        and MIN_EXAMPLES <= len(data.train) <= min(MAX_EXAMPLES, MAX_OUTPUTS // data.n_classes)
        and most >= FEW
    )
