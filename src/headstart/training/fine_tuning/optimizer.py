"""The optimizer of fine-tuning: AdamW with warm-up and cosine decay, and a learning rate for each block."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.bases.blocks import Block
from headstart.config import FineTuneConfig
from headstart.system.keras_compat import build_metrics
from headstart.system.keras_worker import on_gpu

_WARM_UP = 0.1  # of all steps
_WARM_UP_STEPS = 20  # at least: Adam's first steps have their full length even where the gradient is small


def layered_adamw(config: FineTuneConfig, rate: float, network: Any, trained: Sequence[Block], steps: int) -> Any:
    """AdamW: one optimizer for each trained block, and one for everything else, which is the head.

    Args:
        config: decay of the rate and of the weights, and whether blocks start one after the other.
        rate: highest learning rate of the head.
        network: the base.
        trained: its blocks that are trained, the lowest one first.
        steps: of all epochs together.
    """
    import keras

    ramp = max(1, min(max(int(steps * _WARM_UP), _WARM_UP_STEPS), steps // 2))

    def adamw(depth: int) -> Any:
        """``depth`` 0 is the head, 1 the block below it."""
        begin = int(steps / 2 * depth / (len(trained) + 1)) if config.gradual else 0
        schedule = _schedule(rate * config.rate_decay**depth, begin, ramp, steps)
        return keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)

    head_optimizer, by_layer = adamw(0), {}
    for depth, block in enumerate(reversed(trained), 1):
        by_layer.update(dict.fromkeys(block.layers, adamw(depth)))
    owner = {
        id(weight): by_layer.get(layer.name, head_optimizer) for layer in network.layers for weight in layer.weights
    }
    return keras.optimizers.MultiOptimizer(lambda variable: owner.get(id(variable), head_optimizer))


def compile_model(model: Any, optimizer: Any, loss: Any, metrics: list[str]) -> None:
    """Compile a model for training, and create the variables of its optimizer and metrics.

    Args:
        model: a Keras model.
        optimizer: a new one.
        loss: a Keras loss, or a function of (targets, outputs).
        metrics: names of weighted metrics.
    """
    import keras

    model.compile(
        optimizer,
        loss,
        weighted_metrics=metrics,
        jit_compile="auto" if on_gpu() or keras.backend.backend() != "tensorflow" else False,  # slower on CPUs
    )
    model.optimizer.build(model.trainable_variables)
    build_metrics(model)


def _schedule(peak: float, begin: int, ramp: int, total: int) -> Any:
    """0 until step ``begin``, a linear rise over ``ramp`` steps, then a cosine down to 0 at step ``total``."""
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
