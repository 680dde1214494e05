"""Intervals and tests that the figures of every task use.

One bootstrap resample draws n examples with replacement and computes every metric from its counts; a percentile
interval over the resamples follows (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993). Where all
resamples agree because all examples are right or all are wrong, the bootstrap says nothing, and Wilson's score interval
takes its place (E. B. Wilson, JASA 22, 1927, 209-212).
"""

import math

import numpy as np

LEVEL = 0.95
METHOD = "bootstrap over examples, percentile; Wilson's score interval if all are right or all are wrong"

Interval = dict[str, float | None]
"""``value``, ``low`` and ``high`` of a figure; None where it is not defined."""

Z = 1.959964
"""Standard errors from the mean of a normal distribution within which :data:`LEVEL` of it lies."""

_RESAMPLES, _FEW_RESAMPLES, _MANY_EXAMPLES = 1000, 200, 20_000


def n_resamples(n: int) -> int:
    """Number of resamples for n examples: fewer for many, whose intervals are narrow and cost more."""
    return _RESAMPLES if n <= _MANY_EXAMPLES else _FEW_RESAMPLES


def resample_weights(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of n examples is in each of some resamples: float32 (count, n), for fast products."""
    weights = np.empty((count, n), np.float32)
    for row in weights:
        row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
    return weights


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share among n."""
    if n == 0 or math.isnan(share):
        return math.nan, math.nan
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def interval(value: float, resampled: np.ndarray, fallback: tuple[float, float] | None) -> Interval:
    """A figure with its percentile interval.

    Args:
        value: of the figure; nan where it is not defined.
        resampled: float (resamples,), the figure in each resample.
        fallback: the interval if all resamples agree.
    """
    if math.isnan(value):
        return {"value": None, "low": None, "high": None}
    defined = resampled[~np.isnan(resampled)]
    low, high = percentiles(defined) if len(defined) else (math.nan, math.nan)
    if fallback and (not len(defined) or high - low < 1e-12):
        low, high = fallback
    if math.isnan(low):
        return {"value": value, "low": None, "high": None}
    # The bootstrap of a figure that is biased upwards in small samples (ECE) may not contain the figure itself.
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The percentile interval at :data:`LEVEL` of resampled values."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def mcnemar(fixed: int, regressed: int) -> float:
    """Two-sided p-value of McNemar's exact test on examples that only one of two classifiers gets right.

    Source: Q. McNemar, Psychometrika 12, 1947; Dietterich, Neural Computation 10, 1998.

    Args:
        fixed: examples that only the second gets right.
        regressed: examples that only the first gets right.
    """
    n, k = fixed + regressed, min(fixed, regressed)
    tail = sum(math.comb(n, i) for i in range(k + 1))
    return min(1.0, 2 * tail / 2**n)
