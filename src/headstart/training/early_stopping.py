"""The one rule by which training stops early: heads with hidden layers, their search, and fine-tuning follow it."""

import math
from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """The validation losses so far: which epoch was the best, and whether to stop.

    Attributes:
        patience: number of epochs without a new lowest loss after which training stops.
        epoch: number of epochs so far.
        best_epoch: the epoch with the lowest loss, from 1; 0 before there is one.
        best_loss: its loss.
        is_finite: whether the loss of the last epoch was a finite number.
    """

    patience: int
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    is_finite: bool = True

    def update(self, loss: float) -> bool:
        """Record the validation loss of the next epoch; gives whether it is the lowest so far."""
        self.epoch += 1
        self.is_finite = math.isfinite(loss)
        if loss < self.best_loss:
            self.best_epoch, self.best_loss = self.epoch, loss
        return self.best_epoch == self.epoch

    @property
    def epochs_since_best(self) -> int:
        """Number of epochs since the one with the lowest loss."""
        return self.epoch - self.best_epoch

    @property
    def should_stop(self) -> bool:
        """Whether the loss has not fallen for ``patience`` epochs, or is no finite number any more."""
        return self.epochs_since_best >= self.patience or not self.is_finite
