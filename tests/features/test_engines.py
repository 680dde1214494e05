"""Engines, asked by several threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import headstart as hs
from headstart.runs.predictor import Predictor


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
def test_threads_get_their_own_answers(run: hs.Run, at_once: int) -> None:
    predictor = Predictor(run.folder, at_once=at_once)
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (size, *predictor.samples.shape[1:]), np.uint8) for size in (1, 2, 5, 3) * 4]
    expected = [predictor.values(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(predictor.values, batches))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
