"""The optimizer of fine-tuning: AdamW with warm-up and cosine decay, and a rate of its own for every block."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.bases.blocks import Block
from headstart.training.training_data import FineTuneConfig

_WARM_UP = 0.1  # of all steps
_WARM_UP_STEPS = 20  # at least: Adam's first steps are all of full length, whatever the gradient


def layered_adamw(tuning: FineTuneConfig, rate: float, network: Any, trained: Sequence[Block], steps: int) -> Any:
    """AdamW, one for each trained block and one for everything else, which is the head.

    Args:
        tuning: decay.
        rate: learning rate at its height, of the head.
        network: the base.
        trained: its blocks that are trained, from the pixels on.
        steps: of all epochs together.
    """
    import keras

    ramp = max(1, min(max(int(steps * _WARM_UP), _WARM_UP_STEPS), steps // 2))

    def adamw(depth: int) -> Any:
        """``depth`` 0 is the head, 1 the block below it."""
        begin = int(steps / 2 * depth / (len(trained) + 1)) if tuning.gradual else 0
        schedule = _schedule(rate * tuning.rate_decay**depth, begin, ramp, steps)
        return keras.optimizers.AdamW(schedule, weight_decay=tuning.weight_decay)

    of_head, by_layer = adamw(0), {}
    for depth, block in enumerate(reversed(trained), 1):
        by_layer.update(dict.fromkeys(block.layers, adamw(depth)))
    owner = {id(weight): by_layer.get(layer.name, of_head) for layer in network.layers for weight in layer.weights}
    return keras.optimizers.MultiOptimizer(lambda variable: owner.get(id(variable), of_head))


def _schedule(peak: float, begin: int, ramp: int, total: int) -> Any:
    """Nothing until ``begin``, a linear rise over ``ramp`` steps, then a cosine down to nothing at ``total``."""
    import keras
    from keras import ops

    class WarmUpThenCosine(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            done = ops.cast(step, "float32") + 1 - begin
            rise = ops.clip(done / ramp, 0.0, 1.0)
            fall = ops.clip((done - ramp) / max(total - begin - ramp, 1), 0.0, 1.0)
            return peak * rise * 0.5 * (1 + ops.cos(np.pi * fall))

        def get_config(self) -> dict[str, Any]:
            return {"peak": peak, "begin": begin, "ramp": ramp, "total": total}

    return WarmUpThenCosine()
