"""Dense heads: a network with hidden layers on cached features, which are read from disk batch by batch."""

import logging
from typing import Any

import numpy as np

from headstart.config import HeadConfig
from headstart.data.split import folds
from headstart.features.extraction import FeatureSet
from headstart.model_files.head_layers import Layers
from headstart.training.early_stopping import EarlyStopping
from headstart.training.head.linear import in_blocks
from headstart.training.head.networks import NetworkConfig, Networks
from headstart.training.training_data import TrainingData

logger = logging.getLogger(__name__)

LEARNING_RATE = 1e-3
PATIENCE = 10
_VAL_FOLDS = 7  # without validation examples, one of this many folds decides when to stop


def fit(data: TrainingData, config: HeadConfig, class_weights: np.ndarray) -> tuple[Layers, list[dict[str, Any]]]:
    """Train Dense layers until the validation loss stops falling.

    Args:
        data: the examples; without validation examples, some of the training examples decide when to stop.
        config: sizes of the layers, dropout, epochs and seed.
        class_weights: float (classes,), weight of one example of each class.

    Returns:
        The layers of the epoch with the lowest validation loss, with the standardisation of the features folded into
        the first, and rows for ``history.csv``.
    """
    train, val = data.train, data.val
    if not len(val):
        fold = folds(data.task, data.labels[train], data.groups[train], _VAL_FOLDS, config.seed)
        train, val = train[fold != 0], train[fold == 0]
        logger.info(f"no validation data: {len(val):,} training examples decide when to stop")
    features, labels = data.features, data.labels
    mean, scale = _moments(features, train)

    def rows(indices: np.ndarray) -> np.ndarray:
        return (features.rows(indices) - mean) / scale

    network_config = NetworkConfig(config.units, config.dropout, noise=0, weight_decay=0, learning_rate=LEARNING_RATE)
    weights, val_weights = (data.task.example_weights(labels[indices], class_weights) for indices in (train, val))
    networks = Networks(
        network_config,
        features.dim,
        labels[train],
        data.n_classes,
        task=data.task,
        weights=weights[None],
        seed=config.seed,
    )
    stopping, layers = EarlyStopping(PATIENCE), networks.layers()
    history: list[dict[str, Any]] = []
    for epoch in range(1, config.epochs + 1):
        loss = networks.epoch(lambda batch: rows(train[batch]))
        probabilities = np.concatenate([networks.probabilities(rows(block)) for block in in_blocks(val)])
        val_loss = float(np.average(data.task.log_losses(labels[val], probabilities), weights=val_weights))
        history.append({"phase": "head", "epoch": epoch, "loss": loss, "val_loss": val_loss})
        history[-1] |= {f"val_{name}": score for name, score in data.task.scores(labels[val], probabilities).items()}
        if stopping.update(val_loss):
            layers = networks.layers()
        if stopping.should_stop:
            break
    (kernel, bias), *later_layers = layers
    kernel = kernel / scale[:, None]
    return ((kernel, bias - mean @ kernel), *later_layers), history


def _moments(features: FeatureSet, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature, float32 (d,)."""
    total, squares = np.zeros(features.dim), np.zeros(features.dim)
    for block in in_blocks(train):
        rows = features.rows(block).astype(np.float64)
        total += rows.sum(0)
        squares += np.square(rows).sum(0)
    mean = total / len(train)
    deviation = np.sqrt(np.maximum(squares / len(train) - mean**2, 0))
    return mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
