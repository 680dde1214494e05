"""The linear head: L2-regularised multinomial logistic regression, with l2 chosen by cross-validation.

    minimise over W, b:   sum_i w_i * CE(softmax(z_i W + b), y_i) / sum_i w_i  +  l2 / 2 * |W|^2

For multi-label data a sigmoid replaces the softmax, and CE is the sum of the binary cross-entropies of the labels:
one-vs-rest logistic regression, with the same l2 for all labels.

Here z are features standardised by the mean and standard deviation of the training examples. A few examples estimate a
standard deviation badly, and a feature that hardly varies among them would count too much in all others. So each
variance is shrunk towards the mean of all variances, as if it had been estimated from 50 more examples of the mean
variance (200 or 1,000 give the same results). With 4 photos of each class, a head for cats and dogs is then right about
96 % of them, and scikit-learn's on standardised features about 76 %; see benchmarks/few_heads.py.

The regularisation that finds the best directions for a few examples also makes the probabilities less confident than
they should be. So each l2 is evaluated by the log loss at the best temperature for the held-out folds, and the logits
of the head are divided by that temperature (see :func:`headstart.tasks.outputs.fit_temperature`).

The solver is L-BFGS. The folds of the cross-validation and the fit on all examples are solved together, as one wide
matrix product per step, from the highest l2 to the lowest, each starting from the solution before. The standardisation
is folded into the result, which is an ordinary Dense layer.

Features are strongly correlated, so the problem is badly conditioned. It is solved in variables V with W = H^-1/2 V,
where H = p (1 - p) cov(z) + l2 I is approximately its Hessian: that takes a third to a tenth of the steps. Features
that fit in memory are turned to the principal axes first; there H is diagonal.

Wide features are solved along the :data:`MAX_AXES` principal axes of their standardised values, which are found by
random projections (Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011, algorithm 4.4).
The rest of their variance is mostly noise: on outputs of all blocks of a base, 4,960 values of an image, 512 axes give
the same results as 1,024, in a tenth of the time that all values take.

Rows come in blocks, so the same code works on features in memory and on disk.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import NamedTuple, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.data.parallel import map_ahead, thread_pool
from headstart.data.split import folds
from headstart.errors import InputError
from headstart.model_files.head_layers import activate
from headstart.tasks import ClassificationTask
from headstart.tasks.outputs import (
    at_temperature,
    fit_temperature,
    logits_of,
)
from headstart.training.head.lbfgs import minimise

L2_GRID = tuple(float(s) for s in 10.0 ** np.arange(2.0, -5.5, -0.5))
N_FOLDS = 5
BLOCK_ROWS = 1024
_MIN_BLOCK_ROWS = 512  # fewer are not worth a thread
MEMORY_BUDGET_BYTES = 128 * 1024 * 1024
"""Features up to this size are held in memory; larger sets are read from the cache in blocks at every step."""

MAX_SOLVED_DIM, MAX_AXES = 2048, 512
"""Wider features than the first are solved along so many principal axes."""

_MAX_CV_EXAMPLES = 20_000  # cross-validation uses a stratified sample of at most this size …
_MAX_CV_OPERATIONS = 4e10  # … and a smaller one where one step would take more multiply-adds than this
_BETTER_FACTOR = 0.999  # a lower l2 is better below this factor of the loss; less is chance, and a higher l2 is safer
_PATIENCE = 2  # the path stops after this many values that are not better than the best one …
_WORSE_FACTOR = 1.02  # … or after one whose loss is higher by this factor
_FEW_TIMES = 2  # as many examples or features as axes: then all axes are computed exactly
_OVERSAMPLING, _POWER_ITERATIONS = 16, 2  # of the random projections; singular values here fall slowly
_COVARIANCE_ROWS = 8192  # enough to precondition
_PRIOR_EXAMPLES = 50  # of the mean variance, added to the examples that a variance is estimated from
_MIN_VARIANCE = 1e-6  # of the largest one; what float32 distinguishes from 0
_OUTPUT_VARIANCE = 0.1  # p (1 - p) of a fairly confident prediction
_TENTHS, _DRAWS = (1, 2, 4), 3  # tenths of the examples for the learning curve, and how many samples of each size
_MIN_PER_TENTH = 2  # examples of each class
_MAX_CURVE_LOGITS = 1_000_000  # of each head of the learning curve

Result = TypeVar("Result")
RowReader = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LinearHead:
    """A solved linear head: its logits are ``features @ kernel + bias``.

    Attributes:
        kernel: float32 (d, classes).
        bias: float32 (classes,).
        l2: the regularisation, on standardised features.
        temperature: the logits of the solution were divided by it; 1 for multi-label data.
        path: for each value tried: ``l2``, and ``log_loss`` on the held-out folds; ``accuracy`` for single-label data.
        out_of_fold: float32 (n, classes), probabilities of each training example by a head with this l2 that was solved
            without its fold; None where all examples are in one fold.
        curve: accuracy with fewer examples; None for multi-label data and where a class has too few examples.
    """

    kernel: np.ndarray
    bias: np.ndarray
    l2: float
    temperature: float
    path: list[dict[str, float]]
    out_of_fold: np.ndarray | None
    curve: "Curve | None"


class Curve(NamedTuple):
    """Heads with the same l2 that were solved on parts of the training examples and evaluated on the others.

    Attributes:
        sizes: int (k,), number of examples that each was solved on.
        labels: int (n,), classes of all these examples.
        right: int8 (k, n), whether the prediction for an example is right; -1 where the head was solved on it.
        logits: float16 (k - 1, n, classes), of all heads but the last; None where they are many.
    """

    sizes: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    logits: np.ndarray | None = None


def solve(
    rows: RowReader,
    indices: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    *,
    task: ClassificationTask,
    groups: np.ndarray,
    class_weights: np.ndarray,
    seed: int,
    l2_grid: Sequence[float] = L2_GRID,
) -> LinearHead:
    """Choose l2 by cross-validation and solve the head on all training examples.

    Args:
        rows: gives the features of the examples at given indices, float32 (k, d).
        indices: the training examples, int (n,).
        labels: of these, an array (n, …) as the task encodes them.
        n_classes: number of classes.
        task: what is predicted.
        groups: int (n,); examples of one group (or identical files) stay in one fold.
        class_weights: float (n_classes,), the weight of one example of each class; the same for multi-label data.
        seed: of the folds.
        l2_grid: values to choose from, the highest first.

    Raises:
        InputError: the features are not finite.
    """
    # BLAS threads wait for each other in busy loops: beside other work, two of them are ten times slower than one. So
    # BLAS computes in the thread that calls it, and the cores share the blocks.
    with threadpool_limits(1, user_api="blas"):
        data = _Data(rows, indices, labels, task)
        directions = data.top_directions(MAX_AXES) if data.dim > MAX_SOLVED_DIM else data.spanning_directions()
        if directions is None:
            return _solve(data, labels, n_classes, groups, class_weights, seed, l2_grid)
        head = _solve(data.along(directions), labels, n_classes, groups, class_weights, seed, l2_grid)
        return _on_features(head, directions, data.mean, data.scale)


def _on_features(head: LinearHead, directions: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> LinearHead:
    """A head on coordinates along the directions of standardised features, as a head on the features themselves."""
    kernel = (directions @ head.kernel) / scale[:, None]
    bias = head.bias - mean @ kernel
    return replace(head, kernel=kernel.astype(np.float32), bias=bias.astype(np.float32))


def _solve(
    data: "_Data",
    labels: np.ndarray,
    n_classes: int,
    groups: np.ndarray,
    class_weights: np.ndarray,
    seed: int,
    l2_grid: Sequence[float],
) -> LinearHead:
    width = data.dim * n_classes * (N_FOLDS + 1)
    sample = stratified_sample(
        data.task.strata(labels), len(labels), min(_MAX_CV_EXAMPLES, max(2000, int(_MAX_CV_OPERATIONS / width))), seed
    )
    cv_data = data if len(sample) == len(labels) else data.part(sample)
    fold = folds(data.task, labels[sample], groups[sample], N_FOLDS, seed)
    path: list[dict[str, float]] = []
    best, temperature, fold_parameters = 1.0, 1.0, None
    if len(np.unique(fold)) > 1:  # otherwise nothing would be left to train on, as with copies of one example per class
        path, best, temperature, fold_parameters = _path(cv_data, fold, n_classes, class_weights, l2_grid)
    l2 = best * len(sample) / len(labels)  # the best value falls as examples are added, about as 1/n
    weights = data.task.example_weights(labels, class_weights)[None, :]
    start = None if fold_parameters is None else fold_parameters[:, -1:, :]
    parameters = _minimise(data, weights, n_classes, l2, start=start, tolerance=3e-3)
    kernel, bias = parameters[:-1, 0, :] / temperature, parameters[-1, 0, :] / temperature
    kernel = kernel / data.scale[:, None]
    out_of_fold, curve = None, None
    if fold_parameters is not None:
        fold_parameters = fold_parameters / temperature
        out_of_fold = _out_of_fold(
            data, _converted(fold_parameters, cv_data, data), _fold_of_each(sample, fold, groups)
        )
        curve = _curve(
            cv_data, groups[sample], n_classes, class_weights, best, fold_parameters, fold, seed, temperature
        )
    return LinearHead(
        kernel=kernel.astype(np.float32),
        bias=(bias - data.mean @ kernel).astype(np.float32),
        l2=l2,
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
        scale: float (d,), their standard deviation.
        directions: float32 (d, q), orthonormal; the first is that of the largest variance.
    """

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(
        cls, rows: RowReader, indices: np.ndarray, labels: np.ndarray, task: ClassificationTask, max_directions: int
    ) -> "Axes":
        """The axes of the examples at ``indices``."""
        data = _Data(rows, indices, labels, task)
        return cls(data.mean, data.scale, data.top_directions(max_directions))

    def first(self, number: int) -> "Axes":
        """The ``number`` axes with the largest variance."""
        return replace(self, directions=self.directions[:, :number])

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Coordinates, float32 (n, q), of features (n, d)."""
        return ((features - self.mean) / self.scale).astype(np.float32) @ self.directions


class CrossValidation:
    """The cross-validated log loss of linear heads, on features that are standardised already.

    Args:
        rows: float32 (n, d).
        labels: an array (n, …) as the task encodes them.
        task: what is predicted.
        n_classes: number of classes.
        fold: int (n,), from 0 on.
        weights: float (n,), of the examples.
    """

    def __init__(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        task: ClassificationTask,
        n_classes: int,
        fold: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        data = _Data(rows.__getitem__, np.arange(len(rows)), labels, task, standardise=False)
        directions = data.spanning_directions()
        self._data = data if directions is None else data.along(directions)
        self._n_classes, self._fold, self._weights = n_classes, fold, weights

    def log_loss(self, l2: float) -> float:
        """Log loss at the best temperature, where each example is predicted by a head solved without its fold."""
        used = self._fold[None, :] != np.arange(int(self._fold.max()) + 1)[:, None]
        parameters = _minimise(self._data, used * self._weights, self._n_classes, l2, start=None, tolerance=1e-2)
        return _held_out(self._data, parameters, self._fold, self._weights)[1]["log_loss"]


class _Data:
    """Standardised features with labels, in blocks; in memory if they are small enough, else read at every step."""

    def __init__(
        self,
        rows: RowReader,
        indices: np.ndarray,
        labels: np.ndarray,
        task: ClassificationTask,
        *,
        standardise: bool = True,
        variances: np.ndarray | None = None,
    ) -> None:
        self._rows, self._indices, self.labels, self.task = rows, indices, labels, task
        self._standardise, self._variances = standardise, variances
        share = -(-len(indices) // (os.cpu_count() or 1))
        self._block_rows = min(BLOCK_ROWS, max(_MIN_BLOCK_ROWS, share))
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
        varies = variance > 1e-12
        mean_variance = variance[varies].mean() if varies.any() else 1.0
        shrunk = (len(indices) * variance + _PRIOR_EXAMPLES * mean_variance) / (len(indices) + _PRIOR_EXAMPLES)
        self.scale = np.where(varies, np.sqrt(shrunk), 1.0)
        if not standardise:
            self.mean, self.scale = np.zeros(self.dim), np.ones(self.dim)
        self._array: np.ndarray | None = None
        if len(indices) * self.dim * 4 <= MEMORY_BUDGET_BYTES:
            self._array = np.concatenate([self._block(where) for where in self._slices()])

    def __len__(self) -> int:
        return len(self._indices)

    def part(self, positions: np.ndarray) -> "_Data":
        """Some of the examples."""
        return _Data(
            self._rows,
            self._indices[positions],
            self.labels[positions],
            self.task,
            standardise=self._standardise,
            variances=self._variances,
        )

    def along(self, directions: np.ndarray) -> "_Data":
        """The coordinates of the examples along principal directions, float32 (d, q)."""
        rows = np.concatenate(list(self.map(lambda _, block: block @ directions)))
        variances = np.square(rows).mean(0)
        return _Data(
            rows.__getitem__, np.arange(len(rows)), self.labels, self.task, standardise=False, variances=variances
        )

    def map(
        self, function: Callable[[slice, np.ndarray], Result], pool: ThreadPoolExecutor | None = None
    ) -> Iterator[Result]:
        """Call ``function(rows, block)`` for every block, on all cores; results in order."""

        def call(where: slice) -> Result:
            return function(where, self._block(where))

        slices = self._slices()
        return map(call, slices) if len(slices) == 1 else map_ahead(call, slices, pool)

    def _slices(self) -> list[slice]:
        n, step = len(self._indices), self._block_rows
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]

    def _block(self, where: slice) -> np.ndarray:
        if self._array is not None:
            return self._array[where]
        block = self._rows(self._indices[where])
        block -= self.mean.astype(np.float32)
        block /= self.scale.astype(np.float32)
        return block

    def top_directions(self, count: int) -> np.ndarray:
        """The directions, float32 (d, q), of the largest variances, the largest first; q is ``count`` or the rank."""
        if min(len(self), self.dim) <= _FEW_TIMES * count:
            return self.principal_directions[1][:, ::-1][:, :count].astype(np.float32)
        probes = np.random.default_rng(0).standard_normal((self.dim, count + _OVERSAMPLING), np.float32)
        for _ in range(_POWER_ITERATIONS + 1):
            basis, _ = np.linalg.qr(probes)
            probes = self._scatter_times(basis)
        variances, rotation = np.linalg.eigh(basis.T @ probes)
        is_large = variances > _MIN_VARIANCE * variances[-1]
        return (basis @ rotation[:, is_large])[:, ::-1][:, :count].astype(np.float32)

    def spanning_directions(self) -> np.ndarray | None:
        """All principal directions; None where features are not in memory, or may vary in other directions as well.

        Along them, a step of the solver has products with the examples only, and with few examples short ones.
        """
        if self._array is None:
            return None
        directions = self.principal_directions[1]
        return directions if len(self) <= _COVARIANCE_ROWS or directions.shape[1] == self.dim else None

    def _scatter_times(self, x: np.ndarray) -> np.ndarray:
        """The sum over all examples z of z z^T x, float32 (d, m), for x (d, m)."""
        products = self.map(lambda _, block: block.T @ (block @ x))
        return reduce(np.add, products)

    def preconditioner(self, l2: float) -> Callable[[np.ndarray, float], np.ndarray]:
        """A function of x, (d, m), and a power that gives H^power x, float32 (d, m)."""
        if self._variances is not None:
            curvature = (_OUTPUT_VARIANCE * self._variances + l2)[:, None]
            return lambda x, power: (curvature**power * x).astype(np.float32)
        variances, directions = self.principal_directions
        along_directions = (_OUTPUT_VARIANCE * variances + l2)[:, None]

        def scaled(x: np.ndarray, power: float) -> np.ndarray:
            rest = l2**power  # beside the principal directions the variance is 0
            return (rest * x + directions @ ((along_directions**power - rest) * (directions.T @ x))).astype(np.float32)

        return scaled

    @cached_property
    def principal_directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Variances, float32 (r,), along directions, float32 (d, r), from blocks spread over the examples."""
        slices = self._slices()
        sampled_slices = slices[:: max(1, len(slices) * self._block_rows // _COVARIANCE_ROWS)]
        n = sum(where.stop - where.start for where in sampled_slices)
        if n < self.dim:  # the small matrix of products between examples has the same eigenvalues
            z = np.concatenate([self._block(where) for where in sampled_slices])
            variances, vectors = np.linalg.eigh(z @ z.T / n)
            is_large = variances > _MIN_VARIANCE * variances[-1]
            return variances[is_large], z.T @ (vectors[:, is_large] / np.sqrt(n * variances[is_large]))
        covariance = np.zeros((self.dim, self.dim), np.float32)
        for where in sampled_slices:
            block = self._block(where)
            covariance += block.T @ block
        variances, directions = np.linalg.eigh(covariance / n)
        is_large = variances > _MIN_VARIANCE * variances[-1]
        return variances[is_large], directions[:, is_large]


def _path(
    data: _Data, fold: np.ndarray, n_classes: int, class_weights: np.ndarray, l2_grid: Sequence[float]
) -> tuple[list[dict[str, float]], float, float, np.ndarray]:
    """Solve every fold, and all examples, for each l2; stop when the loss on held-out folds rises.

    Returns:
        The figures for each l2; the best l2, its temperature, and its parameters (d + 1, folds + 1, classes).
    """
    example_weights = data.task.example_weights(data.labels, class_weights)
    used = fold[None, :] != np.arange(N_FOLDS + 1)[:, None]  # row k leaves out fold k; the last row uses all examples
    weights = used * example_weights
    path: list[dict[str, float]] = []
    best_loss, best, worse = np.inf, (l2_grid[0], 1.0, np.empty(0)), 0
    parameters: np.ndarray | None = None
    for l2 in l2_grid:
        parameters = _minimise(data, weights, n_classes, l2, start=parameters, tolerance=1e-2)
        temperature, figures = _held_out(data, parameters, fold, example_weights)
        path.append({"l2": l2, **figures})
        if figures["log_loss"] < _BETTER_FACTOR * best_loss:
            best_loss, best, worse = figures["log_loss"], (l2, temperature, parameters), 0
            continue
        worse += 1
        if worse == _PATIENCE or figures["log_loss"] > _WORSE_FACTOR * best_loss:
            break
    return path, *best


def _minimise(
    data: _Data,
    weights: np.ndarray,
    n_classes: int,
    l2: float,
    *,
    start: np.ndarray | None,
    tolerance: float,
) -> np.ndarray:
    """Solve k problems that differ in their example weights (k, n); gives parameters (d + 1, k, classes), bias last."""
    shape = (data.dim + 1, len(weights), n_classes)
    shares = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    scaled = data.preconditioner(l2)

    def parameters_of(variables: np.ndarray) -> np.ndarray:
        parameters = variables.reshape(data.dim + 1, -1).astype(np.float32)
        parameters[:-1] = scaled(parameters[:-1], -0.5)
        return parameters

    def objective(variables: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = parameters_of(variables)
        kernel, bias = parameters[:-1], parameters[-1].reshape(shape[1:])
        gradient = np.zeros_like(parameters)
        loss = 0.5 * l2 * float(np.square(kernel).sum(dtype=np.float64))

        def block_loss(where: slice, block: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            logits = (block @ kernel).reshape(len(block), *shape[1:]) + bias
            share = shares[:, where].T
            losses, error = data.task.cross_entropy(logits, data.labels[where])
            error *= share[:, :, None]
            flat = error.reshape(len(block), -1)
            return float((share * losses).sum(dtype=np.float64)), block.T @ flat, flat.sum(0)

        for block_sum, block_gradient, block_bias in data.map(block_loss, pool):
            loss += block_sum
            gradient[:-1] += block_gradient
            gradient[-1] += block_bias
        gradient[:-1] = scaled(gradient[:-1] + l2 * kernel, -0.5)
        return loss, gradient.ravel().astype(np.float64)

    initial = np.zeros((data.dim + 1, shape[1] * n_classes))
    if start is not None:
        initial[:] = start.reshape(initial.shape)
        initial[:-1] = scaled(initial[:-1], 0.5)
    with thread_pool() as pool:
        return parameters_of(minimise(objective, initial.ravel(), tolerance=tolerance)).reshape(shape)


def _held_out(
    data: _Data, parameters: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> tuple[float, dict[str, float]]:
    """The best temperature; and the weighted log loss and the scores of the task of predictions out of fold."""
    probabilities = _out_of_fold(data, parameters, fold)
    task, temperature = data.task, 1.0
    if task.has_confidence:
        temperature = fit_temperature(data.labels, probabilities, weights)
        probabilities = at_temperature(probabilities, temperature)
    losses = task.log_losses(data.labels, probabilities)
    scores = task.scores(data.labels, probabilities)
    return temperature, {"log_loss": float(np.average(losses, weights=weights)), **scores}


def _curve(
    data: _Data,
    groups: np.ndarray,
    n_classes: int,
    class_weights: np.ndarray,
    l2: float,
    fold_parameters: np.ndarray,
    fold: np.ndarray,
    seed: int,
    temperature: float,
) -> Curve | None:
    """Solve on a few tenths of the examples; four fifths were solved in cross-validation."""
    labels = data.labels
    if not data.task.has_learning_curve:
        return None
    tenth = folds(data.task, labels, groups, 10, seed)
    if np.bincount(10 * labels + tenth, minlength=10 * n_classes).min() < _MIN_PER_TENTH:
        return None
    weights = data.task.example_weights(labels, class_weights)
    sizes, right, logits = [], [], []
    for count in _TENTHS:
        draws = [(np.arange(count) + draw * count) % 10 for draw in range(_DRAWS)]
        used = np.stack([np.isin(tenth, tenths) for tenths in draws])
        # Not from an earlier solution: that was solved on examples that are used for evaluation here.
        parameters = _minimise(data, used * weights, n_classes, l2 * 10 / count, start=None, tolerance=1e-2)
        for draw in range(_DRAWS):
            probabilities = _out_of_fold(data, parameters[:, draw : draw + 1], np.zeros(len(data), int))
            predicted = probabilities.argmax(1)
            logits.append((logits_of(probabilities) / temperature).astype(np.float16))
            sizes.append(int(used[draw].sum()))
            right.append(np.where(used[draw], -1, predicted == labels))
    predicted = _out_of_fold(data, fold_parameters, fold).argmax(1)
    sizes.append(round(len(data) * (1 - 1 / N_FOLDS)))
    is_small = len(labels) * n_classes <= _MAX_CURVE_LOGITS
    return Curve(
        np.array(sizes), labels, np.array([*right, predicted == labels], np.int8),
        np.array(logits) if is_small else None,
    )  # fmt: skip


def _out_of_fold(data: _Data, parameters: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Probabilities, float32 (n, classes), of each example by the head that was solved without its fold."""
    _, k, n_classes = parameters.shape
    kernel, bias = parameters[:-1].reshape(data.dim, -1).astype(np.float32), parameters[-1].astype(np.float32)

    def predict(where: slice, block: np.ndarray) -> np.ndarray:
        logits = (block @ kernel).reshape(len(block), k, n_classes)
        return activate(logits[np.arange(len(block)), fold[where]] + bias[fold[where]], data.task.activation)

    return np.concatenate(list(data.map(predict)))


def _converted(parameters: np.ndarray, source: _Data, target: _Data) -> np.ndarray:
    """Parameters for features as ``source`` standardises them, converted to the standardisation of ``target``."""
    if source is target:
        return parameters
    kernel, bias = parameters[:-1], parameters[-1]
    shift = np.tensordot((target.mean - source.mean) / source.scale, kernel, 1)
    return np.concatenate([kernel * (target.scale / source.scale)[:, None, None], (bias + shift)[None]])


def _fold_of_each(sample: np.ndarray, fold: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The fold of every example, int (n,); one outside the sample takes that of its group, or any."""
    fold_of_group = np.arange(int(groups.max()) + 1) % N_FOLDS
    fold_of_group[groups[sample]] = fold
    return fold_of_group[groups]


def stratified_sample(strata: Sequence[np.ndarray], n: int, size: int, seed: int) -> np.ndarray:
    """Sorted positions of about ``size`` of n examples: each stratum in proportion, at least enough for all folds."""
    if n <= size:
        return np.arange(n)
    rng = np.random.default_rng(seed)
    share, sampled = size / sum(map(len, strata)), []  # an example may be in several strata
    for members in strata:
        count = max(min(len(members), 2 * N_FOLDS), round(len(members) * share))
        sampled.append(rng.permutation(members)[:count])
    return np.unique(np.concatenate(sampled))


def in_blocks(indices: np.ndarray) -> Iterator[np.ndarray]:
    """Indices in blocks, so their features need not be in memory together."""
    for start in range(0, len(indices), BLOCK_ROWS):
        yield indices[start : start + BLOCK_ROWS]
