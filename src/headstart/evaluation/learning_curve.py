"""How much more data would help: the learning curve, extrapolated by a power law.

    error(n) = floor + scale * n^-exponent

usually fits learning curves best (Viering and Loog, "The shape of learning curves: a review", arXiv 2103.10948, which
also shows how often it does not). Four points determine three numbers poorly. So there is no single curve: for each
resample of the examples and of the parts of the training data, an exponent is drawn with a probability that depends on
its fit, and all of these curves together are the band. It is extrapolated to at most twice the data.

Exponents between 0.05 and 0.1 are as frequent as those between 0.5 and 1. With equal steps instead, forecasts were half
of the true gains; benchmarks/forecasts.py measures this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.tasks.statistics import LEVEL, resample_weights
from headstart.training.head.linear import Curve

NOTICEABLE = 0.005
"""A smaller gain in accuracy is not worth more data."""

_RESAMPLES = 400
_EXPONENTS = np.geomspace(0.05, 1, 25)
_ROUND = (1, 2, 3, 5)
_MAX_CLASSES = 20  # with a forecast of their own, those with the most mistakes

Bounded = tuple[float, float, float]
"""A value with its interval: (value, low, high)."""


@dataclass(frozen=True)
class Forecast:
    """The extrapolated learning curve.

    Attributes:
        points: (examples, figure, low, high) of each measured size; 95 % intervals.
        extrapolated: the same of the fitted curves, from the smallest size to twice the training examples.
        n_train: number of training examples.
        more_per_class: number of further examples of each class; for a detector, of further images in all.
        gain: in the figure by these.
        class_gains: class name -> gain in its own figure, if it is noticeable; those that add most to the gain first.
    """

    points: list[tuple[float, float, float, float]]
    extrapolated: list[tuple[float, float, float, float]]
    n_train: int
    more_per_class: int
    gain: Bounded
    class_gains: dict[str, Bounded]


def forecast(
    curve: Curve, n_train: int, classes: Sequence[str], *, more_per_class: int | None = None, seed: int = 0
) -> Forecast:
    """Extrapolate a learning curve.

    Args:
        curve: of a solved head, see :func:`headstart.training.head.linear.solve`.
        n_train: examples that the finished head was trained on.
        classes: class names.
        more_per_class: number of further examples of each class; a round number, up to the number there is, when None.
        seed: of the resamples.
    """
    rng = np.random.default_rng(seed)
    weights = resample_weights(len(curve.labels), _RESAMPLES, rng)
    sizes, resampled_errors = _resampled(curve, weights, rng)
    more = more_per_class or _round(n_train / len(classes))
    sizes_compared = np.array([n_train, n_train + more * len(classes)])
    curves = _Curves(sizes, resampled_errors, rng)
    most_wrong = np.argsort(-np.bincount(curve.labels, curve.right[-1] == 0, minlength=len(classes)), kind="stable")
    class_gains, total_gains = {}, {}
    for number in most_wrong[:_MAX_CLASSES].tolist():
        is_member = curve.labels == number
        class_curve = Curve(curve.sizes, curve.labels[is_member], curve.right[:, is_member])
        now_of_class, later_of_class = _Curves(*_resampled(class_curve, weights[:, is_member], rng), rng)(
            sizes_compared
        ).T
        gain = _bounded(now_of_class - later_of_class)
        if gain[0] >= NOTICEABLE:
            class_gains[classes[number]], total_gains[classes[number]] = gain, gain[0] * is_member.mean()
    return _forecast(
        curves, sizes, resampled_errors, sizes_compared, more,
        {name: class_gains[name] for name in sorted(class_gains, key=lambda name: -total_gains[name])},
    )  # fmt: skip


def forecast_figure(
    sizes: Sequence[int], errors: np.ndarray, class_errors: Mapping[str, np.ndarray], *, seed: int = 0
) -> Forecast:
    """Extrapolate how a figure of object detection grows with the number of images.

    Args:
        sizes: numbers of training images, rising; the last one is that of the finished detector.
        errors: float (r, s), one minus the figure, in resamples of the validation images.
        class_errors: class -> the same of its own figure; nan in resamples without an object of it.
        seed: of the exponents.
    """
    rng, at = np.random.default_rng(seed), np.asarray(sizes, np.float64)
    n_train, more = int(sizes[-1]), _round(sizes[-1])
    sizes_compared = np.array([n_train, n_train + more])
    curves = _Curves(at, errors, rng)
    class_gains = {}
    for name, of_class in class_errors.items():
        defined = of_class[~np.isnan(of_class).any(1)]
        if len(defined) > 1:
            now, later = _Curves(at, defined, rng)(sizes_compared).T
            gain = _bounded(now - later)
            if gain[0] >= NOTICEABLE:
                class_gains[name] = gain
    by_gain = dict(sorted(class_gains.items(), key=lambda item: -item[1][0]))
    return _forecast(curves, at, errors, sizes_compared, more, by_gain)


def _forecast(
    curves: "_Curves", sizes: np.ndarray, errors: np.ndarray, compared: np.ndarray, more: int,
    class_gains: dict[str, Bounded],
) -> Forecast:  # fmt: skip
    """What curves that were fitted to errors (r, s) at some sizes (s,) say; ``compared`` are sizes now and later."""
    now, later = curves(compared).T
    n_train = int(compared[0])
    reach = np.geomspace(sizes[0], 2 * n_train, 25)
    return Forecast(
        points=[(float(size), *_bounded(1 - errors[:, i])) for i, size in enumerate(sizes)],
        extrapolated=[
            (float(size), *_bounded(1 - of_size)) for size, of_size in zip(reach, curves(reach).T, strict=True)
        ],
        n_train=n_train,
        more_per_class=more,
        gain=_bounded(now - later),
        class_gains=class_gains,
    )


def _resampled(curve: Curve, weights: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean size at each step, float (s,); and errors, (r, s), of resampled examples, (r, n), and resampled parts."""
    judged = curve.right >= 0
    errors = (weights @ (curve.right == 0).T) / np.maximum(weights @ judged.T, 1)
    groups = [group for group in np.split(np.arange(len(errors.T)), _steps(curve.sizes)) if len(group)]
    resampled_folds = [group[rng.integers(len(group), size=(len(weights), len(group)))] for group in groups]
    resampled_errors = [np.take_along_axis(errors, indices, 1).mean(1) for indices in resampled_folds]
    return np.array([curve.sizes[group].mean() for group in groups]), np.stack(resampled_errors, 1)


def _steps(sizes: np.ndarray) -> np.ndarray:
    """Where a size is much larger than the one before it."""
    return np.flatnonzero(sizes[1:] > 1.3 * sizes[:-1]) + 1


class _Curves:
    """One power law for each row of errors.

    Args:
        sizes: float (s,).
        errors: float (r, s).
        rng: draws the exponents.
    """

    def __init__(self, sizes: np.ndarray, errors: np.ndarray, rng: np.random.Generator) -> None:
        importance = sizes / sizes[-1] / np.maximum(errors.var(0), 1e-8)  # larger sizes have more weight
        fits = [_fit(sizes**-exponent, errors, importance) for exponent in _EXPONENTS]
        misfit = np.stack([fit[2] for fit in fits], 1)
        off = max(1.0, float(np.median(misfit.min(1))))  # if no power law fits, many are about as good
        chance = np.exp(-0.5 * (misfit - misfit.min(1, keepdims=True)) / off)
        edges = np.cumsum(chance / chance.sum(1, keepdims=True), 1)
        exponent_indices = (rng.random((len(errors), 1)) > edges).sum(1).clip(max=len(_EXPONENTS) - 1)
        rows = np.arange(len(errors))
        self._exponent = _EXPONENTS[exponent_indices]
        self._floor = np.stack([fit[0] for fit in fits], 1)[rows, exponent_indices]
        self._scale = np.stack([fit[1] for fit in fits], 1)[rows, exponent_indices]

    def __call__(self, sizes: np.ndarray) -> np.ndarray:
        """Errors, (r, m), at sizes (m,)."""
        return self._floor[:, None] + self._scale[:, None] * sizes[None, :] ** -self._exponent[:, None]


def _fit(x: np.ndarray, errors: np.ndarray, importance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of errors (r, s) by floor + scale * x, both not negative; and the misfit; each (r,)."""
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
    """The largest round number that is not larger."""
    unit = 10 ** int(np.log10(max(number, 1)))
    return int(max(factor * unit for factor in _ROUND if factor * unit <= max(number, 1)))
