"""Random weights for trials: the same in every process and on every Keras backend."""

from typing import Any

import numpy as np

_SEED = 0


def set_random_weights(network: Any) -> None:
    """Fill every kernel with random values (He et al., arXiv 1502.01852).

    Keras's own seeding gives other numbers on each backend, and changes the seeds of the caller.
    """
    rng = np.random.default_rng(_SEED)
    for variable in network.weights:
        if variable.path.endswith("kernel"):
            shape = tuple(variable.shape)
            depthwise = len(shape) == 4 and shape[-1] == 1
            fan_in = np.prod(shape[:2] if depthwise else shape[:-1])
            variable.assign(rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in)))
