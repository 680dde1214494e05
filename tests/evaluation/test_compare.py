import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from headstart.evaluation.compare import compare, compare_labels, mcnemar


@pytest.mark.parametrize(
    ("mended", "broken", "p_value"),
    [(0, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (10, 2, 0.03857), (2, 10, 0.03857), (7, 7, 1.0)],
)
def test_mcnemar_is_the_exact_binomial_test(mended: int, broken: int, p_value: float) -> None:
    assert mcnemar(mended, broken) == pytest.approx(p_value, abs=1e-5)
    if mended + broken:
        from scipy.stats import binomtest

        assert mcnemar(mended, broken) == pytest.approx(binomtest(mended, mended + broken).pvalue)


def _probabilities(right: np.ndarray, confidence: float) -> np.ndarray:
    """Of class 0, which is always the true one."""
    first = np.where(right, confidence, 1 - confidence)
    return np.stack([first, 1 - first], axis=1)


def _compared(mended: int, broken: int, confidence: float = 0.9, n: int = 200):
    first, second = np.ones(n, bool), np.ones(n, bool)
    first[:mended], second[mended : mended + broken] = False, False
    return compare(np.zeros(n, int), _probabilities(first, 0.9), _probabilities(second, confidence))


def test_a_clear_gain_counts() -> None:
    found = _compared(mended=12, broken=1)
    assert (found.mended, found.broken) == (12, 1)
    assert found.accuracy == (pytest.approx(188 / 200), pytest.approx(199 / 200))
    assert 0 < found.accuracy_gain[0] < 11 / 200 < found.accuracy_gain[1]
    assert found.favours_second
    assert "more than luck" in found.verdict()


@pytest.mark.parametrize(("mended", "broken"), [(3, 2), (0, 0), (1, 12), (4, 4)])
def test_luck_does_not(mended: int, broken: int) -> None:
    found = _compared(mended, broken)
    assert not found.favours_second
    assert "no proof" in found.verdict()


def test_more_confidence_alone_is_no_gain() -> None:
    """The fine-tuned model was stopped where its validation loss was least: that alone must not count for it."""
    found = _compared(mended=0, broken=0, confidence=0.999)
    assert found.loss_gain[0] > 0
    assert not found.favours_second


def test_a_small_gain_counts_where_the_log_loss_is_sure_of_it() -> None:
    found = _compared(mended=3, broken=1, confidence=0.97)
    assert found.p_value > 0.05
    assert found.loss_gain[0] > 0
    assert found.favours_second


def test_few_examples_need_not_prove_a_gain_but_must_show_one() -> None:
    gain, tie, loss = _compared(mended=3, broken=1, n=16), _compared(2, 2, n=16), _compared(1, 3, n=16)
    assert not gain.favours_second
    assert (gain.leans_to_second, tie.leans_to_second, loss.leans_to_second) == (True, False, False)
    assert gain.verdict(few=True).endswith("So few examples prove no gain, but both figures speak for it.")
    assert tie.verdict(few=True).endswith("That is no proof of a gain.")


def test_of_labels_the_better_ranking_wins_and_itself_does_not() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 5)) < 0.3).astype(np.uint8)
    logits = 2.0 * labels - 1 + rng.normal(0, 1, labels.shape)
    better, worse = (1 / (1 + np.exp(-(logits + rng.normal(0, noise, labels.shape)))) for noise in (0, 1))
    found = compare_labels(labels, worse, better)
    first, second = found.mean_average_precision
    assert second == pytest.approx(average_precision_score(labels, better))
    assert 0 < found.precision_gain[0] < second - first < found.precision_gain[1]
    assert found.favours_second
    assert "That is more than luck." in found.verdict()
    assert not compare_labels(labels, better, worse).favours_second
    same = compare_labels(labels, better, better)
    assert (same.precision_gain, same.loss_gain, same.favours_second) == ((0, 0), (0, 0), False)
    assert "That is no proof of a gain." in same.verdict()
