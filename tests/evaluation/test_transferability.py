"""LogME against its definition."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from headstart.evaluation.transferability import log_evidence
from headstart.tasks import get_task

SINGLE_LABEL, MULTI_LABEL = get_task("single-label"), get_task("multi-label")


def _features(n: int, dim: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    features = rng.normal(size=(n, dim))
    features[:, 0] += shift * labels
    return features, labels


@pytest.mark.parametrize(("dim", "shift"), [(4, 1.5), (25, 3.0)])
def test_it_is_the_largest_evidence_of_a_bayesian_linear_model(dim: int, shift: float) -> None:
    features, labels = _features(40, dim, shift)
    z, y = ((values - values.mean(0)) / values.std(0) for values in (features, labels))

    def negative(logs: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        return -multivariate_normal(np.zeros(40), np.eye(40) / beta + z @ z.T / alpha).logpdf(y)

    best = minimize(negative, [np.log(dim), 0.0], method="Nelder-Mead")
    assert log_evidence(features, labels, SINGLE_LABEL, 2) == pytest.approx(-best.fun / 40, abs=2e-3)


def test_better_features_have_more_and_their_scale_does_not_matter() -> None:
    scores = []
    for shift in (0.0, 1.5, 4.0):
        features, labels = _features(60, 30, shift)
        scores.append(log_evidence(features, labels, SINGLE_LABEL, 2))
        assert log_evidence(100 * features + 7, labels, SINGLE_LABEL, 2) == pytest.approx(scores[-1], abs=1e-6)
    assert scores == sorted(scores)
    features, labels = _features(60, 30, 4.0)
    as_columns = np.column_stack([labels == 0, labels == 1]).astype(np.uint8)
    assert log_evidence(features, as_columns, MULTI_LABEL, 2) == pytest.approx(
        log_evidence(features, labels, SINGLE_LABEL, 2)
    )


def test_copies_of_features_constant_ones_and_classes_without_examples_are_no_matter() -> None:
    features, labels = _features(60, 10, 4.0)
    expected = log_evidence(features, labels, SINGLE_LABEL, 2)
    assert log_evidence(np.tile(features, 20), labels, SINGLE_LABEL, 2) == pytest.approx(expected, abs=1e-6)
    padded = np.column_stack([features, np.ones(60)])
    assert log_evidence(padded, labels, SINGLE_LABEL, 3) == pytest.approx(expected, abs=1e-6)
