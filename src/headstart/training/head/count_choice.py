"""The choice, by cross-validation, between a head on features alone and the same head with counts of tokens."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.config import HeadConfig
from headstart.data.split import folds
from headstart.model_files.token_counts import TokenCounts
from headstart.system.checksums import checked_folder, is_intact
from headstart.system.settings import cache_folder
from headstart.training.head.counts import (
    COUNTS_VERSION,
    Combination,
    CountClassifier,
    combine,
    fit_counts,
    logits_in_blocks,
    logits_of_parts,
)
from headstart.training.head.head import Head, key_of
from headstart.training.head.linear import N_FOLDS, Curve
from headstart.training.head.log_loss_gain import LogLossGain, example_weights, log_loss_gain
from headstart.training.training_data import TrainingData

_FILE = "counts.npz"


@dataclass(frozen=True)
class TokenSource:
    """Where token ids come from.

    Attributes:
        read: gives those of the examples at some indices, each int32 (t,).
        key: identifies the ids, for cache keys.
        pad: id of the padding.
        n_ids: all ids are below this number.
    """

    read: Callable[[np.ndarray], Sequence[np.ndarray]]
    key: str
    pad: int
    n_ids: int


@dataclass(frozen=True)
class CountComparison:
    """A head with counts of tokens, compared with the same head without.

    Attributes:
        head: with counts.
        gain: of the counts.
    """

    head: Head
    gain: LogLossGain


def compare_counts(
    head: Head, data: TrainingData, source: TokenSource, config: HeadConfig, cache: Path | None = None
) -> CountComparison | None:
    """Add counts of tokens to a solved head, or read them from the cache if the same ones were fitted before.

    Args:
        head: without counts.
        data: the examples that it was solved on.
        source: gives their token ids.
        config: of the head.
        cache: the cache folder; None means the user's.

    Returns:
        The comparison; None where there are too few examples for a cross-validation, or no term is in two texts.
    """
    if head.out_of_fold is None:
        return None
    folder = (cache or cache_folder()) / "heads" / _key(head, data, source, config)
    if not is_intact(folder):
        arrays = _fit(head, data, source, config)
        with checked_folder(folder, shared=True) as filled:
            np.savez(filled / _FILE, **arrays)
    with np.load(folder / _FILE) as saved:
        return _comparison(head, head.out_of_fold, data, config, dict(saved)) if saved.files else None


def _fit(head: Head, data: TrainingData, source: TokenSource, config: HeadConfig) -> dict[str, Any]:
    """The tables and what follows from them; nothing where no term is in two texts."""
    labels = data.labels[data.train]
    fold = folds(data.task, labels, data.groups[data.train], N_FOLDS, config.seed)
    weights = example_weights(data, config)
    ids = source.read(data.train)
    targets = data.task.targets(labels, data.n_classes)
    fitted = fit_counts(ids, targets, weights, fold, source.pad, source.n_ids)
    if fitted is None or head.out_of_fold is None:
        return {}
    combined = combine(head.out_of_fold, fitted.out_of_fold, labels, weights, fold, data.task)
    tables = fitted.tables.scaled(combined.factors[1])
    right = _right(head.curve, fitted, combined, targets, weights)
    logits = [logits_in_blocks(tables, texts, source.pad) for texts in (ids, source.read(_held_out(data)))]
    return {
        "tokens": tables.tokens, "pairs": tables.pairs, "values": tables.values,
        "logits": np.concatenate(logits), "factor": np.array(combined.factors[0]),
        "out_of_fold": combined.out_of_fold, **({} if right is None else {"right": right}),
    }  # fmt: skip


def _right(
    curve: Curve | None, fitted: CountClassifier, combined: Combination, targets: np.ndarray, weights: np.ndarray
) -> np.ndarray | None:
    """The learning curve with counts: which answers are right; None where it is not known."""
    if curve is None or curve.logits is None or len(curve.labels) != len(weights):
        return None
    right = curve.right.copy()
    for row, logits in zip(right, curve.logits, strict=False):
        is_used = row < 0
        counts = logits_of_parts(fitted, is_used, targets, weights)
        answers = (combined.factors[0] * logits + combined.factors[1] * counts).argmax(1)
        row[~is_used] = (answers == curve.labels)[~is_used]
    right[-1] = combined.out_of_fold.argmax(1) == curve.labels
    return right


def _comparison(
    head: Head, before: np.ndarray, data: TrainingData, config: HeadConfig, arrays: dict[str, np.ndarray]
) -> CountComparison:
    logits = np.zeros((len(data.labels), data.n_classes), np.float32)
    logits[np.concatenate([data.train, _held_out(data)])] = arrays["logits"]
    factor = np.float32(arrays["factor"])
    kernel, bias = head.layers[-1]
    curve = head.curve._replace(right=arrays["right"]) if head.curve and "right" in arrays else None
    return CountComparison(
        replace(
            head, layers=((kernel * factor, bias * factor),), out_of_fold=arrays["out_of_fold"], curve=curve,
            counts=TokenCounts(arrays["tokens"], arrays["pairs"], arrays["values"]), count_logits=logits,
        ),
        log_loss_gain(data, config, before, arrays["out_of_fold"]),
    )  # fmt: skip


def _held_out(data: TrainingData) -> np.ndarray:
    return np.concatenate([data.val, data.test])


def _key(head: Head, data: TrainingData, source: TokenSource, config: HeadConfig) -> str:
    material = hashlib.sha256(json.dumps([COUNTS_VERSION, key_of(data, config), source.key, source.pad]).encode())
    material.update(b"".join(data.features.digests[i] or b"" for i in data.test.tolist()))
    return material.hexdigest()[:32]
