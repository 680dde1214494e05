import math

import pytest

from headstart.training.early_stopping import EarlyStopping


def test_it_stops_after_patience_epochs_without_a_lower_loss() -> None:
    stopping = EarlyStopping(patience=2)
    assert [stopping.update(loss) for loss in (0.9, 0.7, 0.7, 0.6, 0.8)] == [True, True, False, True, False]
    assert not stopping.should_stop
    stopping.update(0.6)
    assert stopping.should_stop
    assert (stopping.epoch, stopping.best_epoch, stopping.best_loss) == (6, 4, 0.6)
    assert stopping.epochs_since_best == 2


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_it_stops_at_a_loss_that_is_no_finite_number(loss: float) -> None:
    stopping = EarlyStopping(patience=9)
    stopping.update(0.5)
    assert not stopping.update(loss)
    assert stopping.should_stop
    assert stopping.best_loss == 0.5
