"""The freeze proof of fine-tuning: digests of every frozen tensor before training, compared with those after it.

They are compared once more in the finished file, by :func:`headstart.model_files.keras_file.freeze_proof`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.errors import IntegrityError
from headstart.model_files.keras_file import tensor_digest


class FrozenWeights:
    """The variables that training must not change, with their digests from before.

    Args:
        variables: Keras variables.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        self._variables = variables
        self._digests = _digests(variables)

    def check(self, handle: str) -> None:
        """Compare the variables with their digests.

        Args:
            handle: of the base, for the message.

        Raises:
            IntegrityError: a frozen variable has changed.
        """
        changed = sum(before != after for before, after in zip(self._digests, _digests(self._variables), strict=True))
        if changed:
            raise IntegrityError(
                f"{changed} of {len(self._digests)} frozen tensors changed while {handle} was fine-tuned. "
                "Nothing was saved; please report this."
            )

    def to_dict(self) -> dict[str, Any]:
        """The digests, and how many of them are of BatchNormalization's moving means and variances."""
        statistics = sum(variable.path.endswith(("moving_mean", "moving_variance")) for variable in self._variables)
        return {"digests": self._digests, "statistics": statistics}


def _digests(variables: Sequence[Any]) -> list[str]:
    return [tensor_digest(np.asarray(variable)) for variable in variables]
