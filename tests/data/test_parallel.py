import threading
import time

import pytest

from headstart.data.parallel import map_ahead


def test_results_come_in_order() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0)
        return i * i

    assert list(map_ahead(slow_first, range(50))) == [i * i for i in range(50)]


def test_it_stays_a_bounded_number_ahead() -> None:
    started: list[int] = []
    results = map_ahead(lambda i: started.append(i) or i, range(10_000))
    assert next(results) == 0
    time.sleep(0.05)
    assert len(started) < 200
    results.close()


def test_a_failure_reaches_the_reader_and_ends_the_work() -> None:
    started: list[int] = []

    def work(i: int) -> int:
        started.append(i)
        if i == 3:
            raise ZeroDivisionError("three")
        return i

    with pytest.raises(ZeroDivisionError, match="three"):
        list(map_ahead(work, range(10_000)))
    assert len(started) < 200


def test_it_leaves_no_threads_behind() -> None:
    before = threading.active_count()
    results = map_ahead(str, range(100))
    next(results)
    results.close()
    assert threading.active_count() == before
