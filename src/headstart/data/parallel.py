"""An ordered map on threads that stays a bounded number of results ahead of its reader."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_pool() -> ThreadPoolExecutor:
    """Threads for :func:`map_ahead`, one per core."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="headstart")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], pool: ThreadPoolExecutor | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` in order, computed by one thread per core, a few results ahead of the reader.

    Args:
        function: called in the threads.
        items: what it is called with.
        pool: the threads; new ones when None, which takes longer than a task of a millisecond.
    """
    with nullcontext(pool) if pool else thread_pool() as threads:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(function, item))
                if len(waiting) > (os.cpu_count() or 1) + 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # the reader has gone, or a task failed: do not start what nobody will read
                future.cancel()
