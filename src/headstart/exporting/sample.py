"""Examples of a run: those for the verification of its exports, and those for the calibration of int8."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.examples import Example
from headstart.data.readers import Reader
from headstart.errors import BadExample
from headstart.runs.predictor import Predictor
from headstart.runs.tables import PredictionRow, read_predictions

HELD_OUT = 300
"""Maximum number of examples for the verification: enough to see one point of accuracy, in a few seconds."""

CALIBRATION = 100
"""Number of images for the calibration of int8. Google's guide recommends 100 to 500."""

_BATCH = 16
_SINGLES = 8  # examples for the time measurement


@dataclass(frozen=True)
class Sample:
    """Examples for the verification: first the golden samples, then examples that the run was not trained on.

    Attributes:
        batches: batches of all examples from the reader, (n, h, w, 3) or (n, t).
        singles: some of the examples by themselves, for the time measurement.
        labels: labels of the m held-out examples, encoded by the task of the run.
        split: name of the split that the held-out examples are from.
    """

    batches: list[np.ndarray]
    singles: list[np.ndarray]
    labels: np.ndarray
    split: str


def draw_sample(predictor: Predictor, headline: str | None) -> Sample:
    """Draw examples of the split that the run was evaluated on, if they are still available.

    Args:
        predictor: the run.
        headline: name of that split; None if the data are not known.
    """
    with np.load(predictor.folder / "golden.npz") as saved:
        golden = saved["inputs"]
    rows = read_predictions(predictor.folder, predictor.facts, splits=(headline,)) if headline else []
    sampled_rows = [rows[i] for i in _spread(len(rows), HELD_OUT)]
    readable = list(_readable(predictor, sampled_rows))
    arrays = [array for _, array in readable]
    chunks = [arrays[i : i + _BATCH] for i in range(0, len(arrays), _BATCH)]
    batches = [golden, *map(predictor.reader.batch, chunks)]
    singles = [predictor.reader.batch([array]) for array in arrays[:_SINGLES]] or [row[np.newaxis] for row in golden]
    task = predictor.task
    labels = task.encode([task.from_cell(row.label_cell) for row, _ in readable], predictor.classes)
    return Sample(batches, singles, labels, headline or "")


def draw_calibration(predictor: Predictor) -> np.ndarray:
    """Training images, uint8 (n, h, w, 3); n is 0 if they are no longer available."""
    rows = read_predictions(predictor.folder, predictor.facts, splits=("train",))
    sampled_rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows)).tolist()]
    arrays = [array for _, array in islice(_readable(predictor, sampled_rows), CALIBRATION)]
    return predictor.reader.batch(arrays) if arrays else np.empty((0,), np.uint8)


def _spread(n: int, limit: int) -> Sequence[int]:
    """At most ``limit`` of n positions, evenly spaced, so the shares of the classes stay about the same."""
    return np.unique(np.linspace(0, n - 1, min(n, limit)).astype(int)).tolist() if n else []


def _readable(predictor: Predictor, rows: Iterable[PredictionRow]) -> Iterator[tuple[PredictionRow, np.ndarray]]:
    """The examples whose content has not changed since the training, each with its array."""
    root = Path(predictor.facts.data_root)
    for row in rows:
        example = predictor.modality.example_in(root, row.file, row.text)
        array = _array(predictor.reader, example, row.sha256)
        if array is not None:
            yield row, array


def _array(reader: Reader, example: Example, sha256: str) -> Any:
    try:
        content = example.read()
        is_same = hashlib.sha256(content).hexdigest() == sha256
        return reader.decode(content, example.suffix) if is_same else None
    except BadExample:
        return None
