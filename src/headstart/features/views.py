"""Views: what the frozen part of a base gives for K versions of every example, augmented and as it is, on disk.

Training the rest of the base then needs neither the frozen part nor the examples themselves. Everything is computed in
one pass, chunk by chunk; a chunk's augmentation depends on its number alone, and what is done is recorded after its
values are on disk, so that a killed pass goes on where it was and ends with the same values.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.config import Augmentation
from headstart.data.parallel import map_ahead
from headstart.data.readers import Example, Reader, decoded
from headstart.features.augmentation import augment
from headstart.features.engines import Engine
from headstart.system import console

CHUNK = 16  # examples decoded and augmented together
_COMMIT_INTERVAL_S = 2.0


@dataclass(frozen=True)
class Plan:
    """Which views of which examples.

    Attributes:
        train: examples that are augmented, if they are pictures.
        val: examples that are not.
        pipelines: the augmentation of each of the K versions of a training example; an empty one leaves it as it is.
        seed: of it.
    """

    train: Sequence[Example]
    val: Sequence[Example]
    pipelines: list[Augmentation]
    seed: int

    @property
    def rows(self) -> int:
        """How many arrays there will be in all."""
        return len(self.train) * len(self.pipelines) + len(self.val)


class Views:
    """The views of a plan, memory-mapped.

    Args:
        rows: (n, h, w, c), (n, t, d), zero beyond the end of a text, or (n, d): of each training example all of its
            versions, then validation.
        plan: what they are of.
    """

    def __init__(self, rows: np.ndarray, plan: Plan) -> None:
        self._rows, self._plan = rows, plan

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one."""
        return self._rows.shape[1:]

    def train(self, examples: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Arrays of training examples, one view of each, by the number of its pipeline."""
        return self._rows[examples * len(self._plan.pipelines) + views]

    def val(self, examples: np.ndarray) -> np.ndarray:
        """Arrays of validation examples."""
        return self._rows[len(self._plan.train) * len(self._plan.pipelines) + examples]


def compute_views(
    plan: Plan,
    reader: Reader,
    engine: Engine | None,
    shape: Sequence[int],
    folder: Path,
    deadline: float = float("inf"),
    label: str = "frozen part",
) -> Views:
    """Compute the views of a plan, or what is still missing of them. In a Keras process.

    Args:
        plan: what to compute; the folder belongs to this plan alone.
        reader: for the examples, all of which can be used.
        engine: runs the frozen part; None keeps what the reader gives: pixels or token ids.
        shape: of what comes out for one example.
        folder: for ``views.npy`` and the record of what is done.
        deadline: on the monotonic clock.
        label: of the progress bar.

    Returns:
        float16 views; float32 where float16 cannot hold the values; uint8 pixels, int32 ids.

    Raises:
        TimeoutError: the deadline is past; what is computed so far stays for the next time.
    """
    if engine is None:
        dtype = np.uint8 if len(shape) == 3 else np.int32
        return _Pass(plan, reader, None, shape, folder, dtype).run(deadline, label)
    try:
        return _Pass(plan, reader, engine, shape, folder, np.float16).run(deadline, label)
    except OverflowError:
        return _Pass(plan, reader, engine, shape, folder, np.float32).run(deadline, label)


class _Pass:
    def __init__(
        self, plan: Plan, reader: Reader, engine: Engine | None, shape: Sequence[int], folder: Path, dtype: type
    ) -> None:
        self.plan, self.reader, self.engine = plan, reader, engine
        folder.mkdir(parents=True, exist_ok=True)
        values, self._record = folder / f"views-{np.dtype(dtype)}.npy", folder / f"views-{np.dtype(dtype)}-done.npy"
        self.chunks = [*_chunks(plan.train, 0), *_chunks(plan.val, len(plan.train))]
        if self._record.exists():
            self.done = np.load(self._record)
            self.values = np.load(values, mmap_mode="r+")
        else:
            self.done = np.zeros(len(self.chunks), bool)
            self.values = np.lib.format.open_memmap(values, mode="w+", dtype=dtype, shape=(plan.rows, *shape))

    def run(self, deadline: float, label: str) -> Views:
        missing = np.flatnonzero(~self.done).tolist()
        saved = time.monotonic()
        with console.progress(label, total=sum(len(self._rows(i)) for i in missing), unit="views") as bar:
            for number, values in self._results(missing) if missing else ():
                self._write(number, values)
                bar.advance(len(values))
                if time.monotonic() - saved > _COMMIT_INTERVAL_S:
                    self._commit()
                    saved = time.monotonic()
                if time.monotonic() > deadline:
                    self._commit()
                    raise TimeoutError
        if missing:
            self._commit()
        return Views(self.values, self.plan)

    def _results(self, missing: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        batches = map_ahead(lambda number: (number, self._inputs(number)), missing)
        return self.engine.stream(batches) if self.engine else iter(batches)

    def _rows(self, number: int) -> np.ndarray:
        """Rows of a chunk."""
        chunk, n, each = self.chunks[number], len(self.plan.train), len(self.plan.pipelines)
        if chunk[0] >= n:
            return n * (each - 1) + chunk
        return (chunk[:, np.newaxis] * each + np.arange(each)).ravel()

    def _inputs(self, number: int) -> np.ndarray:
        chunk, n = self.chunks[number].tolist(), len(self.plan.train)
        is_val = chunk[0] >= n
        pixels = decoded(self.reader, [self.plan.val[i - n] if is_val else self.plan.train[i] for i in chunk])
        if is_val or self.plan.pipelines == [[]]:
            return pixels
        versions = [
            augment(pixels, pipeline, (self.plan.seed, number, view)) if pipeline else pixels
            for view, pipeline in enumerate(self.plan.pipelines)
        ]
        return np.stack(versions, axis=1).reshape(-1, *pixels.shape[1:])

    def _write(self, number: int, values: np.ndarray) -> None:
        rows = self._rows(number)
        with np.errstate(over="ignore"):
            narrow = values.astype(self.values.dtype)
        if values.shape[1:] == self.values.shape[1:]:
            self.values[rows] = narrow
        else:  # texts, padded to the longest of this chunk only
            self.values[rows, : values.shape[1]] = narrow
        if self.values.dtype == np.float16 and not np.isfinite(narrow).all():
            raise OverflowError("the values are beyond what float16 holds")
        self.done[number] = True

    def _commit(self) -> None:
        self.values.flush()
        partial = self._record.with_suffix(".partial.npy")
        np.save(partial, self.done)
        os.replace(partial, self._record)


def _chunks(examples: Sequence[Example], first: int) -> list[np.ndarray]:
    """Numbers of the examples of each chunk; texts of one length come together, as they then need little padding."""
    order = np.arange(len(examples))
    if examples and isinstance(examples[0], str):
        order = np.argsort([len(str(example)) for example in examples], kind="stable")
    return [first + order[i : i + CHUNK] for i in range(0, len(order), CHUNK)]
