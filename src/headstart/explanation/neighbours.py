"""The training examples that are most like another one, in the eyes of the base.

Their features lie in the cache; those that do not any more are computed again, where their files are still there.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.examples import Example, example_in
from headstart.data.readers import UNITS
from headstart.errors import BadExample, counted
from headstart.explanation.activations import Activations
from headstart.features.extraction import FeatureSet, PassStats, features_key, open_store, read_features
from headstart.features.store import ArrayStore, Digest
from headstart.runs.predictor import Predictor, precision_here
from headstart.runs.tables import PredictionRow, read_predictions
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder

_BATCH, _BLOCK_ROWS = 16, 4096


@dataclass(frozen=True)
class Neighbour:
    """A training example that is like the one explained.

    Attributes:
        file: as ``predictions.csv`` names it.
        labels: its class, or all its labels.
        similarity: cosine of the angle between the features of the two, each feature standardised over the training
            examples: 1 for the same content, about 0 for a random pair.
        text: of a run on texts.
        is_same: it has the very content that is explained.
    """

    file: str
    labels: list[str]
    similarity: float
    text: str | None = None
    is_same: bool = False


class TrainingExamples:
    """What a run was trained on, as its features.

    Args:
        predictor: the run.
        activations: its model, to compute features that are no longer cached.
        cache: the cache folder; None means the user's.
        progress: follows the work.

    Attributes:
        missing: how many of them cannot be compared: they are not in the cache, and their files are gone or changed.
    """

    def __init__(
        self,
        predictor: Predictor,
        activations: Activations,
        cache: Path | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> None:
        rows = read_predictions(predictor.folder, predictor.facts, splits=("train",))
        features = _features(predictor, activations, rows, cache or cache_folder(), progress) if rows else None
        kept = [i for i in range(len(rows)) if features and features.digests[i]]
        self._rows, self.missing = [rows[i] for i in kept], len(rows) - len(kept)
        self._units = np.empty((0, 0), np.float16)
        if features and kept:
            blocks = [kept[i : i + _BLOCK_ROWS] for i in range(0, len(kept), _BLOCK_ROWS)]
            self._mean, self._scale = _moments(features, blocks)
            self._units = np.concatenate([self._unit(features.rows(block)).astype(np.float16) for block in blocks])

    def note(self, noun: str) -> str | None:
        """What is to be said about examples that are not compared; None where there are none.

        Args:
            noun: what to call one.
        """
        if not self._rows and not self.missing:
            return f"What this run was trained on is not known, so there are no similar {noun}s."
        if not self.missing:
            return None
        return (
            f"{counted(self.missing, f'training {noun}')} could not be compared: no longer in the cache, and the files "
            "are gone or have changed."
        )

    def nearest(self, features: np.ndarray, digest: Digest, count: int) -> list[Neighbour]:
        """The training examples most like one with these features, the most similar first.

        Args:
            features: float32 (d,).
            digest: of the content that they are of.
            count: how many at most.
        """
        if not self._rows:
            return []
        unit = self._unit(features[np.newaxis])[0]
        starts = range(0, len(self._rows), _BLOCK_ROWS)
        cosines = np.concatenate([self._units[i : i + _BLOCK_ROWS].astype(np.float32) @ unit for i in starts])
        nearest = np.argsort(-cosines, kind="stable")[:count].tolist()
        return [self._neighbour(i, float(cosines[i].clip(-1, 1)), digest) for i in nearest]

    def _neighbour(self, i: int, similarity: float, digest: Digest) -> Neighbour:
        row = self._rows[i]
        return Neighbour(row.file, [*row.labels], similarity, row.text, is_same=row.sha256 == digest.hex())

    def _unit(self, features: np.ndarray) -> np.ndarray:
        """Standardised features, scaled to length 1."""
        standardised = (features - self._mean) / self._scale
        return standardised / np.maximum(np.linalg.norm(standardised, axis=1, keepdims=True), 1e-12)


def _features(
    predictor: Predictor,
    activations: Activations,
    rows: Sequence[PredictionRow],
    cache: Path,
    progress: Progress,
) -> FeatureSet:
    """Features of rows of ``predictions.csv``; the digest of those that have none is None."""
    facts = predictor.facts
    precision = precision_here(facts.engine)
    key = features_key(facts.base.digest, predictor.reader.key, precision, by_keras=facts.engine.features_by_keras)
    root = Path(facts.data_root)
    examples = [example_in(root, row.file, row.text) for row in rows]
    digests = [bytes.fromhex(row.sha256) for row in rows]
    store = open_store(cache, key)
    try:
        cached = store.locate(digests)
        absent = {digest: example for digest, example in zip(digests, examples, strict=True) if digest not in cached}
        _compute(predictor, activations, absent, store, progress)
        found = store.locate(digests)
        kept = [digest if digest in found else None for digest in digests]
        return read_features(store, kept, {}, {}, key, PassStats(precision))
    finally:
        store.close()


def _compute(
    predictor: Predictor,
    activations: Activations,
    absent: Mapping[Digest, Example],
    store: ArrayStore,
    progress: Progress,
) -> None:
    """Compute features that the cache does not have, and leave them there."""
    if not absent:
        return
    wanted = list(absent)
    with progress.start("features of the training examples", len(wanted), UNITS[predictor.modality]) as bar:
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            arrays: dict[Digest, np.ndarray] = {}
            for digest in batch:
                try:
                    data = absent[digest].read()
                    if hashlib.sha256(data).digest() == digest:
                        arrays[digest] = predictor.reader.decode(data, absent[digest].suffix)
                except BadExample:
                    continue
            if arrays:
                computed = activations(predictor.reader.batch(list(arrays.values())))
                store.append(list(arrays), computed.features.astype(np.float32, copy=False))
                store.commit()
            bar.advance(len(batch))


def _moments(features: FeatureSet, blocks: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every feature, float32 (d,); 1 for one that never moves."""
    total, squares = np.zeros(features.dim), np.zeros(features.dim)
    for block in map(features.rows, blocks):
        total += block.sum(0, dtype=np.float64)
        squares += np.square(block, dtype=np.float64).sum(0)
    n = sum(map(len, blocks))
    deviation = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0))
    return (total / n).astype(np.float32), np.where(deviation > 1e-6, deviation, 1).astype(np.float32)
