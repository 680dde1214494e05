"""Micro-batching: examples of different requests are computed together, in batches of limited size.

A pool of threads decodes examples. Engine threads, one for each batch that the engine computes at a time, take the
decoded examples in batches. Under load, a batch fills up while others are computed. Without load, a batch waits only
while other examples are being decoded, and at most a few milliseconds. A thread that takes a batch leaves an equal
share of the examples for each idle thread.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from headstart.errors import BadExample
from headstart.runs.predictor import Input, Output, Predictor
from headstart.serving.limits import RefusedError

_MAX_WAIT_S = 0.004

_Decoded = tuple[Input, "asyncio.Future[Output]"]


class Batcher:
    """Computes the examples of different requests with one run. Create and call it in an event loop.

    Args:
        predictor: the run.
        pool: threads that decode.
        max_waiting: maximum number of examples without an answer.
        check: checks the content of an example before it is decoded; raises BadExample.
        on_batch: called with the size of every computed batch.

    Attributes:
        waiting: number of examples without an answer.
    """

    def __init__(
        self,
        predictor: Predictor,
        pool: Executor,
        *,
        max_waiting: int,
        check: Callable[[bytes], None],
        on_batch: Callable[[int], None],
    ) -> None:
        self._predictor, self._pool, self._max_waiting = predictor, pool, max_waiting
        self._check, self._on_batch = check, on_batch
        self._loop = asyncio.get_running_loop()
        self.waiting = 0
        self._nothing_waiting = asyncio.Event()
        self._nothing_waiting.set()
        self._changed = threading.Condition()  # guards the fields below
        self._decoding = 0
        self._decoded: deque[_Decoded] = deque()
        self._idle_threads = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._compute_batches, name=f"headstart-engine-{n}", daemon=True)
            for n in range(predictor.at_once)
        ]
        for thread in self._threads:
            thread.start()

    async def outputs(self, contents: Sequence[bytes]) -> list[Output | str]:
        """Outputs for the contents of files or texts, in their order; a string is the reason for a missing output.

        Raises:
            RefusedError: too many examples are waiting.
        """
        if self.waiting + len(contents) > self._max_waiting:
            raise RefusedError(503, f"{self.waiting} examples are waiting already: try again in a moment.")
        self.waiting += len(contents)
        self._nothing_waiting.clear()
        try:
            return await asyncio.gather(*map(self._output, contents))
        finally:
            self.waiting -= len(contents)
            if not self.waiting:
                self._nothing_waiting.set()

    async def close(self) -> None:
        """Answer the waiting examples, then stop the threads."""
        await self._nothing_waiting.wait()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _output(self, content: bytes) -> Output | str:
        answer: asyncio.Future[Output] = self._loop.create_future()
        with self._changed:
            self._decoding += 1
        item = None
        try:
            item = await self._loop.run_in_executor(self._pool, self._decode, content)
        except BadExample as exc:
            return str(exc)
        finally:
            with self._changed:
                self._decoding -= 1
                if item is not None:
                    self._decoded.append((item, answer))
                self._changed.notify_all()
        return await answer

    def _decode(self, content: bytes) -> Input:
        self._check(content)
        return self._predictor.read(content)

    def _compute_batches(self) -> None:
        """Compute batches until :meth:`close`; runs in each engine thread."""
        while batch := self._next_batch():
            inputs, answers = zip(*batch, strict=True)
            try:
                outputs = self._predictor.compute(inputs)
            except Exception as exc:  # noqa: BLE001 - raised in the requests that wait for it
                self._loop.call_soon_threadsafe(_fail, answers, exc)
                continue
            self._on_batch(len(batch))
            self._loop.call_soon_threadsafe(_deliver, answers, outputs)

    def _next_batch(self) -> list[_Decoded]:
        """Wait for a batch; empty after :meth:`close`."""
        with self._changed:
            self._idle_threads += 1
            try:
                while not self._closed:
                    self._changed.wait_for(lambda: self._decoded or self._closed)
                    self._changed.wait_for(lambda: self._is_full() or not self._decoding, _MAX_WAIT_S)
                    while self._decoded and self._decoded[0][1].cancelled():  # its request has timed out
                        self._decoded.popleft()
                    if self._decoded:
                        return [self._decoded.popleft() for _ in range(power_of_two(self._share()))]
            finally:
                self._idle_threads -= 1
        return []

    def _is_full(self) -> bool:
        return self._share() >= self._predictor.batch_size

    def _share(self) -> int:
        """Number of decoded examples for one of the idle threads."""
        return min(-(-len(self._decoded) // self._idle_threads), self._predictor.batch_size)


def power_of_two(limit: int) -> int:
    """The largest power of two up to a limit. Engines prepare for each batch size, so few sizes are used."""
    return 1 << (limit.bit_length() - 1)


def _deliver(answers: Sequence["asyncio.Future[Output]"], outputs: Sequence[Output]) -> None:
    for answer, output in zip(answers, outputs, strict=True):
        if not answer.done():
            answer.set_result(output)


def _fail(answers: Sequence["asyncio.Future[Output]"], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
