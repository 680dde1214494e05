"""The trial of two precisions, in this process; whether the machine has bfloat16 is pretended, the steps are real."""

from typing import Any

import numpy as np
import pytest

from headstart.training.fine_tuning import precision_trial
from headstart.training.fine_tuning.batches import Batch
from headstart.training.fine_tuning.optimizer import compile_model
from headstart.training.fine_tuning.variables import copy_values, state_variables
from tests.lazy import Lazy

keras = Lazy("keras")

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


class _Layers:
    """A network whose layers all models share, as those of a base do."""

    def __init__(self) -> None:
        self.layers = [
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dropout(0.2, seed=1),
            keras.layers.Dense(2),
        ]
        self.built: list[str] = []

    def build(self, precision: str) -> Any:
        self.built.append(precision)
        start = x = keras.Input((4,))
        for layer in self.layers:
            layer.dtype_policy = POLICIES[precision]
            x = layer(x)
        model = keras.Model(start, x)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        compile_model(model, keras.optimizers.AdamW(0.1), loss, ["accuracy"])
        return model


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(0)
    targets = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 16)]
    return Batch(rng.normal(size=(16, 4)).astype(np.float32), targets, np.ones(16, np.float32))


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_the_model_is_as_before_the_trial(batch: Batch, has_bfloat16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_trial, "can_compute_bfloat16", lambda: has_bfloat16)
    network = _Layers()
    network.build("float32")
    before = [np.array(weight) for layer in network.layers for weight in layer.weights]
    model, precision = precision_trial.faster_model(network.build, batch, steps=10**9, unit="images")
    after = [np.array(weight) for layer in network.layers for weight in layer.weights]
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))
    assert not any(np.any(values) for values in copy_values(model.optimizer.variables) if values.shape)  # no momentum
    assert network.built[-1] == precision  # or the shared layers would compute in the other precision
    assert set(network.built[1:]) == ({"float32", "bfloat16"} if has_bfloat16 else {"float32"})
    assert len(state_variables(model)) > len(before)


def test_bfloat16_is_not_tried_where_a_trial_takes_longer_than_it_can_save(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_trial, "can_compute_bfloat16", lambda: True)
    network = _Layers()
    _, precision = precision_trial.faster_model(network.build, batch, steps=1, unit="images")
    assert (precision, network.built) == ("float32", ["float32"])
