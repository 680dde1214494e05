import numpy as np
import pytest

from headstart.evaluation.selective_prediction import (
    choose_min_confidence,
    coverage,
    lower_bound,
    min_examples,
)


@pytest.mark.parametrize(("hits", "n"), [(95, 100), (59, 59), (1, 40), (0, 10), (1998, 2000)])
def test_the_bound_is_that_of_clopper_and_pearson(hits: int, n: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(hits, n, alternative="greater").proportion_ci(0.95, method="exact").low
    assert lower_bound(hits, n, 0.95) == pytest.approx(expected, abs=1e-9)


def test_the_promise_is_kept() -> None:
    rng = np.random.default_rng(0)
    of_all = np.sort(rng.beta(3, 0.4, 100_000))[::-1]  # confidence that is as often right as it says
    broken = found = 0
    for _ in range(200):
        confidence = rng.beta(3, 0.4, 500)
        threshold = choose_min_confidence(confidence, rng.random(500) < confidence, 0.95)
        if threshold is not None:
            found += 1
            broken += of_all[of_all >= threshold].mean() < 0.95
    assert found > 160
    assert broken / found < 0.05


def test_all_answers_count_where_all_are_good_enough_and_none_where_nothing_can_be_proved() -> None:
    confidence = np.linspace(0.5, 1, 400)
    assert choose_min_confidence(confidence, np.ones(400, bool), 0.95) == 0
    few = min_examples(0.95)
    assert choose_min_confidence(confidence[:few], np.ones(few, bool), 0.95) is None
    assert choose_min_confidence(confidence, np.arange(400) % 3 > 0, 0.95) is None


def test_the_threshold_lies_between_two_answers() -> None:
    confidence = np.linspace(0.5, 1, 400)
    threshold = choose_min_confidence(confidence, confidence > 0.75, 0.95)
    assert threshold is not None
    assert 0.72 < threshold < 0.76
    assert threshold not in confidence
    equal = np.repeat([0.9, 0.6], 200)  # of equals, all or none are kept
    assert choose_min_confidence(equal, equal > 0.7, 0.9) == pytest.approx(0.75)


def test_what_is_answered_is_counted() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.55, 0.45]])
    told = coverage(np.array([0, 0, 0, 1]), probabilities, 0.6)
    assert (told.examples, told.answered, told.right) == (4, 3, 2)
    assert told.coverage == 0.75
    assert told.low is not None
    assert told.low < 2 / 3
    assert coverage(np.array([0]), probabilities[:1], 0.95).precision is None
