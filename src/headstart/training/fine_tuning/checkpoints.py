"""Checkpoints of fine-tuning: a run that is killed continues after its last whole epoch and ends with the same weights.

Two files lie in the folder of a job. ``state.npz`` has every variable that the next epoch depends on, and the training
state beside them; ``best.npz`` has the trained variables of the epoch with the lowest validation loss. Both are written
under another name and renamed, so a killed process leaves either the old file or the new one.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from headstart.system.atomic import atomic_file
from headstart.training.early_stopping import EarlyStopping
from headstart.training.fine_tuning.variables import assign_values, state_variables

logger = logging.getLogger(__name__)

STATE_FILE, BEST_FILE = "state.npz", "best.npz"


@dataclass
class TrainingState:
    """What the next epoch depends on, besides the variables.

    Attributes:
        stopping: the validation losses so far.
        precision: of training, ``auto`` until it is chosen.
        stop_reason: why training ended; None until then.
        restarts: how often training started again with a lower learning rate.
        seconds: of training, in this process and in those before it.
        views_s: seconds that the views took, in the same way.
        history: rows for ``history.csv``.
    """

    stopping: EarlyStopping
    precision: str
    stop_reason: str | None = None
    restarts: int = 0
    seconds: float = 0.0
    views_s: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Number of epochs that are done, since the last restart."""
        return self.stopping.epoch

    def to_json(self) -> str:
        """As text that :meth:`from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TrainingState":
        """The inverse of :meth:`to_json`."""
        fields = json.loads(text)
        return cls(**{**fields, "stopping": EarlyStopping(**fields["stopping"])})


class Checkpoints:
    """The checkpoints of one job.

    Args:
        folder: of the job.
    """

    def __init__(self, folder: Path) -> None:
        self._state, self._best = folder / STATE_FILE, folder / BEST_FILE

    def read_state(self) -> TrainingState | None:
        """The state after the last epoch that an earlier process finished; None where there was none.

        Files that were damaged on the disk are removed, with one line: training starts again.
        """
        if not self._state.exists():
            return None
        if damaged := [path for path in (self._state, self._best) if path.exists() and not _is_intact(path)]:
            logger.warning(f"the cache is damaged: {damaged[0]} cannot be read. Training starts again.")
            self._state.unlink()
            self._best.unlink(missing_ok=True)
            return None
        with np.load(self._state) as saved:
            return TrainingState.from_json(str(saved["state"]))

    def restore(self, model: Any) -> None:
        """Give all variables of a compiled model the values that :meth:`save` wrote."""
        _read_into(state_variables(model), self._state)

    def save(self, model: Any, state: TrainingState) -> None:
        """Write everything that the next epoch depends on."""
        _write(self._state, state_variables(model), state=np.array(state.to_json()))

    def restore_best(self, variables: Iterable[Any]) -> None:
        """Give variables the values of the best epoch."""
        _read_into(variables, self._best)

    def save_best(self, variables: Iterable[Any]) -> None:
        """Keep the values of variables as those of the best epoch."""
        _write(self._best, variables)


def _is_intact(path: Path) -> bool:
    """Whether the values of all arrays fit the checksums of the file."""
    try:
        with ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, ValueError, BadZipFile, NotImplementedError):
        return False


def _read_into(variables: Iterable[Any], path: Path) -> None:
    variables = list(variables)
    with np.load(path) as saved:
        assign_values(variables, [saved[f"v{i}"] for i in range(len(variables))])


def _write(path: Path, variables: Iterable[Any], **other_arrays: np.ndarray) -> None:
    """Write variables as ``v0``, ``v1`` …, and more arrays beside them: all or nothing."""
    arrays: dict[str, Any] = {**{f"v{i}": np.asarray(variable) for i, variable in enumerate(variables)}, **other_arrays}
    with atomic_file(path, durable=True) as partial:
        np.savez(partial, **arrays)
