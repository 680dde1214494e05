"""Micro-batching: examples of many requests are computed together, a bounded number of them at a time.

Examples are decoded by a pool of threads. What is decoded is taken in batches by other threads, as many as the engine
computes batches side by side. Under load a batch fills while others are computed. Without load nobody waits for
company that does not come: a batch is held back only while other examples are being decoded, and a few milliseconds at
most. Whoever takes one leaves the threads that have nothing to do their share.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from headstart.errors import BadExample
from headstart.runs.predictor import Output, Predictor
from headstart.serving.limits import RefusedError

_HOLD_BACK_S = 0.004

_Waiting = tuple[np.ndarray, "asyncio.Future[Output]"]


class Batcher:
    """Computes the examples of many requests with one opened run. To be made and called in an event loop.

    Args:
        predictor: the run.
        pool: decodes.
        room: how many examples may be waiting for their answer.
        check: looks at the content of an example before it is decoded; raises BadExample.
        computed: is told the size of every batch.

    Attributes:
        waiting: how many examples are.
    """

    def __init__(
        self,
        predictor: Predictor,
        pool: Executor,
        *,
        room: int,
        check: Callable[[bytes], None],
        computed: Callable[[int], None],
    ) -> None:
        self._predictor, self._pool, self._room, self._check, self._computed = predictor, pool, room, check, computed
        self._loop = asyncio.get_running_loop()
        self.waiting = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._changed = threading.Condition()  # guards what follows
        self._decoding = 0
        self._decoded: deque[_Waiting] = deque()
        self._free = 0  # threads that have nothing to compute
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"headstart-engine-{n}", daemon=True)
            for n in range(predictor.at_once)
        ]
        for thread in self._threads:
            thread.start()

    async def outputs(self, contents: Sequence[bytes]) -> list[Output | str]:
        """What the run makes of the contents of some files or texts: an output of each, or why there is none.

        Raises:
            RefusedError: there is no room for them now.
        """
        if self.waiting + len(contents) > self._room:
            raise RefusedError(503, f"{self.waiting} others are waiting for an answer: ask again in a moment.")
        self.waiting += len(contents)
        self._idle.clear()
        try:
            return await asyncio.gather(*map(self._output, contents))
        finally:
            self.waiting -= len(contents)
            if not self.waiting:
                self._idle.set()

    async def close(self) -> None:
        """Answer what is waiting, then end."""
        await self._idle.wait()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _output(self, content: bytes) -> Output | str:
        answer: asyncio.Future[Output] = self._loop.create_future()
        with self._changed:
            self._decoding += 1
        array = None
        try:
            array = await self._loop.run_in_executor(self._pool, self._decode, content)
        except BadExample as exc:
            return str(exc)
        finally:
            with self._changed:
                self._decoding -= 1
                if array is not None:
                    self._decoded.append((array, answer))
                self._changed.notify_all()
        return await answer

    def _decode(self, content: bytes) -> np.ndarray:
        self._check(content)
        return self._predictor.reader.decode(content)

    def _work(self) -> None:
        """Compute batches until the end; what each of the threads does."""
        while batch := self._next_batch():
            arrays, answers = zip(*batch, strict=True)
            try:
                outputs = self._predictor.compute(self._predictor.reader.batch(arrays))
            except Exception as exc:  # noqa: BLE001 - goes to those who wait for it
                self._loop.call_soon_threadsafe(_fail, answers, exc)
                continue
            self._computed(len(batch))
            self._loop.call_soon_threadsafe(_deliver, answers, outputs)

    def _next_batch(self) -> list[_Waiting]:
        """Wait for a batch; empty at the end."""
        with self._changed:
            self._free += 1
            try:
                while not self._closed:
                    self._changed.wait_for(lambda: self._decoded or self._closed)
                    self._changed.wait_for(lambda: self._is_full() or not self._decoding, _HOLD_BACK_S)
                    while self._decoded and self._decoded[0][1].cancelled():  # the client's time is over
                        self._decoded.popleft()
                    if self._decoded:
                        return [self._decoded.popleft() for _ in range(power_of_two(self._share()))]
            finally:
                self._free -= 1
        return []

    def _is_full(self) -> bool:
        return self._share() >= self._predictor.batch_size

    def _share(self) -> int:
        """How many of the decoded examples are for one of the free threads."""
        return min(-(-len(self._decoded) // self._free), self._predictor.batch_size)


def power_of_two(most: int) -> int:
    """The largest power of two up to this: an engine gets ready for every size of batch, so there should be few."""
    return 1 << (most.bit_length() - 1)


def _deliver(answers: Sequence["asyncio.Future[Output]"], outputs: Sequence[Output]) -> None:
    for answer, output in zip(answers, outputs, strict=True):
        if not answer.done():
            answer.set_result(output)


def _fail(answers: Sequence["asyncio.Future[Output]"], reason: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(reason)
