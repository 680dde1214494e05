"""How much more data would help: the learning curve, carried on by a power law.

    error(n) = floor + scale * n^-exponent

fits learning curves best as a rule (Viering and Loog, "The shape of learning curves: a review", arXiv 2103.10948, which
also says how often they do not behave). Four points say little about three numbers. So no single curve is taken: for
each resample of the examples and of the parts that were learnt from, an exponent is drawn as often as it fits, and what
all of these curves say together is the band. It is carried on to twice the data at most.

Exponents are drawn as often from 0.05 to 0.1 as from 0.5 to 1: with as many from every equal step, forecasts were half
of what came true, which benchmarks/forecasts.py looks at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.evaluation.metrics import LEVEL, draw
from headstart.training.head.linear import Curve

NOTICEABLE = 0.005
"""A gain in accuracy below which more data hardly help."""

_RESAMPLES = 400
_EXPONENTS = np.geomspace(0.05, 1, 25)
_ROUND = (1, 2, 3, 5)
_MOST_CLASSES = 20  # that are looked at one by one, those with the most mistakes

Bounded = tuple[float, float, float]
"""A value with its interval: (value, low, high)."""


@dataclass(frozen=True)
class Forecast:
    """What the learning curve says.

    Attributes:
        points: (examples, accuracy, low, high) of each size that was tried; 95 % intervals.
        beyond: likewise, of the fitted curves, from the smallest size to twice what there is now.
        now: examples to train on.
        more_per_class: how many more of each class are asked about.
        gain: in accuracy by these.
        of_class: class name -> gain in its recall, where that is noticeable; what adds most to the accuracy first.
    """

    points: list[tuple[float, float, float, float]]
    beyond: list[tuple[float, float, float, float]]
    now: int
    more_per_class: int
    gain: Bounded
    of_class: dict[str, Bounded]


def forecast(
    curve: Curve, n_train: int, classes: Sequence[str], *, more_per_class: int | None = None, seed: int = 0
) -> Forecast:
    """Carry a learning curve on.

    Args:
        curve: of a solved head, see :func:`headstart.training.head.linear.solve`.
        n_train: examples that the finished head was trained on.
        classes: class names.
        more_per_class: how many more of each class to ask about; a round number, up to as many as there are, when None.
        seed: of the resamples.
    """
    rng = np.random.default_rng(seed)
    weights = draw(len(curve.labels), _RESAMPLES, rng)
    sizes, drawn = _resampled(curve, weights, rng)
    more = more_per_class or _round(n_train / len(classes))
    reach = np.geomspace(sizes[0], 2 * n_train, 25)
    asked = np.array([n_train, n_train + more * len(classes)])
    curves = _Curves(sizes, drawn, rng)
    now, then = curves(asked).T
    most_wrong = np.argsort(-np.bincount(curve.labels, curve.right[-1] == 0, minlength=len(classes)), kind="stable")
    of_class, gain_of_all = {}, {}
    for number in most_wrong[:_MOST_CLASSES].tolist():
        mine = curve.labels == number
        of_it = Curve(curve.sizes, curve.labels[mine], curve.right[:, mine])
        now_of_it, then_of_it = _Curves(*_resampled(of_it, weights[:, mine], rng), rng)(asked).T
        gain = _bounded(now_of_it - then_of_it)
        if gain[0] >= NOTICEABLE:
            of_class[classes[number]], gain_of_all[classes[number]] = gain, gain[0] * mine.mean()
    return Forecast(
        points=[(float(size), *_bounded(1 - drawn[:, i])) for i, size in enumerate(sizes)],
        beyond=[(float(size), *_bounded(1 - errors)) for size, errors in zip(reach, curves(reach).T, strict=True)],
        now=n_train,
        more_per_class=more,
        gain=_bounded(now - then),
        of_class={name: of_class[name] for name in sorted(of_class, key=lambda name: -gain_of_all[name])},
    )


def _resampled(curve: Curve, weights: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean size of each part, float (s,); and errors, (r, s), of resampled examples, (r, n), and resampled parts."""
    judged = curve.right >= 0
    errors = (weights @ (curve.right == 0).T) / np.maximum(weights @ judged.T, 1)
    groups = [group for group in np.split(np.arange(len(errors.T)), _steps(curve.sizes)) if len(group)]
    chosen = [group[rng.integers(len(group), size=(len(weights), len(group)))] for group in groups]
    drawn = [np.take_along_axis(errors, which, 1).mean(1) for which in chosen]
    return np.array([curve.sizes[group].mean() for group in groups]), np.stack(drawn, 1)


def _steps(sizes: np.ndarray) -> np.ndarray:
    """Where a part begins that is much larger than the one before it."""
    return np.flatnonzero(sizes[1:] > 1.3 * sizes[:-1]) + 1


class _Curves:
    """One power law for each row of errors.

    Args:
        sizes: float (s,).
        errors: float (r, s).
        rng: draws the exponents.
    """

    def __init__(self, sizes: np.ndarray, errors: np.ndarray, rng: np.random.Generator) -> None:
        importance = sizes / sizes[-1] / np.maximum(errors.var(0), 1e-8)  # what is near counts more
        fits = [_fit(sizes**-exponent, errors, importance) for exponent in _EXPONENTS]
        misfit = np.stack([fit[2] for fit in fits], 1)
        off = max(1.0, float(np.median(misfit.min(1))))  # no law may fit; then many are about as good
        chance = np.exp(-0.5 * (misfit - misfit.min(1, keepdims=True)) / off)
        edges = np.cumsum(chance / chance.sum(1, keepdims=True), 1)
        chosen = (rng.random((len(errors), 1)) > edges).sum(1).clip(max=len(_EXPONENTS) - 1)
        rows = np.arange(len(errors))
        self._exponent = _EXPONENTS[chosen]
        self._floor = np.stack([fit[0] for fit in fits], 1)[rows, chosen]
        self._scale = np.stack([fit[1] for fit in fits], 1)[rows, chosen]

    def __call__(self, sizes: np.ndarray) -> np.ndarray:
        """Errors, (r, m), at sizes (m,)."""
        return self._floor[:, None] + self._scale[:, None] * sizes[None, :] ** -self._exponent[:, None]


def _fit(x: np.ndarray, errors: np.ndarray, importance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of errors (r, s) by floor + scale * x, neither of them negative; and the misfit; each (r,)."""
    total, mean_x = importance.sum(), importance @ x / importance.sum()
    mean = errors @ importance / total
    scale = (errors - mean[:, None]) @ (importance * (x - mean_x)) / (importance @ (x - mean_x) ** 2)
    floor = mean - scale * mean_x
    no_floor = errors @ (importance * x) / (importance @ x**2)
    scale, floor = np.where(floor < 0, no_floor, scale), np.maximum(floor, 0)
    scale, floor = np.maximum(scale, 0), np.where(scale < 0, mean, floor)
    return floor, scale, np.square(errors - floor[:, None] - scale[:, None] * x) @ importance


def _bounded(values: np.ndarray) -> Bounded:
    low, middle, high = np.quantile(values, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    return float(middle), float(low), float(high)


def _round(number: float) -> int:
    """A round number, at most so large."""
    unit = 10 ** int(np.log10(max(number, 1)))
    return int(max(factor * unit for factor in _ROUND if factor * unit <= max(number, 1)))
