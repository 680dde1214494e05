"""Counts of tokens as a stage of a training: added to the head on texts if they make it better."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

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


def add_counts(choice: HeadChoice, dataset: Dataset, cache: Path | None) -> HeadChoice:
    """The head with counts of the tokens that its base reads, if they make it better.

    Args:
        choice: the head on features.
        dataset: the examples.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: counts are required, and the head cannot have them.
    """
    config, base, data = choice.config, choice.base, choice.data
    if config.counts == "none" or (config.counts == "auto" and not _may_help(choice)):
        return choice
    if base.n_token_ids is None or config.kind != "linear":
        reason = "a head with hidden layers" if base.n_token_ids else f"{base.handle}, whose input is not token ids"
        raise InputError(f"tokens cannot be counted for {reason}: use auto or none.", field="counts")
    reader = base.reader()

    def read(indices: np.ndarray) -> list[np.ndarray]:
        return list(map_ahead(lambda i: decode_example(reader, dataset.examples[i]), indices.tolist()))

    source = TokenSource(read, reader.key, base.pad_id, base.n_token_ids)
    compared = compare_counts(choice.head, data, source, config, cache)
    if compared is None:
        return choice
    if config.counts == "auto" and not compared.prefers_counts:
        return replace(choice, counts=compared)
    logger.info(
        f"counts of tokens: in cross-validation the log loss is {abs(compared.gain):.3f} "
        f"{'lower' if compared.gain > 0 else 'higher'} than without (standard error {compared.standard_error:.3f})"
    )
    return replace(choice, head=compared.head, counts=compared, plain=choice.plain or choice)


def _may_help(choice: HeadChoice) -> bool:
    """Whether the head can have counts, and there are enough texts: with few of each class, the encoder is trained."""
    data = choice.data
    most = int(data.task.counts(data.labels[data.train], data.n_classes).max())
    return (
        choice.base.n_token_ids is not None
        and choice.config.kind == "linear"
        and MIN_EXAMPLES <= len(data.train) <= min(MAX_EXAMPLES, MAX_OUTPUTS // data.n_classes)
        and most >= FEW
    )
