"""The linear head: regularised multinomial logistic regression, solved, with its strength chosen by cross-validation.

    minimise over W, b:   sum_i w_i * CE(softmax(z_i W + b), y_i) / sum_i w_i  +  strength / 2 * |W|^2

For multi-label data a sigmoid stands in place of the softmax, and CE is the sum of the binary cross-entropies of the
labels: one-vs-rest logistic regression, with one strength for all labels.

Here z are features standardised by the training set's mean and deviation. Few examples estimate a deviation badly, and
a feature that hardly moves among them would count for too much in all others; so each variance is drawn towards the
mean of all, as far as 50 examples more would draw it (200 or 1,000 give the same). With 4 photos of each class a head
for cats and dogs is then right about 96 %, and scikit-learn's on standardised features about 76 % of them; see
benchmarks/few_heads.py.

Regularisation that finds the best directions for few examples also makes the head less sure than it could be. So the
strength is judged by the log loss at the best temperature for the held-out folds, and the head's logits are divided by
that temperature (see :func:`headstart.training.outputs.fit_temperature`).

L-BFGS solves it; the folds of the cross-validation and the fit on everything are solved side by side, as one wide
matrix product per step, along a path from strong to weak regularisation that starts each problem from the last
solution. The standardisation is folded into the result, which is an ordinary Dense layer.

Features are strongly correlated, so the problem is badly conditioned. It is solved in variables V with W = H^-1/2 V,
where H = p (1 - p) cov(z) + strength I is about its Hessian: that takes a third to a tenth of the steps.

Rows come in blocks, so the same code serves features in memory and features on disk.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.data.labels import is_multi_label
from headstart.data.parallel import map_ahead
from headstart.data.split import folds, strata
from headstart.errors import InputError
from headstart.training.head.lbfgs import minimise
from headstart.training.outputs import (
    activate,
    activation_of,
    at_temperature,
    cross_entropy,
    fit_temperature,
    log_losses,
    weights_of_examples,
)

STRENGTHS = tuple(float(s) for s in 10.0 ** np.arange(2.0, -5.5, -0.5))
N_FOLDS = 5
BLOCK_ROWS = 1024
_SMALLEST_BLOCK = 512  # less is not worth a thread
MEMORY_BUDGET_BYTES = 128 * 1024 * 1024
"""Features up to this size are held in memory; larger sets are read from the cache in blocks at every step."""

_CV_EXAMPLES = 20_000  # cross-validation looks at a stratified sample of this size at most …
_CV_BUDGET = 4e10  # … and of fewer where one step would take more multiply-adds than this
_BETTER = 0.999  # times the loss of a stronger regularisation is better: less is chance, and the stronger one is safer
_PATIENCE = 2  # strengths in a row that are not better than the best before the path stops …
_CLEARLY_WORSE = 1.02  # … or one whose loss is this much higher
_COVARIANCE_ROWS = 8192  # enough to precondition
_TYPICAL = 50  # examples of the typical variance, added to those that a feature's variance is estimated from
_SMALLEST_VARIANCE = 1e-6  # of the largest; what float32 can tell from 0
_TYPICAL_VARIANCE = 0.1  # p (1 - p) of a fairly confident prediction
_TENTHS, _DRAWS = (1, 2, 4), 3  # the parts that the learning curve is solved on, and how many of each
_FEWEST_IN_TENTH = 2  # of each class

Result = TypeVar("Result")
RowReader = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LinearHead:
    """A solved linear head: its logits are ``features @ kernel + bias``.

    Attributes:
        kernel: float32 (d, classes).
        bias: float32 (classes,).
        strength: of the regularisation, on standardised features.
        temperature: that the solution's logits were divided by; 1 for multi-label data.
        path: per strength tried: strength and log loss over the held-out folds; accuracy where there is one class each.
        out_of_fold: float32 (n, classes), probabilities of each training example by a head of that strength that was
            solved without its fold; None where all are in one.
        curve: how it fares with less to learn from; None for multi-label data and where a class has too few examples.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    temperature: float
    path: list[dict[str, float]]
    out_of_fold: np.ndarray | None
    curve: "Curve | None"


class Curve(NamedTuple):
    """Heads of the same strength that were solved on parts of the training examples, judged by the others.

    Attributes:
        sizes: int (k,), how many examples each learnt from.
        labels: int (n,), classes of the examples that they were drawn from and are judged by.
        right: int8 (k, n), whether the answer about an example is right; -1 where it was learnt from.
    """

    sizes: np.ndarray
    labels: np.ndarray
    right: np.ndarray


def solve(
    rows: RowReader,
    indices: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    *,
    groups: np.ndarray,
    class_weights: np.ndarray,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
) -> LinearHead:
    """Choose the strength by cross-validation and solve the head on all training examples.

    Args:
        rows: gives the features of the examples at given indices, float32 (k, d).
        indices: the training examples, int (n,).
        labels: their classes, int (n,), or 0 and 1 (n, n_classes).
        n_classes: number of classes.
        groups: int (n,); examples of one group (or identical files) stay in one fold.
        class_weights: float (n_classes,), the weight of one example of each class; all alike for multi-label data.
        seed: of the folds.
        strengths: to choose from, from strong to weak.
    """
    # BLAS threads wait for each other in busy loops: beside any other work, two of them are ten times slower than one.
    # So BLAS computes in the thread that calls it, and the blocks are what the cores share.
    with threadpool_limits(1, user_api="blas"):
        return _solve(_Data(rows, indices, labels), labels, n_classes, groups, class_weights, seed, strengths)


def _solve(
    data: "_Data",
    labels: np.ndarray,
    n_classes: int,
    groups: np.ndarray,
    class_weights: np.ndarray,
    seed: int,
    strengths: Sequence[float],
) -> LinearHead:
    width = data.dim * n_classes * (N_FOLDS + 1)
    sample = stratified_sample(labels, min(_CV_EXAMPLES, max(2000, int(_CV_BUDGET / width))), seed)
    cv_data = data if len(sample) == len(labels) else data.part(sample)
    fold = folds(labels[sample], groups[sample], N_FOLDS, seed)
    path: list[dict[str, float]] = []
    best, temperature, of_folds = 1.0, 1.0, None
    if len(np.unique(fold)) > 1:  # copies of one example a class: nothing would be left to train on without them
        path, best, temperature, of_folds = _path(cv_data, fold, n_classes, class_weights, strengths)
    strength = best * len(sample) / len(labels)  # the best strength falls as examples are added, about as 1/n
    weights = weights_of_examples(labels, class_weights)[None, :]
    start = None if of_folds is None else of_folds[:, -1:, :]
    parameters = _minimise(data, weights, n_classes, strength, start=start, tolerance=3e-3)
    kernel, bias = parameters[:-1, 0, :] / temperature, parameters[-1, 0, :] / temperature
    kernel = kernel / data.scale[:, None]
    out_of_fold, curve = None, None
    if of_folds is not None:
        of_folds = of_folds / temperature
        out_of_fold = _out_of_fold(data, _restated(of_folds, cv_data, data), _fold_of_each(sample, fold, groups))
        curve = _curve(cv_data, groups[sample], n_classes, class_weights, best, of_folds, fold, seed)
    return LinearHead(
        kernel=kernel.astype(np.float32),
        bias=(bias - data.mean @ kernel).astype(np.float32),
        strength=strength,
        temperature=temperature,
        path=path,
        out_of_fold=out_of_fold,
        curve=curve,
    )


@dataclass(frozen=True)
class Axes:
    """The directions in which standardised features vary most.

    Attributes:
        mean: float (d,), of the features.
        scale: float (d,), their deviation.
        directions: float32 (d, q), orthonormal; the first is that of the largest variance.
    """

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, rows: RowReader, indices: np.ndarray, labels: np.ndarray, most: int) -> "Axes":
        """Of the examples at ``indices``, ``most`` of them or as many as there are."""
        data = _Data(rows, indices, labels)
        return cls(data.mean, data.scale, data.directions[:, ::-1][:, :most].astype(np.float32))

    def first(self, number: int) -> "Axes":
        """Those of the largest variance."""
        return replace(self, directions=self.directions[:, :number])

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Coordinates, float32 (n, q), of features (n, d)."""
        return ((features - self.mean) / self.scale).astype(np.float32) @ self.directions


class CrossValidation:
    """What a linear head is worth at a strength, on features that are standardised already.

    Args:
        rows: float32 (n, d).
        labels: int (n,), or 0 and 1 (n, n_classes).
        n_classes: number of classes.
        fold: int (n,), from 0 on.
        weights: float (n,), of the examples.
    """

    def __init__(
        self, rows: np.ndarray, labels: np.ndarray, n_classes: int, fold: np.ndarray, weights: np.ndarray
    ) -> None:
        self._data = _Data(rows.__getitem__, np.arange(len(rows)), labels, standardise=False)
        self._n_classes, self._fold, self._weights = n_classes, fold, weights

    def log_loss(self, strength: float) -> float:
        """Of the examples, each judged by a head that was solved without its fold, at the best temperature."""
        used = self._fold[None, :] != np.arange(int(self._fold.max()) + 1)[:, None]
        parameters = _minimise(self._data, used * self._weights, self._n_classes, strength, start=None, tolerance=1e-2)
        return _held_out(self._data, parameters, self._fold, self._weights)[1]["log_loss"]


class _Data:
    """Standardised features with labels, in blocks; in memory if they fit the budget, else read at every step."""

    def __init__(self, rows: RowReader, indices: np.ndarray, labels: np.ndarray, *, standardise: bool = True) -> None:
        self._rows, self._indices, self.labels = rows, indices, labels
        share = -(-len(indices) // (os.cpu_count() or 1))
        self._block_rows = min(BLOCK_ROWS, max(_SMALLEST_BLOCK, share))
        self.dim = self._rows(self._indices[:1]).shape[1]
        total, squares = np.zeros(self.dim), np.zeros(self.dim)
        for where in self._slices():
            block = self._rows(self._indices[where])
            total += block.sum(0, dtype=np.float64)
            squares += np.square(block, dtype=np.float64).sum(0)
        self.mean = total / len(indices)
        if not np.isfinite(self.mean).all():
            raise InputError("the base gives features that are not finite numbers: are its weights damaged?")
        variance = np.maximum(squares / len(indices) - self.mean**2, 0)
        moves = variance > 1e-12  # a feature that never moves says nothing
        typical = variance[moves].mean() if moves.any() else 1.0
        drawn = (len(indices) * variance + _TYPICAL * typical) / (len(indices) + _TYPICAL)
        self.scale = np.where(moves, np.sqrt(drawn), 1.0)
        if not standardise:
            self.mean, self.scale = np.zeros(self.dim), np.ones(self.dim)
        self._held: np.ndarray | None = None
        if len(indices) * self.dim * 4 <= MEMORY_BUDGET_BYTES:
            self._held = np.concatenate([self._block(where) for where in self._slices()])
        self.variances, self.directions = self._principal_axes()

    def __len__(self) -> int:
        return len(self._indices)

    def part(self, positions: np.ndarray) -> "_Data":
        """Some of the examples."""
        return _Data(self._rows, self._indices[positions], self.labels[positions])

    def map(self, function: Callable[[slice, np.ndarray], Result]) -> Iterator[Result]:
        """Call ``function(where, block)`` for every block, on all cores; results in order."""

        def call(where: slice) -> Result:
            return function(where, self._block(where))

        slices = self._slices()
        return map(call, slices) if len(slices) == 1 else map_ahead(call, slices)

    def _slices(self) -> list[slice]:
        n, step = len(self._indices), self._block_rows
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]

    def _block(self, where: slice) -> np.ndarray:
        if self._held is not None:
            return self._held[where]
        block = self._rows(self._indices[where])
        block -= self.mean.astype(np.float32)
        block /= self.scale.astype(np.float32)
        return block

    def _principal_axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Variances, float32 (r,), along directions, float32 (d, r), from blocks spread over the examples."""
        slices = self._slices()
        chosen = slices[:: max(1, len(slices) * self._block_rows // _COVARIANCE_ROWS)]
        n = sum(where.stop - where.start for where in chosen)
        if n < self.dim:  # the small matrix of products between examples has the same eigenvalues
            z = np.concatenate([self._block(where) for where in chosen])
            variances, among = np.linalg.eigh(z @ z.T / n)
            kept = variances > _SMALLEST_VARIANCE * variances[-1]
            return variances[kept], z.T @ (among[:, kept] / np.sqrt(n * variances[kept]))
        covariance = np.zeros((self.dim, self.dim), np.float32)
        for where in chosen:
            block = self._block(where)
            covariance += block.T @ block
        variances, directions = np.linalg.eigh(covariance / n)
        kept = variances > _SMALLEST_VARIANCE * variances[-1]
        return variances[kept], directions[:, kept]


def _path(
    data: _Data, fold: np.ndarray, n_classes: int, class_weights: np.ndarray, strengths: Sequence[float]
) -> tuple[list[dict[str, float]], float, float, np.ndarray]:
    """Solve every fold, and everything, at each strength; stop when the held-out loss has turned upwards.

    Returns:
        What was found at each strength; the best one, its temperature, and its parameters (d + 1, folds + 1, classes).
    """
    example_weights = weights_of_examples(data.labels, class_weights)
    used = fold[None, :] != np.arange(N_FOLDS + 1)[:, None]  # row k leaves fold k out; the last row leaves out nothing
    weights = used * example_weights
    path: list[dict[str, float]] = []
    best_loss, best, worse = np.inf, (strengths[0], 1.0, np.empty(0)), 0
    parameters: np.ndarray | None = None
    for strength in strengths:
        parameters = _minimise(data, weights, n_classes, strength, start=parameters, tolerance=1e-2)
        temperature, found = _held_out(data, parameters, fold, example_weights)
        path.append({"strength": strength, **found})
        if found["log_loss"] < _BETTER * best_loss:
            best_loss, best, worse = found["log_loss"], (strength, temperature, parameters), 0
            continue
        worse += 1
        if worse == _PATIENCE or found["log_loss"] > _CLEARLY_WORSE * best_loss:
            break
    return path, *best


def _minimise(
    data: _Data,
    weights: np.ndarray,
    n_classes: int,
    strength: float,
    *,
    start: np.ndarray | None,
    tolerance: float,
) -> np.ndarray:
    """Solve k problems that differ in their example weights (k, n); gives parameters (d + 1, k, classes), bias last."""
    shape = (data.dim + 1, len(weights), n_classes)
    shares = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    curvature = _TYPICAL_VARIANCE * data.variances + strength

    def scaled(x: np.ndarray, power: float) -> np.ndarray:
        """H^power x, for x (d, m); beside the principal directions the variance is 0."""
        rest = strength**power
        along = data.directions.T @ x
        return (rest * x + data.directions @ ((curvature**power - rest)[:, None] * along)).astype(np.float32)

    def parameters_of(variables: np.ndarray) -> np.ndarray:
        parameters = variables.reshape(data.dim + 1, -1).astype(np.float32)
        parameters[:-1] = scaled(parameters[:-1], -0.5)
        return parameters

    def objective(variables: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = parameters_of(variables)
        kernel, bias = parameters[:-1], parameters[-1].reshape(shape[1:])
        gradient = np.zeros_like(parameters)
        loss = 0.5 * strength * float(np.square(kernel).sum(dtype=np.float64))

        def block_loss(where: slice, block: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            logits = (block @ kernel).reshape(len(block), *shape[1:]) + bias
            share = shares[:, where].T
            losses, error = cross_entropy(logits, data.labels[where])
            error *= share[:, :, None]
            flat = error.reshape(len(block), -1)
            return float((share * losses).sum(dtype=np.float64)), block.T @ flat, flat.sum(0)

        for block_sum, block_gradient, block_bias in data.map(block_loss):
            loss += block_sum
            gradient[:-1] += block_gradient
            gradient[-1] += block_bias
        gradient[:-1] = scaled(gradient[:-1] + strength * kernel, -0.5)
        return loss, gradient.ravel().astype(np.float64)

    initial = np.zeros((data.dim + 1, shape[1] * n_classes))
    if start is not None:
        initial[:] = start.reshape(initial.shape)
        initial[:-1] = scaled(initial[:-1], 0.5)
    return parameters_of(minimise(objective, initial.ravel(), tolerance=tolerance)).reshape(shape)


def _held_out(
    data: _Data, parameters: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> tuple[float, dict[str, float]]:
    """The best temperature; weighted log loss at it, and plain accuracy, of examples judged without their fold."""
    probabilities = _out_of_fold(data, parameters, fold)
    if is_multi_label(data.labels):
        return 1.0, {"log_loss": float(np.average(log_losses(data.labels, probabilities), weights=weights))}
    temperature = fit_temperature(data.labels, probabilities, weights)
    losses = log_losses(data.labels, at_temperature(probabilities, temperature))
    return temperature, {
        "log_loss": float(np.average(losses, weights=weights)),
        "accuracy": float((probabilities.argmax(1) == data.labels).mean()),
    }


def _curve(
    data: _Data,
    groups: np.ndarray,
    n_classes: int,
    class_weights: np.ndarray,
    strength: float,
    of_folds: np.ndarray,
    fold: np.ndarray,
    seed: int,
) -> Curve | None:
    """Solve on a few tenths of the examples; four fifths are what cross-validation has solved already."""
    labels = data.labels
    if is_multi_label(labels):
        return None
    tenth = folds(labels, groups, 10, seed)
    if np.bincount(10 * labels + tenth, minlength=10 * n_classes).min() < _FEWEST_IN_TENTH:
        return None
    weights = weights_of_examples(labels, class_weights)
    sizes, right = [], []
    for count in _TENTHS:
        drawn = [(np.arange(count) + draw * count) % 10 for draw in range(_DRAWS)]
        used = np.stack([np.isin(tenth, which) for which in drawn])
        # From nowhere: what has been solved has seen the examples that are to judge.
        parameters = _minimise(data, used * weights, n_classes, strength * 10 / count, start=None, tolerance=1e-2)
        for draw in range(_DRAWS):
            said = _out_of_fold(data, parameters[:, draw : draw + 1], np.zeros(len(data), int)).argmax(1)
            sizes.append(int(used[draw].sum()))
            right.append(np.where(used[draw], -1, said == labels))
    said = _out_of_fold(data, of_folds, fold).argmax(1)
    return Curve(
        np.array([*sizes, round(len(data) * (1 - 1 / N_FOLDS))]), labels, np.array([*right, said == labels], np.int8)
    )


def _out_of_fold(data: _Data, parameters: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Probabilities, float32 (n, classes), of each example by the problem without its fold."""
    _, k, n_classes = parameters.shape
    kernel, bias = parameters[:-1].reshape(data.dim, -1).astype(np.float32), parameters[-1].astype(np.float32)

    def judge(where: slice, block: np.ndarray) -> np.ndarray:
        logits = (block @ kernel).reshape(len(block), k, n_classes)
        return activate(logits[np.arange(len(block)), fold[where]] + bias[fold[where]], activation_of(data.labels))

    return np.concatenate(list(data.map(judge)))


def _restated(parameters: np.ndarray, of: _Data, to: _Data) -> np.ndarray:
    """Parameters for features as ``of`` standardises them, for those that ``to`` standardises."""
    if of is to:
        return parameters
    kernel, bias = parameters[:-1], parameters[-1]
    shift = np.tensordot((to.mean - of.mean) / of.scale, kernel, 1)
    return np.concatenate([kernel * (to.scale / of.scale)[:, None, None], (bias + shift)[None]])


def _fold_of_each(sample: np.ndarray, fold: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The fold of every example, int (n,); those beyond the sample were in none, and take that of their unit or any."""
    fold_of_group = np.arange(int(groups.max()) + 1) % N_FOLDS
    fold_of_group[groups[sample]] = fold
    return fold_of_group[groups]


def stratified_sample(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Sorted positions of about ``size`` examples with every class in its share (and at least one fold's worth)."""
    if len(labels) <= size:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    chosen, parts = [], strata(labels)
    share = size / sum(map(len, parts))  # an example with several labels is in several of them
    for members in parts:
        count = max(min(len(members), 2 * N_FOLDS), round(len(members) * share))
        chosen.append(rng.permutation(members)[:count])
    return np.unique(np.concatenate(chosen))


def in_blocks(indices: np.ndarray) -> Iterator[np.ndarray]:
    """Some at a time, so that their features need not all be in memory."""
    for start in range(0, len(indices), BLOCK_ROWS):
        yield indices[start : start + BLOCK_ROWS]
