"""Which precision trains faster on this machine: a few steps in each tell.

The trial leaves the model as it was: every variable gets its value back.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from headstart.features.engines import can_compute_bfloat16
from headstart.system.keras_compat import train_step
from headstart.system.keras_worker import on_gpu
from headstart.training.fine_tuning.batches import Batch
from headstart.training.fine_tuning.variables import assign_values, copy_values, state_variables

logger = logging.getLogger(__name__)

_TIMED_STEPS = 3


def faster_model(build: Callable[[str], Any], batch: Batch, *, steps: int, unit: str) -> tuple[Any, str]:
    """The model to train, in the precision that is faster in a few steps; bfloat16 is tried where it can save time.

    Args:
        build: gives the compiled model that computes in a precision. All share their layers, so only the model that was
            built last computes as it should.
        batch: to try on.
        steps: of the whole training.
        unit: of the examples, for the note.

    Returns:
        The model, and its precision: ``float32`` or ``bfloat16`` (mixed, with float32 variables).
    """
    model = build("float32")
    if not (on_gpu() or can_compute_bfloat16()):
        return model, "float32"
    first_s, step_s = _time_steps(model, batch)
    if steps * step_s < 2 * first_s:  # a trial costs about one more first step, most of which is tracing
        return model, "float32"
    model = build("bfloat16")
    _, bfloat16_step_s = _time_steps(model, batch)
    size = len(batch.inputs)
    logger.info(
        f"training in float32: {size / step_s:,.0f} {unit}/s, in bfloat16: {size / bfloat16_step_s:,.0f} {unit}/s"
    )
    return (model, "bfloat16") if bfloat16_step_s < step_s else (build("float32"), "float32")


def _time_steps(model: Any, batch: Batch) -> tuple[float, float]:
    """Seconds of the first step, and of one of the next ones; the model is as before afterwards."""
    before = copy_values(state_variables(model))
    seconds = []
    for _ in range(1 + _TIMED_STEPS):
        started = time.monotonic()
        train_step(model, *batch)
        seconds.append(time.monotonic() - started)
    assign_values(state_variables(model), before)
    return seconds[0], sum(seconds[1:]) / _TIMED_STEPS
