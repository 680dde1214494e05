"""The runs that a server answers with, each by its name. A new version takes the place of an old one while it works."""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from headstart.errors import InputError, did_you_mean
from headstart.runs.files import read_facts
from headstart.runs.predictor import Answer, Predictor, Problem
from headstart.serving.batching import Batcher, power_of_two
from headstart.serving.limits import Limits, RefusedError
from headstart.serving.metrics import Metrics

logger = logging.getLogger(__name__)

# Batches side by side, each on its share of the cores. The threads of one batch wait for each other after every layer:
# where one has to share its core with decoding or HTTP, the others idle. On two busy cores two batches cost 10 % less
# processor time. With more, a single request would be slow on a machine with many cores.
_AT_ONCE = 2
_LOOK_S = 2.0
_FILES = ("run.json", "*.npz", "engine/*", "tokenizer/*")  # that a predictor reads

Stamp = tuple[tuple[str, int, int, int], ...]
"""Which files a version was opened from: path, inode, size and time of change of each."""


def named_folders(given: Sequence[str]) -> dict[str, Path]:
    """Name -> folder of what the command line calls ``FOLDER`` or ``NAME=FOLDER``.

    Raises:
        InputError: two have the same name, or one is not a run.
    """
    folders: dict[str, Path] = {}
    for one in given:
        name, equals, path = one.partition("=")
        folder = Path(path if equals else one)
        name = name if equals else folder.absolute().name
        if name in folders:
            raise InputError(f"two runs are called {name!r}: give one another name, as in other={folder}.")
        if not name or "/" in name:
            raise InputError(f"{one!r}: expected a run, or NAME=RUN with a name that can be part of an address.")
        read_facts(folder)
        folders[name] = folder
    return folders


def open_run(folder: Path) -> tuple[Predictor, Stamp]:
    """Open a run for serving, ready for batches of every size.

    Raises:
        InputError: it is not a run.
        IntegrityError: it is damaged, or computes something else than when it was made.
    """
    stamp = _stamp(folder)
    has_threshold = bool(read_facts(folder).min_confidence)
    predictor = Predictor(folder, at_once=_AT_ONCE, min_confidence="auto" if has_threshold else 0.0)
    size = power_of_two(predictor.batch_size)
    with ThreadPoolExecutor(predictor.at_once) as side_by_side:
        while size:
            batch = np.resize(predictor.samples, (size, *predictor.samples.shape[1:]))
            list(side_by_side.map(predictor.compute, [batch] * predictor.at_once))
            size //= 2
    return predictor, stamp


class Served:
    """One run, in the version that answers now.

    Attributes:
        name: what clients call it.
        folder: where its newest version is.
        predictor: answers.
    """

    def __init__(self, name: str, opened: tuple[Predictor, Stamp], runs: "Runs") -> None:
        self.name, self._runs = name, runs
        self.predictor, self._stamp = opened
        self.folder = self.predictor.folder
        self._seen = self._stamp
        self._batcher = self._batch()

    @property
    def waiting(self) -> int:
        """How many examples wait for their answer."""
        return self._batcher.waiting

    async def answers(self, names: Sequence[str], contents: Sequence[bytes], top_k: int | None) -> list[Answer]:
        """Answers about the contents of some files or texts, in their order.

        Raises:
            RefusedError: there is no room for them, or no time.
        """
        predictor, limits = self.predictor, self._runs.limits
        try:
            async with asyncio.timeout(limits.timeout_s):
                outputs = await self._batcher.outputs(contents)
        except TimeoutError as exc:
            raise RefusedError(504, f"no answer within {limits.timeout_s:g} seconds.") from exc
        answers: list[Answer] = [
            Problem(name, output) if isinstance(output, str) else predictor.prediction(name, output, top_k)
            for name, output in zip(names, outputs, strict=True)
        ]
        self._runs.metrics.count_answers(self.name, answers)
        return answers

    async def renew(self, *, told: bool) -> None:
        """Open the run anew if its files have changed; what is being computed is finished first.

        Args:
            told: that its files are complete; otherwise they have to have been the same at the last look.
        """
        seen, self._seen = self._seen, _stamp(self.folder)
        if self._seen in (self._stamp, ()) or not (told or self._seen == seen):
            return
        self._stamp = self._seen  # tried once, whatever comes of it
        try:
            self.predictor, self._stamp = await asyncio.to_thread(open_run, self.folder)
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with it, the old one stays
            self._runs.metrics.reloads.labels(self.name, "failed").inc()
            logger.warning(f"{self.name}: the new version cannot be opened, so the old one stays: {exc}")
            return
        old, self._batcher = self._batcher, self._batch()
        self._runs.metrics.reloads.labels(self.name, "done").inc()
        logger.info(f"{self.name}: the version of {self.predictor.facts.created} answers now")
        await old.close()

    async def close(self) -> None:
        """Answer what is waiting, then end."""
        await self._batcher.close()

    def _batch(self) -> Batcher:
        limits, metrics = self._runs.limits, self._runs.metrics
        metrics.waiting.labels(self.name).set_function(lambda: self.waiting)
        return Batcher(
            self.predictor,
            self._runs.pool,
            room=limits.queue,
            check=partial(limits.check, modality=self.predictor.modality),
            computed=metrics.batch.labels(self.name).observe,
        )


class Runs:
    """All runs of a server. To be made in its event loop.

    Args:
        opened: name -> what :func:`open_run` gives.
        limits: of the server.
        metrics: where to count.
    """

    def __init__(self, opened: Mapping[str, tuple[Predictor, Stamp]], limits: Limits, metrics: Metrics) -> None:
        self.limits, self.metrics = limits, metrics
        self.pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="headstart-decode")
        self._look = asyncio.Event()
        self._served = {name: Served(name, one, self) for name, one in opened.items()}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def named(self, name: str | None) -> Served:
        """The run of this name; without a name the only one.

        Raises:
            RefusedError: there is none, or more than one.
        """
        if name is None and len(self._served) == 1:
            return next(iter(self))
        if name is None:
            raise RefusedError(
                422, f"several runs are served: use /predict/NAME, NAME being {' or '.join(self._served)}."
            )
        if name not in self._served:
            raise RefusedError(
                404, f"there is no run {name!r}.{did_you_mean(name, self._served)} GET /runs lists them."
            )
        return self._served[name]

    def look(self) -> None:
        """Look for new versions now; whoever says so has finished writing them."""
        self._look.set()

    async def watch(self) -> None:
        """Look for new versions every few seconds, for ever."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), _LOOK_S)
            told = self._look.is_set()
            self._look.clear()
            for served in self:
                await served.renew(told=told)

    async def close(self) -> None:
        """Answer what is waiting, then end."""
        for served in self:
            await served.close()
        self.pool.shutdown()


def _stamp(folder: Path) -> Stamp:
    try:
        found = [(path, path.stat()) for pattern in _FILES for path in sorted(folder.glob(pattern))]
    except OSError:  # it is being replaced right now
        return ()
    return tuple((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in found)
