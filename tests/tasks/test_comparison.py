import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from headstart.tasks.comparison import Comparison
from headstart.tasks.multi_label import MultiLabel
from headstart.tasks.single_label import SingleLabel
from headstart.tasks.statistics import mcnemar

FINE_TUNING = "On {} validation examples, fine-tuning"


@pytest.mark.parametrize(
    ("fixed", "regressed", "p_value"),
    [(0, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (10, 2, 0.03857), (2, 10, 0.03857), (7, 7, 1.0)],
)
def test_mcnemar_is_the_exact_binomial_test(fixed: int, regressed: int, p_value: float) -> None:
    assert mcnemar(fixed, regressed) == pytest.approx(p_value, abs=1e-5)
    if fixed + regressed:
        from scipy.stats import binomtest

        assert mcnemar(fixed, regressed) == pytest.approx(binomtest(fixed, fixed + regressed).pvalue)


def _probabilities(right: np.ndarray, confidence: float) -> np.ndarray:
    """Of class 0, which is always the true one."""
    first = np.where(right, confidence, 1 - confidence)
    return np.stack([first, 1 - first], axis=1)


def _compared(fixed: int, regressed: int, confidence: float = 0.9, n: int = 200) -> Comparison:
    first, second = np.ones(n, bool), np.ones(n, bool)
    first[:fixed], second[fixed : fixed + regressed] = False, False
    return SingleLabel().compare(np.zeros(n, int), _probabilities(first, 0.9), _probabilities(second, confidence))


def test_a_clear_gain_counts() -> None:
    found = _compared(fixed=12, regressed=1)
    assert (found.fixed, found.regressed) == (12, 1)
    assert found.value == (pytest.approx(188 / 200), pytest.approx(199 / 200))
    assert 0 < found.value_gain[0] < 11 / 200 < found.value_gain[1]
    assert found.favours_second
    assert "The gain is significant." in found.verdict(FINE_TUNING)


@pytest.mark.parametrize(("fixed", "regressed"), [(3, 2), (0, 0), (1, 12), (4, 4)])
def test_luck_does_not(fixed: int, regressed: int) -> None:
    found = _compared(fixed, regressed)
    assert not found.favours_second
    assert "This does not prove a gain." in found.verdict(FINE_TUNING)


def test_more_confidence_alone_is_no_gain() -> None:
    """The fine-tuned model was stopped where its validation loss was least: that alone must not count for it."""
    found = _compared(fixed=0, regressed=0, confidence=0.999)
    assert found.loss_gain[0] > 0
    assert not found.favours_second


def test_a_small_gain_counts_where_the_log_loss_is_sure_of_it() -> None:
    found = _compared(fixed=3, regressed=1, confidence=0.97)
    assert found.p_value > 0.05
    assert found.loss_gain[0] > 0
    assert found.favours_second


def test_few_examples_need_not_prove_a_gain_but_must_show_one() -> None:
    gain, tie, loss = _compared(fixed=3, regressed=1, n=16), _compared(2, 2, n=16), _compared(1, 3, n=16)
    assert not gain.favours_second
    assert (gain.leans_to_second, tie.leans_to_second, loss.leans_to_second) == (True, False, False)
    assert gain.verdict(FINE_TUNING, few=True).endswith(
        "So few examples cannot prove a gain, but both figures are better."
    )
    assert tie.verdict(FINE_TUNING, few=True).endswith("This does not prove a gain.")


def test_of_labels_the_better_ranking_wins_and_itself_does_not() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 5)) < 0.3).astype(np.uint8)
    logits = 2.0 * labels - 1 + rng.normal(0, 1, labels.shape)
    better, worse = (1 / (1 + np.exp(-(logits + rng.normal(0, noise, labels.shape)))) for noise in (0, 1))
    found = MultiLabel().compare(labels, worse, better)
    first, second = found.value
    assert second == pytest.approx(average_precision_score(labels, better))
    assert 0 < found.value_gain[0] < second - first < found.value_gain[1]
    assert found.favours_second
    assert "The gain is significant." in found.verdict(FINE_TUNING)
    assert not MultiLabel().compare(labels, better, worse).favours_second
    same = MultiLabel().compare(labels, better, better)
    assert (same.value_gain, same.loss_gain, same.favours_second) == ((0, 0), (0, 0), False)
    assert "This does not prove a gain." in same.verdict(FINE_TUNING)
