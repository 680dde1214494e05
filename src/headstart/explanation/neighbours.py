"""Similar training examples: nearest neighbours in the feature space of the base.

Their features are read from the cache. Missing features are computed again if the files are still available.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.examples import Example
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
    """A training example that is similar to the explained example.

    Attributes:
        file: its name in ``predictions.csv``.
        labels: its class, or all its labels.
        similarity: cosine of the angle between the features of the two, each feature standardised over the training
            examples: 1 for the same content, about 0 for a random pair.
        text: its text, for runs on texts.
        is_same: whether it has the same content as the explained example.
    """

    file: str
    labels: list[str]
    similarity: float
    text: str | None = None
    is_same: bool = False


class TrainingExamples:
    """Features of the training examples of a run.

    Args:
        predictor: the run.
        activations: its model, to compute features that are not in the cache.
        cache: the cache folder; None means the user's.
        progress: shows the progress of the computation.

    Attributes:
        missing: number of examples that are not compared: not in the cache, and their files are missing or changed.
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
        usable = [i for i in range(len(rows)) if features and features.digests[i]]
        self._rows, self.missing = [rows[i] for i in usable], len(rows) - len(usable)
        self._unit_vectors = np.empty((0, 0), np.float16)
        if features and usable:
            blocks = [usable[i : i + _BLOCK_ROWS] for i in range(0, len(usable), _BLOCK_ROWS)]
            self._mean, self._scale = _moments(features, blocks)
            self._unit_vectors = np.concatenate(
                [self._unit_vector(features.rows(block)).astype(np.float16) for block in blocks]
            )

    def note(self, noun: str) -> str | None:
        """A note about examples that are not compared; None if all are compared.

        Args:
            noun: the noun for an example, such as ``image``.
        """
        if not self._rows and not self.missing:
            return f"The training {noun}s of this run are not known, so no similar {noun}s are shown."
        if not self.missing:
            return None
        return (
            f"{counted(self.missing, f'training {noun}')} could not be compared: not in the cache, and the files are "
            "missing or changed."
        )

    def nearest(self, features: np.ndarray, digest: Digest, count: int) -> list[Neighbour]:
        """The training examples that are most similar to an example, the most similar first.

        Args:
            features: features of the example, float32 (d,).
            digest: digest of its content.
            count: maximum number of training examples.
        """
        if not self._rows:
            return []
        unit = self._unit_vector(features[np.newaxis])[0]
        starts = range(0, len(self._rows), _BLOCK_ROWS)
        cosines = np.concatenate([self._unit_vectors[i : i + _BLOCK_ROWS].astype(np.float32) @ unit for i in starts])
        nearest = np.argsort(-cosines, kind="stable")[:count].tolist()
        return [self._neighbour(i, float(cosines[i].clip(-1, 1)), digest) for i in nearest]

    def _neighbour(self, i: int, similarity: float, digest: Digest) -> Neighbour:
        row = self._rows[i]
        return Neighbour(row.file, [*row.labels], similarity, row.text or None, is_same=row.sha256 == digest.hex())

    def _unit_vector(self, features: np.ndarray) -> np.ndarray:
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
    """Features of rows of ``predictions.csv``; the digest of a row without features is None."""
    facts = predictor.facts
    precision = precision_here(facts.engine)
    key = features_key(facts.base.digest, predictor.reader.key, precision, by_keras=facts.engine.features_by_keras)
    root = Path(facts.data_root)
    examples = [predictor.modality.example_in(root, row.file, row.text) for row in rows]
    digests = [bytes.fromhex(row.sha256) for row in rows]
    store = open_store(cache, key)
    try:
        store.remove_damaged(digests)
        cached = store.locate(digests)
        missing_examples = {
            digest: example for digest, example in zip(digests, examples, strict=True) if digest not in cached
        }
        _compute(predictor, activations, missing_examples, store, progress)
        cached = store.locate(digests)
        cached_digests = [digest if digest in cached else None for digest in digests]
        return read_features(store, cached_digests, {}, {}, key, PassStats(precision))
    finally:
        store.close()


def _compute(
    predictor: Predictor,
    activations: Activations,
    missing_examples: Mapping[Digest, Example],
    store: ArrayStore,
    progress: Progress,
) -> None:
    """Compute features that are not in the cache, and add them to it."""
    if not missing_examples:
        return
    digests = list(missing_examples)
    with progress.start("features of the training examples", len(digests), predictor.modality.plural) as bar:
        for start in range(0, len(digests), _BATCH):
            batch = digests[start : start + _BATCH]
            arrays: dict[Digest, np.ndarray] = {}
            for digest in batch:
                try:
                    data = missing_examples[digest].read()
                    if hashlib.sha256(data).digest() == digest:
                        arrays[digest] = predictor.reader.decode(data, missing_examples[digest].suffix)
                except BadExample:
                    continue
            if arrays:
                computed = activations(predictor.reader.batch(list(arrays.values())))
                store.append(list(arrays), computed.features.astype(np.float32, copy=False))
                store.commit()
            bar.advance(len(batch))


def _moments(features: FeatureSet, blocks: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every feature, float32 (d,); the latter is 1 for a constant feature."""
    total, squares = np.zeros(features.dim), np.zeros(features.dim)
    for block in map(features.rows, blocks):
        total += block.sum(0, dtype=np.float64)
        squares += np.square(block, dtype=np.float64).sum(0)
    n = sum(map(len, blocks))
    deviation = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0))
    return (total / n).astype(np.float32), np.where(deviation > 1e-6, deviation, 1).astype(np.float32)
