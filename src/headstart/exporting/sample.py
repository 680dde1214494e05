"""Examples of a run: those for the verification of its exports, and those for the calibration of int8."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from headstart.data.examples import Example
from headstart.errors import BadExample
from headstart.runs.predictor import Input, Predictor
from headstart.runs.tables import PredictionRow, read_predictions
from headstart.tasks.answers import Frame

HELD_OUT = 300
"""Maximum number of examples for the verification: enough to see one point of accuracy, in a few seconds."""

CALIBRATION = 100
"""Number of images for the calibration of int8. Google's guide recommends 100 to 500."""

_BATCH = 16
_MAX_BYTES, _FEWEST = 100_000_000, 32  # of what a model gives for all examples: a detector may give megabytes for one
_SINGLES = 8  # examples for the time measurement


@dataclass(frozen=True)
class Sample:
    """Examples for the verification: first the golden samples, then examples that the run was not trained on.

    Attributes:
        batches: batches of all examples from the reader, (n, h, w, 3) or (n, t).
        singles: some of the examples by themselves, for the time measurement.
        frames: where the input lies in each of the m held-out images; None where the task does not need it.
        labels: labels of the m held-out examples, encoded by the task of the run.
        split: name of the split that the held-out examples are from.
    """

    batches: list[np.ndarray]
    singles: list[np.ndarray]
    frames: list[Frame | None]
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
    limit = min(HELD_OUT, max(_FEWEST, _MAX_BYTES // predictor.values(golden[:1]).nbytes))
    sampled_rows = [rows[i] for i in _spread(len(rows), limit)]
    readable = list(_readable(predictor, sampled_rows))
    arrays = [item.array for _, item in readable]
    chunks = [arrays[i : i + _BATCH] for i in range(0, len(arrays), _BATCH)]
    batches = [golden, *map(predictor.reader.batch, chunks)]
    singles = [predictor.reader.batch([array]) for array in arrays[:_SINGLES]] or [row[np.newaxis] for row in golden]
    task = predictor.task
    labels = task.encode([task.from_cell(row.label_cell) for row, _ in readable], predictor.classes)
    return Sample(batches, singles, [item.frame for _, item in readable], labels, headline or "")


def draw_calibration(predictor: Predictor) -> np.ndarray:
    """Training images, uint8 (n, h, w, 3); n is 0 if they are no longer available."""
    rows = read_predictions(predictor.folder, predictor.facts, splits=("train",))
    sampled_rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows)).tolist()]
    arrays = [item.array for _, item in islice(_readable(predictor, sampled_rows), CALIBRATION)]
    return predictor.reader.batch(arrays) if arrays else np.empty((0,), np.uint8)


def _spread(n: int, limit: int) -> Sequence[int]:
    """At most ``limit`` of n positions, evenly spaced, so the shares of the classes stay about the same."""
    return np.unique(np.linspace(0, n - 1, min(n, limit)).astype(int)).tolist() if n else []


def _readable(predictor: Predictor, rows: Iterable[PredictionRow]) -> Iterator[tuple[PredictionRow, Input]]:
    """The examples whose content has not changed since the training, each with what the model takes of it."""
    root = Path(predictor.facts.data_root)
    for row in rows:
        example = predictor.modality.example_in(root, row.file, row.text)
        item = _input(predictor, example, row.sha256)
        if item is not None:
            yield row, item


def _input(predictor: Predictor, example: Example, sha256: str) -> Input | None:
    try:
        content = example.read()
        is_same = hashlib.sha256(content).hexdigest() == sha256
        return predictor.read(content, example.suffix) if is_same else None
    except BadExample:
        return None
