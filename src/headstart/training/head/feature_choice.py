"""The choice, by cross-validation, between the features of the base and those of all its blocks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.config import HeadConfig
from headstart.training.head.head import Head, fit_head
from headstart.training.training_data import TrainingData


@dataclass(frozen=True)
class FeatureComparison:
    """Solved heads on both kinds of features.

    Attributes:
        own: on the base's own features.
        blocks: on those of all blocks.
        gain: by how much the log loss is lower with blocks, the mean over the training examples, each predicted by a
            head that was solved without it; None where there are too few examples for a cross-validation.
        standard_error: of the gain.
    """

    own: Head
    blocks: Head
    gain: float | None
    standard_error: float | None

    @property
    def prefers_blocks(self) -> bool:
        """Whether the gain is larger than one standard error: the simpler model is kept otherwise.

        Source: Breiman, Friedman, Olshen and Stone, "Classification and regression trees", 1984, section 3.4.3.
        """
        return self.gain is not None and self.standard_error is not None and self.gain > self.standard_error


def compare_features(
    own: TrainingData, blocks: TrainingData, config: HeadConfig, cache: Path | None = None
) -> FeatureComparison:
    """Solve a linear head on both kinds of features and compare them.

    Args:
        own: the examples, with the base's own features.
        blocks: the same examples, with the features of all blocks.
        config: of the head.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: the features are not finite, or the task has no such class weights.
    """
    heads = fit_head(own, config, cache), fit_head(blocks, config, cache)
    if heads[0].out_of_fold is None or heads[1].out_of_fold is None:
        return FeatureComparison(*heads, gain=None, standard_error=None)
    labels = own.labels[own.train]
    losses = [own.task.log_losses(labels, head.out_of_fold) for head in heads if head.out_of_fold is not None]
    weights = own.task.example_weights(labels, own.task.class_weights(labels, own.n_classes, config.class_weights))
    differences = (losses[0] - losses[1]) * weights / weights.mean()
    return FeatureComparison(
        *heads,
        gain=float(differences.mean()),
        standard_error=float(differences.std() / np.sqrt(len(differences))),
    )
