"""The runs of a server, by name. A run is replaced by its new version while requests go on."""

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

# Batches at a time, each on its share of the cores. The threads of one batch wait for each other after every layer: if
# one shares its core with decoding or HTTP, the others idle. On two busy cores, two batches need 10 % less processor
# time. With more batches, a single request would be slow on a machine with many cores.
_BATCHES_AT_A_TIME = 2
_CHECK_INTERVAL_S = 2.0
_FILES = ("run.json", "*.npz", "engine/*", "tokenizer/*")  # the files that a predictor reads

Stamp = tuple[tuple[str, int, int, int], ...]
"""Identifies a version of a run: path, inode, size and time of change of each file."""


def named_folders(arguments: Sequence[str]) -> dict[str, Path]:
    """Name -> run folder, from arguments such as ``FOLDER`` and ``NAME=FOLDER``.

    Raises:
        InputError: two runs have the same name, or a folder is not a run.
    """
    folders: dict[str, Path] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        folder = Path(path if equals else argument)
        name = name if equals else folder.absolute().name
        if name in folders:
            raise InputError(
                f"two runs have the name {name!r}: give one of them another name, for example other={folder}."
            )
        if not name or "/" in name:
            raise InputError(f"{argument!r}: expected a run, or NAME=RUN with a name that can be part of an address.")
        read_facts(folder)
        folders[name] = folder
    return folders


def open_run(folder: Path) -> tuple[Predictor, Stamp]:
    """Open a run for serving, and prepare its engine for each batch size.

    Raises:
        InputError: it is not a run.
        IntegrityError: it is damaged, or its predictions differ from those of its training.
    """
    stamp = _stamp(folder)
    has_threshold = bool(read_facts(folder).min_confidence)
    predictor = Predictor(folder, at_once=_BATCHES_AT_A_TIME, min_confidence="auto" if has_threshold else 0.0)
    size = power_of_two(predictor.batch_size)
    with ThreadPoolExecutor(predictor.at_once) as executor:
        while size:
            batch = np.resize(predictor.samples, (size, *predictor.samples.shape[1:]))
            list(executor.map(predictor.values, [batch] * predictor.at_once))
            size //= 2
    return predictor, stamp


class ServedRun:
    """One run of the server, in its current version.

    Attributes:
        name: its name in addresses.
        folder: folder of its newest version.
        predictor: the opened run.
    """

    def __init__(self, name: str, opened: tuple[Predictor, Stamp], runs: "Runs") -> None:
        self.name, self._runs = name, runs
        self.predictor, self._stamp = opened
        self.folder = self.predictor.folder
        self._last_stamp = self._stamp
        self._batcher = self._new_batcher()

    @property
    def waiting(self) -> int:
        """Number of examples without an answer."""
        return self._batcher.waiting

    async def answers(
        self, names: Sequence[str], contents: Sequence[bytes], top_k: int | None, min_score: float | None
    ) -> list[Answer]:
        """Predictions for the contents of files or texts, in their order.

        Raises:
            RefusedError: too many examples are waiting, or the time limit is over; or a parameter is not for this run.
        """
        limits = self._runs.limits
        try:
            predictor = self.predictor.at_min_score(min_score)
            predictor.check_top_k(top_k)
        except InputError as exc:
            raise RefusedError(422, str(exc)) from exc
        try:
            async with asyncio.timeout(limits.timeout_s):
                outputs = await self._batcher.outputs(contents)
        except TimeoutError as exc:
            raise RefusedError(504, f"no answer within {limits.timeout_s:g} seconds.") from exc
        answers: list[Answer] = [
            Problem(name, output) if isinstance(output, str) else predictor.answer(name, output, top_k)
            for name, output in zip(names, outputs, strict=True)
        ]
        self._runs.metrics.count_answers(self.name, answers)
        return answers

    async def reload(self, *, is_complete: bool) -> None:
        """Open the run again if its files have changed. Requests that have started are answered by the old version.

        Args:
            is_complete: whether its files are known to be complete; otherwise they must be unchanged since the last
                check.
        """
        previous, self._last_stamp = self._last_stamp, _stamp(self.folder)
        if self._last_stamp in (self._stamp, ()) or not (is_complete or self._last_stamp == previous):
            return
        self._stamp = self._last_stamp  # a version that fails is not tried again
        try:
            self.predictor, self._stamp = await asyncio.to_thread(open_run, self.folder)
        except Exception as exc:  # noqa: BLE001 - the old version stays after any error
            self._runs.metrics.reloads.labels(self.name, "failed").inc()
            logger.warning(f"{self.name}: the new version cannot be opened, the old one stays: {exc}")
            return
        old, self._batcher = self._batcher, self._new_batcher()
        self._runs.metrics.reloads.labels(self.name, "done").inc()
        logger.info(f"{self.name}: the version of {self.predictor.facts.created} is in use now")
        await old.close()

    async def close(self) -> None:
        """Answer the waiting examples, then stop."""
        await self._batcher.close()

    def _new_batcher(self) -> Batcher:
        limits, metrics = self._runs.limits, self._runs.metrics
        metrics.waiting.labels(self.name).set_function(lambda: self.waiting)
        return Batcher(
            self.predictor,
            self._runs.pool,
            max_waiting=limits.queue,
            check=partial(limits.check, modality=self.predictor.modality),
            on_batch=metrics.batch.labels(self.name).observe,
        )


class Runs:
    """All runs of a server. Create it in the event loop of the server.

    Args:
        opened: name -> result of :func:`open_run`.
        limits: limits of requests.
        metrics: metrics of the server.
    """

    def __init__(self, opened: Mapping[str, tuple[Predictor, Stamp]], limits: Limits, metrics: Metrics) -> None:
        self.limits, self.metrics = limits, metrics
        self.pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="headstart-decode")
        self._check_now = asyncio.Event()
        self._served = {name: ServedRun(name, opened_run, self) for name, opened_run in opened.items()}

    def __iter__(self) -> Iterator[ServedRun]:
        return iter(self._served.values())

    def find(self, name: str | None) -> ServedRun:
        """The run of this name; None means the only run.

        Raises:
            RefusedError: there is no such run, or the name is None and there are several runs.
        """
        if name is None and len(self._served) == 1:
            return next(iter(self))
        if name is None:
            raise RefusedError(
                422, f"this server has several runs: use /predict/NAME, where NAME is {' or '.join(self._served)}."
            )
        if name not in self._served:
            raise RefusedError(
                404, f"there is no run {name!r}.{did_you_mean(name, self._served)} GET /runs lists them."
            )
        return self._served[name]

    def check_now(self) -> None:
        """Check for new versions now. Their files must be complete."""
        self._check_now.set()

    async def watch(self) -> None:
        """Check for new versions every few seconds, without end."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._check_now.wait(), _CHECK_INTERVAL_S)
            is_complete = self._check_now.is_set()
            self._check_now.clear()
            for served in self:
                await served.reload(is_complete=is_complete)

    async def close(self) -> None:
        """Answer the waiting examples, then stop."""
        for served in self:
            await served.close()
        self.pool.shutdown()


def _stamp(folder: Path) -> Stamp:
    try:
        stats = [(path, path.stat()) for pattern in _FILES for path in sorted(folder.glob(pattern))]
    except OSError:  # the folder is being replaced at this moment
        return ()
    return tuple((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
