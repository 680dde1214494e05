"""The choice, by cross-validation, between the features of the base and those of all its blocks."""

from dataclasses import dataclass
from pathlib import Path

from headstart.config import HeadConfig
from headstart.training.head.head import Head, fit_head
from headstart.training.head.log_loss_gain import LogLossGain, log_loss_gain
from headstart.training.training_data import TrainingData


@dataclass(frozen=True)
class FeatureComparison:
    """Solved heads on both kinds of features.

    Attributes:
        own: on the base's own features.
        blocks: on those of all blocks.
        gain: of those of all blocks; None where there are too few examples for a cross-validation.
    """

    own: Head
    blocks: Head
    gain: LogLossGain | None

    @property
    def prefers_blocks(self) -> bool:
        """Whether those of all blocks are clearly better."""
        return self.gain is not None and self.gain.is_clear


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
    of_own, of_blocks = fit_head(own, config, cache), fit_head(blocks, config, cache)
    if of_own.out_of_fold is None or of_blocks.out_of_fold is None:
        return FeatureComparison(of_own, of_blocks, None)
    return FeatureComparison(of_own, of_blocks, log_loss_gain(own, config, of_own.out_of_fold, of_blocks.out_of_fold))
