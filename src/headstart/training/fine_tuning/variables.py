"""Reading and writing the variables of a Keras model, all together."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def state_variables(model: Any) -> list[Any]:
    """All variables that the next training step depends on: weights, metrics, random states and the optimizer's."""
    return [*model.variables, *model.optimizer.variables]


def copy_values(variables: Iterable[Any]) -> list[np.ndarray]:
    """The values of variables, as arrays of their own."""
    return [np.array(variable) for variable in variables]


def assign_values(variables: Iterable[Any], values: Iterable[np.ndarray]) -> None:
    """Give each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
