"""Micro-batching: examples of many requests are computed together, a bounded number of them at a time.

Examples are decoded by a pool of threads. One thread takes what is decoded, in batches, and computes each on all cores.
Under load a batch fills while the one before is computed. Without load nobody waits for company that does not come: a
batch is held back only while other examples are being decoded, and a few milliseconds at most.

Only one batch is computed at a time in the whole process. On batches OpenVINO's requests are not faster side by side,
and requests of different shapes side by side end, now and then, in a crash of its CPU plugin (its issues 20633, 23376).
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from headstart.errors import BadExample
from headstart.predict import Output, Predictor
from headstart.serving.limits import RefusedError

_HOLD_BACK_S = 0.004

computing = threading.Lock()
"""Whoever lets an engine compute in a server holds this."""

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
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="headstart-engine", daemon=True)
        self._thread.start()

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
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

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
                self._changed.notify()
        return await answer

    def _decode(self, content: bytes) -> np.ndarray:
        self._check(content)
        return self._predictor.reader.decode(content)

    def _work(self) -> None:
        """Compute batches until the end, in a thread of its own."""
        while batch := self._next_batch():
            arrays, answers = zip(*batch, strict=True)
            try:
                with computing:
                    outputs = self._predictor.compute(self._predictor.reader.batch(arrays))
            except Exception as exc:  # noqa: BLE001 - goes to those who wait for it
                self._loop.call_soon_threadsafe(_fail, answers, exc)
                continue
            self._computed(len(batch))
            self._loop.call_soon_threadsafe(_deliver, answers, outputs)

    def _next_batch(self) -> list[_Waiting]:
        """Wait for a batch; empty at the end."""
        most = self._predictor.batch_size
        with self._changed:
            while not self._closed:
                self._changed.wait_for(lambda: self._decoded or self._closed)
                self._changed.wait_for(lambda: len(self._decoded) >= most or not self._decoding, _HOLD_BACK_S)
                while self._decoded and self._decoded[0][1].cancelled():  # the client's time is over
                    self._decoded.popleft()
                if self._decoded:
                    return [self._decoded.popleft() for _ in range(power_of_two(min(len(self._decoded), most)))]
        return []


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
