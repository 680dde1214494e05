"""Views: what the frozen part of a base gives for K versions of every example, augmented and as it is, on disk.

Training the rest of the base then needs neither the frozen part nor the examples themselves. Everything is computed in
one pass, chunk by chunk. The augmentation of a chunk depends on its number alone, and a chunk counts as done after its
values are on disk: a pass that was killed continues where it was and ends with the same values.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart.config import Augmentation
from headstart.data.examples import Example, example_from_json
from headstart.data.parallel import map_ahead
from headstart.data.readers import Reader, decode_examples
from headstart.features.augmentation import augment
from headstart.features.engines import Engine
from headstart.features.store import ArrayStore, Digest, Key, StoredArrays
from headstart.system.progress import NO_PROGRESS, Bar, Progress

CHUNK = 16  # examples decoded and augmented together
_COMMIT_INTERVAL_S = 2.0
_COMPACT, _WIDE = np.dtype(np.float16), np.dtype(np.float32)


@dataclass(frozen=True)
class Plan:
    """Which views of which examples.

    Attributes:
        train: examples that are augmented, if they are images.
        train_digests: content digest of each; examples with the same content share their views.
        val: examples that are not augmented.
        val_digests: content digest of each.
        pipelines: the augmentation of each of the K versions of a training example; an empty one leaves it as it is.
        seed: of the augmentation.
    """

    train: Sequence[Example]
    train_digests: Sequence[Digest]
    val: Sequence[Example]
    val_digests: Sequence[Digest]
    pipelines: list[Augmentation]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "train": [example.to_json() for example in self.train],
            "train_digests": [digest.hex() for digest in self.train_digests],
            "val": [example.to_json() for example in self.val],
            "val_digests": [digest.hex() for digest in self.val_digests],
            "pipelines": self.pipelines,
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Plan":
        """What :meth:`to_json` made."""
        return cls(
            [example_from_json(example) for example in fields["train"]],
            [bytes.fromhex(digest) for digest in fields["train_digests"]],
            [example_from_json(example) for example in fields["val"]],
            [bytes.fromhex(digest) for digest in fields["val_digests"]],
            fields["pipelines"],
            fields["seed"],
        )

    @property
    def train_views(self) -> list[int]:
        """Number of each version in the store: 0 is the example as it is."""
        return [number if pipeline else 0 for number, pipeline in enumerate(self.pipelines, 1)]

    @property
    def keys(self) -> list[Key]:
        """Of each training example all of its versions, then the validation examples."""
        train = [(digest, view) for digest in self.train_digests for view in self.train_views]
        return train + [(digest, 0) for digest in self.val_digests]

    @cached_property
    def chunks(self) -> "list[_Chunk]":
        """The work: every content once."""
        train_digests = set(self.train_digests) if 0 in self.train_views else set()
        new = [i for i, digest in enumerate(self.val_digests) if digest not in train_digests]
        train = _chunks(self.train, self.train_digests, range(len(self.train)), self.pipelines, self.train_views)
        return train + _chunks(self.val, self.val_digests, new, [[]], [0])


@dataclass(frozen=True)
class _Chunk:
    """A few examples with their digests, and the augmentation and number of each of their views."""

    examples: list[Example]
    digests: list[Digest]
    pipelines: list[Augmentation]
    views: list[int]


def _chunks(
    examples: Sequence[Example],
    digests: Sequence[Digest],
    indices: Sequence[int],
    pipelines: list[Augmentation],
    views: list[int],
) -> list[_Chunk]:
    """Chunks of the first example of each content. Texts of similar length come together: they need little padding."""
    first = list({digests[i]: i for i in reversed(indices)}.values())[::-1]
    order = sorted(first, key=lambda i: examples[i].length)
    return [
        _Chunk([examples[i] for i in block], [digests[i] for i in block], pipelines, views)
        for block in (order[start : start + CHUNK] for start in range(0, len(order), CHUNK))
    ]


class Views:
    """The views of a plan, memory-mapped.

    Args:
        arrays: (h, w, c) each, (t, d), zero beyond the end of a text, or (d,), in the order of the plan's keys.
        plan: what they are of.
    """

    def __init__(self, arrays: StoredArrays, plan: Plan) -> None:
        self._arrays, self._plan = arrays, plan

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one view."""
        return self._arrays.shape

    def train(self, examples: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Arrays of training examples, one view of each, by the number of its pipeline."""
        return self._arrays.take(examples * len(self._plan.pipelines) + views)

    def val(self, examples: np.ndarray) -> np.ndarray:
        """Arrays of validation examples."""
        return self._arrays.take(len(self._plan.train) * len(self._plan.pipelines) + examples)


def stored_views(plan: Plan, folder: Path) -> Views | None:
    """The views of a plan if all of them are in ``folder``, where :func:`compute_views` wrote them."""
    for dtype in (_COMPACT, _WIDE):
        if (path := _store_folder(folder, dtype)).is_dir():
            with closing(ArrayStore(path)) as store:
                _remove_damaged(store, plan)
                arrays = store.read(plan.keys)
            if arrays.are_stored.all():
                return Views(arrays, plan)
    return None


def compute_views(
    plan: Plan,
    reader: Reader,
    engine: Engine | None,
    shape: Sequence[int],
    folder: Path,
    deadline: float = float("inf"),
    label: str = "frozen part",
    progress: Progress = NO_PROGRESS,
) -> Views:
    """Compute the views of a plan, or those of them that are missing. In a Keras process.

    Args:
        plan: what to compute; the folder belongs to this plan alone.
        reader: for the examples, all of which can be used.
        engine: runs the frozen part; None keeps what the reader gives: pixels or token ids.
        shape: of what comes out for one example.
        folder: for the values.
        deadline: on the monotonic clock.
        label: of the progress bar.
        progress: follows the work.

    Returns:
        float16 views; float32 where float16 cannot hold the values; uint8 pixels, int32 ids.

    Raises:
        TimeoutError: the deadline is past; what is computed so far stays for the next time.
    """
    if engine is None:
        dtype = np.dtype(np.uint8 if len(shape) == 3 else np.int32)
        return _Pass(plan, reader, None, shape, folder, dtype).run(deadline, label, progress)
    try:
        return _Pass(plan, reader, engine, shape, folder, _COMPACT).run(deadline, label, progress)
    except OverflowError:
        return _Pass(plan, reader, engine, shape, folder, _WIDE).run(deadline, label, progress)


@dataclass(frozen=True)
class _Pass:
    plan: Plan
    reader: Reader
    engine: Engine | None
    shape: Sequence[int]
    folder: Path
    dtype: np.dtype

    def run(self, deadline: float, label: str, progress: Progress) -> Views:
        with closing(ArrayStore(_store_folder(self.folder, self.dtype))) as store:
            _remove_damaged(store, self.plan)
            missing = self._missing(store)
            if missing:
                total = sum(len(chunk.digests) * len(chunk.views) for chunk in map(self._chunk, missing))
                with progress.start(label, total, "views") as bar:
                    self._compute(store, missing, deadline, bar)
            return Views(store.read(self.plan.keys), self.plan)

    def _chunk(self, number: int) -> _Chunk:
        return self.plan.chunks[number]

    def _missing(self, store: ArrayStore) -> list[int]:
        """Numbers of the chunks that are not stored as a whole."""
        stored = {view: store.locate(list({key[0] for key in self.plan.keys}), view) for view in self._views}
        return [
            number
            for number, chunk in enumerate(self.plan.chunks)
            if any(digest not in stored[view] for digest in chunk.digests for view in chunk.views)
        ]

    @property
    def _views(self) -> list[int]:
        return sorted({view for chunk in self.plan.chunks for view in chunk.views})

    def _compute(self, store: ArrayStore, missing: list[int], deadline: float, bar: Bar) -> None:
        committed = time.monotonic()
        for number, values in self._results(missing):
            self._write(store, self._chunk(number), values)
            bar.advance(len(values))
            if time.monotonic() - committed > _COMMIT_INTERVAL_S:
                store.commit()
                committed = time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError
        store.commit()

    def _results(self, missing: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        batches = map_ahead(lambda number: (number, self._inputs(number)), missing)
        return self.engine.stream(batches) if self.engine else iter(batches)

    def _inputs(self, number: int) -> np.ndarray:
        """Of each example of a chunk all of its versions."""
        chunk = self._chunk(number)
        pixels = decode_examples(self.reader, chunk.examples)
        if chunk.pipelines == [[]]:
            return pixels
        versions = [
            augment(pixels, pipeline, (self.plan.seed, number, view)) if pipeline else pixels
            for view, pipeline in enumerate(chunk.pipelines)
        ]
        return np.stack(versions, axis=1).reshape(-1, *pixels.shape[1:])

    def _write(self, store: ArrayStore, chunk: _Chunk, values: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            narrow = values.astype(self.dtype, copy=False)
        if self.dtype == _COMPACT and not np.isfinite(narrow).all():
            raise OverflowError("the values are beyond what float16 holds")
        of_each_view = narrow.reshape(len(chunk.digests), len(chunk.views), *narrow.shape[1:])
        for place, view in enumerate(chunk.views):
            # A text is padded to the longest of its chunk only: what is beyond stays zero.
            store.append(chunk.digests, of_each_view[:, place], view, shape=tuple(self.shape))


def _remove_damaged(store: ArrayStore, plan: Plan) -> None:
    for view in sorted({view for _, view in plan.keys}):
        store.remove_damaged(list({digest for digest, number in plan.keys if number == view}), view)


def _store_folder(folder: Path, dtype: np.dtype) -> Path:
    return folder / f"views-{dtype}"
