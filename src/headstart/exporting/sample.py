"""The examples of a run that its exports have to repeat, and those that a quantised one is calibrated with."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.examples import Example, example_in
from headstart.data.labels import Label, encode_labels
from headstart.data.readers import Reader
from headstart.errors import BadExample
from headstart.runs.predictor import Predictor
from headstart.runs.tables import PredictionRow, read_predictions

HELD_OUT = 300
"""Examples that an export is judged by, at most: enough to see a point of accuracy, in seconds."""

CALIBRATION = 100
"""Pictures that show a quantised export which values to expect; Google's guide asks for one to five hundred."""

_BATCH = 16
_SINGLES = 8  # examples that are timed


@dataclass(frozen=True)
class Sample:
    """What an export is to repeat: the golden samples first, then examples that the run was not trained on.

    Attributes:
        batches: arrays as the reader gives them, (n, h, w, 3) or (n, t), of all examples.
        singles: some of the examples by themselves, to measure time with.
        labels: of the held-out examples: int (m,), or 0 and 1 (m, classes).
        split: which part of the data the held-out examples are from.
    """

    batches: list[np.ndarray]
    singles: list[np.ndarray]
    labels: np.ndarray
    split: str


def draw(predictor: Predictor, headline: str | None) -> Sample:
    """Take the examples of the part of the data that the run's figures are about, as far as they are still there.

    Args:
        predictor: the run.
        headline: that part; None where nothing is known of the data.
    """
    with np.load(predictor.folder / "golden.npz") as saved:
        golden = saved["inputs"]
    rows = read_predictions(predictor.folder, predictor.facts, splits=(headline,)) if headline else []
    chosen = [rows[i] for i in _spread(len(rows), HELD_OUT)]
    found = list(_readable(predictor, chosen))
    arrays = [array for _, array in found]
    pieces = [arrays[i : i + _BATCH] for i in range(0, len(arrays), _BATCH)]
    batches = [golden, *map(predictor.reader.batch, pieces)]
    singles = [predictor.reader.batch([array]) for array in arrays[:_SINGLES]] or [row[np.newaxis] for row in golden]
    is_multi_label = predictor.facts.is_multi_label
    names: list[Label] = [[*row.labels] if is_multi_label else row.labels[0] for row, _ in found]
    labels = encode_labels(names, predictor.classes)
    return Sample(batches, singles, labels, headline or "")


def calibration(predictor: Predictor) -> np.ndarray:
    """Training pictures, uint8 (n, h, w, 3); none where they are gone."""
    rows = read_predictions(predictor.folder, predictor.facts, splits=("train",))
    chosen = [rows[i] for i in np.random.default_rng(0).permutation(len(rows)).tolist()]
    arrays = [array for _, array in islice(_readable(predictor, chosen), CALIBRATION)]
    return predictor.reader.batch(arrays) if arrays else np.empty((0,), np.uint8)


def _spread(n: int, most: int) -> Sequence[int]:
    """Positions of a few among n, evenly spread: so every class has its share."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int)).tolist() if n else []


def _readable(predictor: Predictor, rows: Iterable[PredictionRow]) -> Iterator[tuple[PredictionRow, np.ndarray]]:
    """Those whose content is still what the run saw, each with its array."""
    root = Path(predictor.facts.data_root)
    for row in rows:
        array = _array(predictor.reader, example_in(root, row.file, row.text), row.sha256)
        if array is not None:
            yield row, array


def _array(reader: Reader, example: Example, sha256: str) -> Any:
    try:
        content = example.read()
        is_same = hashlib.sha256(content).hexdigest() == sha256
        return reader.decode(content, example.suffix) if is_same else None
    except BadExample:
        return None
