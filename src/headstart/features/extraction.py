"""The frozen pass: every example's bytes are read, digested, decoded and run through the base, once.

Decoding and computing overlap: threads prepare batches (Pillow lets go of Python's lock), the engine computes them,
and this thread writes what is done to the cache. Nothing is held beyond the batches in flight, for any number
of files. Each finished batch is durable within about a second, so the next run continues where a killed one ended.
"""

import copy
import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from headstart.bases.base import Base
from headstart.data.examples import Example
from headstart.data.fingerprints import ImageInfo, inspect_image
from headstart.data.parallel import map_ahead
from headstart.data.readers import Reader, decode_example
from headstart.errors import BadExample, counted
from headstart.features.engines import (
    Engine,
    EngineName,
    batch_size,
    choose_engine,
    open_engine,
)
from headstart.features.examination import image_infos_of
from headstart.features.input_range import check_pixels
from headstart.features.known_files import FileIndex, FileVersion, ImageInfoStore, KnownFile
from headstart.features.store import ArrayStore, Digest, StoredArrays
from headstart.system.disk import check_room
from headstart.system.display import show_progress
from headstart.system.progress import Bar, Progress
from headstart.system.settings import Precision, cache_folder

logger = logging.getLogger(__name__)

STORE_VERSION = 3
"""Part of every key: raise it when the layout of the store changes."""

_COPIED_ROWS = 4096
_PROBE_EXAMPLES = 4
_COMMIT_INTERVAL_S = 1.0
_POLL_INTERVAL_S = 0.25
_BYTES_OF_A_ROW = 300  # of an example in the indexes
_SILENT_S = 2.0  # of waiting for another process, before a message


class FeatureSet:
    """One feature vector per usable example, memory-mapped from the cache.

    Attributes:
        digests: content digest of each example, in their order; None where it cannot be used.
        problems: index -> reason, for those that cannot.
        image_infos: index -> header and fingerprint of an image; of those at least whose features were wanted.
        dim: d, the length of a vector.
        key: of the cache: base, preprocessing, reader and precision, as one hex digest.
        precision: of the engine that computed them.
        by_keras: whether that was Keras by choice, and not only because OpenVINO cannot take the base.
        computed: how many were computed now.
        from_cache: how many came from the cache.
        seconds: wall time of the pass.
    """

    def __init__(
        self,
        digests: list[Digest | None],
        problems: dict[int, str],
        image_infos: dict[int, ImageInfo],
        vectors: StoredArrays,
        key: str,
        stats: "PassStats",
    ) -> None:
        self.digests, self.problems, self.image_infos, self.key = digests, problems, image_infos, key
        self.precision, self.by_keras, self.seconds = stats.precision, stats.by_keras, stats.seconds
        self.computed, self.from_cache = stats.computed, stats.from_cache
        self._vectors = vectors
        self.dim = vectors.shape[0] if vectors.shape else 0
        self._columns = slice(0, self.dim)

    def __len__(self) -> int:
        return len(self.digests)

    @property
    def computed_for(self) -> np.ndarray:
        """Whether there is a feature vector of each example: bool (n,)."""
        return self._vectors.are_stored

    def columns(self, start: int, stop: int, key: str | None = None) -> "FeatureSet":
        """The same examples with a part of each vector only.

        Args:
            start: first value of the part.
            stop: the value after its last one.
            key: of the part, where the cache has it as features of their own.
        """
        part = copy.copy(self)
        part._columns, part.dim = slice(start, stop), stop - start
        part.key = key or hashlib.sha256(f"{self.key} {start} {stop}".encode()).hexdigest()
        return part

    def rows(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Feature vectors of the examples at ``indices``: float32 (len(indices), d), in that order."""
        return self._vectors.take(indices, self._columns)


@dataclass
class PassStats:
    """What one pass did."""

    precision: str
    by_keras: bool = False
    computed: int = 0
    from_cache: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Content:
    index: int
    version: FileVersion | None
    digest: Digest
    data: bytes


class _Prepared(NamedTuple):
    digests: list[Digest]
    inputs: np.ndarray
    examined: int


def extract(
    base: Base,
    examples: Sequence[Example | Path | str],
    *,
    only: Iterable[int] | None = None,
    engine: EngineName = "auto",
    precision: Precision = "auto",
    cache: str | Path | None = None,
    label: str = "features",
    progress: bool | Progress = True,
) -> FeatureSet:
    """Compute, or find in the cache, the features of image files or texts.

    Args:
        base: the frozen base.
        examples: paths or URLs of images; or texts, as strings or as paths of text files; or examples. The result is in
            their order.
        only: indices of those to compute; of the others only the digest is determined. None means all.
        engine: ``auto`` takes Keras on a GPU where that is faster, else OpenVINO where it can run the base, else Keras.
        precision: ``auto`` takes bfloat16 with OpenVINO on CPUs that compute in it, else float32.
        cache: the cache folder; None means the user's.
        label: of the progress bar.
        progress: True shows it; False does not; or an object that follows the work, see :class:`headstart.Progress`.

    Returns:
        A FeatureSet with one entry per example. Those that cannot be used have their reason in ``problems``.

    Raises:
        InputError: the engine or precision cannot be had here.
    """
    started = time.perf_counter()
    folder = Path(cache).expanduser() if cache else cache_folder()
    work = _Pass(base, base.modality.as_examples(examples), only, engine, precision, folder)
    try:
        with show_progress(progress) as shown_progress:
            work.run(label, shown_progress)
        work.stats.from_cache = len(work.indices.difference(work.problems)) - work.stats.computed
        work.stats.seconds = time.perf_counter() - started
        return read_features(work.store, work.digests, work.problems, work.image_infos, work.key, work.stats)
    finally:
        work.close()


def first_inputs(reader: Reader, examples: Iterable[Example]) -> np.ndarray:
    """The first few examples that can be used, on which a fresh conversion is compared with Keras; empty if none."""
    arrays: list[np.ndarray] = []
    for example in examples:
        with suppress(BadExample):
            arrays.append(decode_example(reader, example))
        if len(arrays) == _PROBE_EXAMPLES:
            break
    return reader.batch(arrays) if arrays else np.empty(0)


def store_part(features: FeatureSet, width: int, base: Base, cache: Path) -> FeatureSet:
    """The first values of each feature vector, which the cache then also has as the features of another base.

    Args:
        features: of some examples.
        width: how many values.
        base: that gives them; only its digest is used.
        cache: the cache folder.
    """
    key = features_key(base.digest, base.reader().key, features.precision, by_keras=features.by_keras)
    part = features.columns(0, width, key)
    index_of = {digest: i for i, digest in enumerate(features.digests) if digest and features.computed_for[i]}
    store = open_store(cache, key)
    try:
        missing = list(store.claim([*(index_of.keys() - store.locate(list(index_of)).keys())]))
        for start in range(0, len(missing), _COPIED_ROWS):
            block = missing[start : start + _COPIED_ROWS]
            store.append(block, part.rows([index_of[digest] for digest in block]))
    finally:
        store.close()
    return part


def features_key(base_digest: str, reader_key: str, precision: str, *, by_keras: bool) -> str:
    """The key of features in the cache: everything their values depend on besides the content of an example, hex."""
    return hashlib.sha256(f"{STORE_VERSION} {base_digest} {reader_key} {by_keras} {precision}".encode()).hexdigest()


def open_store(cache: Path, key: str) -> ArrayStore:
    """The store of features with a key, see :func:`features_key`."""
    return ArrayStore(cache / "features" / key[:32])


def read_features(
    store: ArrayStore,
    digests: list[Digest | None],
    problems: dict[int, str],
    image_infos: dict[int, ImageInfo],
    key: str,
    stats: "PassStats",
) -> FeatureSet:
    """The features of some examples as far as a store has them."""
    vectors = store.read([(digest, 0) if digest else None for digest in digests])
    return FeatureSet(digests, problems, image_infos, vectors, key, stats)


class _Pass:
    def __init__(
        self,
        base: Base,
        examples: list[Example],
        only: Iterable[int] | None,
        engine: EngineName,
        precision: Precision,
        cache: Path,
    ) -> None:
        self.base, self.examples, self.cache = base, examples, cache
        self.indices = frozenset(range(len(examples)) if only is None else map(int, only))
        self.reader = base.reader()
        self.engine_name, resolved_precision = choose_engine(
            base, engine, precision, cache, self._probe, len(self.indices)
        )
        self.on_gpu = self.engine_name != engine
        self.stats = PassStats(resolved_precision, by_keras=self.engine_name == "keras")
        self.files = FileIndex(cache, self.reader.key)
        self.known_images = ImageInfoStore(cache, self.reader.key) if base.modality.has_pixels else None
        self.key = features_key(base.digest, self.reader.key, resolved_precision, by_keras=self.stats.by_keras)
        self.store = open_store(cache, self.key)
        self.digests: list[Digest | None] = [None] * len(examples)
        self.problems: dict[int, str] = {}
        self.image_infos: dict[int, ImageInfo] = {}
        self._engine: Engine | None = None

    def _probe(self) -> np.ndarray:
        return first_inputs(self.reader, (self.examples[i] for i in sorted(self.indices)))

    def close(self) -> None:
        self.store.close()
        self.files.close()
        if self.known_images:
            self.known_images.close()

    def run(self, label: str, progress: Progress) -> None:
        self._find_digests()
        self.store.remove_damaged([digest for digest in self.digests if digest])
        if missing := self._missing():
            if self.base.feature_dim:
                purpose = f"features of {len(missing):,} {self.base.modality.plural}"
                check_room(
                    self.cache, _BYTES_OF_A_ROW * len(missing) + 4 * self.base.feature_dim * len(missing), purpose
                )
            with progress.start(label, len(missing), self.base.modality.plural) as bar:
                self._compute(missing, bar)
                self._wait_for_others()
        if self.known_images:
            self.image_infos = image_infos_of(
                self.known_images, self.reader, self.examples, self.digests, sorted(self.indices), progress
            )

    def _wait_for_others(self) -> None:
        """What is still missing is being computed by other processes. What one of them leaves is computed here."""
        started, is_said = time.monotonic(), False
        while missing := self._missing():
            owner_of_digest = self.store.claim_owners([digest for i in missing if (digest := self.digests[i])])
            unclaimed = [i for i in missing if self.digests[i] not in owner_of_digest]
            if unclaimed:
                self._compute(unclaimed, None)
                continue
            if not is_said and time.monotonic() - started > _SILENT_S:
                is_said = True
                names = ", ".join(sorted(set(owner_of_digest.values())))
                logger.info(
                    f"waiting for {names}, which is computing {counted(len(owner_of_digest), 'example')} of these …"
                )
            time.sleep(_POLL_INTERVAL_S)

    def _find_digests(self) -> None:
        for i, file in self.files.find(self.examples).items():
            self._learn(i, file)
        for i, example in enumerate(self.examples):
            if example.location is None:
                self.digests[i] = example.digest()
        settled = self.indices.union(self.problems)
        unknown = [i for i, digest in enumerate(self.digests) if not digest and i not in settled]
        for content in map_ahead(self._read, unknown):
            if content:
                self.digests[content.index] = content.digest

    def _learn(self, i: int, file: KnownFile) -> None:
        if file.problem:
            self.problems[i], self.digests[i] = file.problem, None
        else:
            self.digests[i] = file.digest

    def _missing(self) -> list[int]:
        stored = self.store.locate([digest for digest in self.digests if digest])
        return [i for i in sorted(self.indices) if i not in self.problems and self.digests[i] not in stored]

    def _compute(self, indices: list[int], bar: Bar | None) -> None:
        committed = time.monotonic()
        for prepared, features in self._results(self._prepared(indices), bar):
            self.store.append(prepared.digests, features.astype(np.float32, copy=False))
            self.stats.computed += len(features)
            if bar:
                bar.advance(prepared.examined)
            if time.monotonic() - committed > _COMMIT_INTERVAL_S:
                self.store.commit()
                committed = time.monotonic()
        self.store.commit()

    def _results(self, batches: Iterator[_Prepared], bar: Bar | None) -> Iterator[tuple[_Prepared, np.ndarray]]:
        """The engine is opened with the first real examples in hand, to be checked against Keras on them."""
        filled = _with_inputs(batches, bar)
        first = next(filled, None)
        if first is None:
            return
        if self._engine is None:
            if self.base.modality.has_pixels:
                check_pixels(first.inputs)
            if self.on_gpu:
                logger.info(f"running {self.base.handle} with Keras on the GPU, in {self.stats.precision}")
            probe = first.inputs[:_PROBE_EXAMPLES]
            self._engine = open_engine(
                self.base, self.cache, probe, engine=self.engine_name, precision=self.stats.precision
            )
        yield from self._engine.stream((prepared, prepared.inputs) for prepared in chain([first], filled))

    def _prepared(self, indices: list[int]) -> Iterator[_Prepared]:
        """Batches decoded by a few threads, in order, a bounded number ahead of the engine."""
        size = batch_size(self.base, by_keras=self.stats.by_keras)
        # Texts of similar length in one batch need little padding; files keep their order.
        indices = sorted(indices, key=lambda i: self.examples[i].length)
        return map_ahead(self._prepare, (indices[i : i + size] for i in range(0, len(indices), size)))

    def _prepare(self, indices: list[int]) -> _Prepared:
        contents = [content for i in indices if (content := self._read(i))]
        claimed = self.store.claim([content.digest for content in contents])
        arrays: dict[Digest, np.ndarray] = {}
        entries, image_infos = [], []
        for content in contents:
            example, problem = self.examples[content.index], None
            try:
                if content.digest in claimed and content.digest not in arrays:
                    arrays[content.digest] = self.reader.decode(content.data, example.suffix)
                    if self.known_images:
                        image_infos.append((content.digest, inspect_image(content.data, arrays[content.digest])))
                else:  # these bytes are known, but under this name they may be mislabelled
                    self.reader.check(content.data, example.suffix)
            except BadExample as exc:
                problem = str(exc)
            file = KnownFile(content.digest, problem)
            if content.version:
                entries.append((content.version, file))
            self._learn(content.index, file)
        self.store.release(list(claimed - set(arrays)))
        self.files.remember(entries)
        if self.known_images and image_infos:
            self.known_images.remember(image_infos)
        inputs = self.reader.batch(list(arrays.values())) if arrays else np.empty(0)
        return _Prepared(list(arrays), inputs, len(indices))

    def _read(self, i: int) -> _Content | None:
        version = FileVersion.of(self.examples[i])
        try:
            data = self.examples[i].read()
        except BadExample as exc:
            self.problems[i] = str(exc)
            return None
        return _Content(i, version, hashlib.sha256(data).digest(), data)


def _with_inputs(batches: Iterator[_Prepared], bar: Bar | None) -> Iterator[_Prepared]:
    for prepared in batches:
        if len(prepared.inputs):
            yield prepared
        elif bar:
            bar.advance(prepared.examined)
