"""Small networks on features, trained in NumPy: heads with hidden layers, which a search tries by the dozen.

Keras takes about a second to build and trace a network, which is longer than it takes to train one on a thousand
vectors, and seconds to start. Here several networks of one form are trained side by side, each without one fold of the
examples, which is what cross-validation asks for: AdamW (Loshchilov and Hutter, arXiv 1711.05101), dropout before each
layer, and noise on the features, which augments them (DeVries and Taylor, arXiv 1702.05538).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from headstart.training.head.linear import RowReader
from headstart.training.outputs import activate, activation_of, cross_entropy, log_losses
from headstart.training.training_data import Layers

_STEPS, _BATCHES = 16, (32, 128)  # steps in an epoch, if a batch is then neither smaller nor larger than this
_MOMENTS, _SMALL = (0.9, 0.999), 1e-8  # of Adam


@dataclass(frozen=True)
class Form:
    """How a network looks, and how it is trained.

    Args:
        units: sizes of the hidden layers.
        dropout: rate before each layer.
        noise: deviation of the normal noise on the features, whose own deviation is about 1.
        weight_decay: of AdamW.
        learning_rate: likewise.
    """

    units: tuple[int, ...]
    dropout: float
    noise: float
    weight_decay: float
    learning_rate: float


class Networks:
    """Networks of one form on the same examples, each with weights of its own for these.

    Args:
        form: of all of them.
        width: d, the number of features, which have a deviation of about 1.
        labels: int (n,), or 0 and 1 (n, n_classes).
        n_classes: number of classes.
        weights: float (k, n), of each example for each network; 0 where it is not to be seen.
        seed: of everything random.
    """

    def __init__(
        self, form: Form, width: int, labels: np.ndarray, n_classes: int, *, weights: np.ndarray, seed: int
    ) -> None:
        self.form, self.labels = form, labels
        self.weights = (weights / weights.mean(1, keepdims=True)).astype(np.float32)
        self.rng = np.random.default_rng(seed)
        sizes, k = [width, *form.units, n_classes], len(weights)
        self.parameters: list[np.ndarray] = []  # kernel (k, in, out) and bias (k, 1, out) of each layer
        for before, after in pairwise(sizes):
            spread = np.sqrt(2 / before) if len(self.parameters) < 2 * len(form.units) else np.sqrt(1 / before)
            kernel = self.rng.standard_normal((1, before, after), np.float32) * np.float32(spread)
            self.parameters += [np.repeat(kernel, k, 0), np.zeros((k, 1, after), np.float32)]
        self._moments = [(np.zeros_like(values), np.zeros_like(values)) for values in self.parameters]
        self._steps = 0

    def epoch(self, rows: RowReader) -> float:
        """See all examples once; gives their loss on the way, over all networks.

        Args:
            rows: gives the features of the examples at given positions, float32 (m, d).
        """
        order, total = self.rng.permutation(len(self.labels)), 0.0
        size = min(max(len(order) // _STEPS, _BATCHES[0]), _BATCHES[1])
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            total += self._step(rows(batch), batch)
        return total / self.weights.size

    def probabilities(self, rows: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
        """Float32 (m, classes), of features (m, d).

        Args:
            rows: the features.
            of: the network to ask about each, int (m,); the first one where it is left out.
        """
        out = np.empty((len(rows), self.parameters[-1].shape[-1]), np.float32)
        of = np.zeros(len(rows), int) if of is None else of
        for number in np.unique(of):
            x = rows[of == number]
            for kernel, bias in zip(self.parameters[:-2:2], self.parameters[1:-2:2], strict=True):
                x = np.maximum(x @ kernel[number] + bias[number], 0)
            logits = x @ self.parameters[-2][number] + self.parameters[-1][number]
            out[of == number] = activate(logits, activation_of(self.labels))
        return out

    def layers(self, number: int = 0) -> Layers:
        """Kernel and bias of each layer of one of the networks, as they are now."""
        pairs = zip(self.parameters[::2], self.parameters[1::2], strict=True)
        return tuple((kernel[number].copy(), bias[number, 0].copy()) for kernel, bias in pairs)

    def _step(self, x: np.ndarray, batch: np.ndarray) -> float:
        form, k = self.form, len(self.weights)
        if form.noise:
            x = x + np.float32(form.noise) * self.rng.standard_normal(x.shape, np.float32)
        x = np.broadcast_to(x, (k, *x.shape))
        inputs, masks = [], []
        for layer in range(0, len(self.parameters), 2):
            mask = self._mask(x.shape[1:])
            x = x * mask
            inputs.append(x)
            masks.append(mask)
            x = x @ self.parameters[layer] + self.parameters[layer + 1]
            if layer < len(self.parameters) - 2:
                x = np.maximum(x, 0)
        losses, error = cross_entropy(x.swapaxes(0, 1), self.labels[batch])
        weights = self.weights[:, batch].T
        error = (error * weights[:, :, None]).swapaxes(0, 1) / np.float32(len(batch))
        gradients: list[np.ndarray] = []
        for i in reversed(range(len(inputs))):
            gradients = [inputs[i].swapaxes(1, 2) @ error, error.sum(1, keepdims=True), *gradients]
            if i:
                error = (error @ self.parameters[2 * i].swapaxes(1, 2)) * masks[i] * (inputs[i] > 0)
        self._descend(gradients)
        return float((losses * weights).sum())

    def _mask(self, shape: tuple[int, ...]) -> np.ndarray | np.float32:
        rate = self.form.dropout
        if not rate:
            return np.float32(1)
        return (self.rng.random(shape, np.float32) >= rate).astype(np.float32) / np.float32(1 - rate)

    def _descend(self, gradients: list[np.ndarray]) -> None:
        self._steps += 1
        first, second = _MOMENTS
        rate = np.float32(self.form.learning_rate * np.sqrt(1 - second**self._steps) / (1 - first**self._steps))
        decay = np.float32(1 - self.form.learning_rate * self.form.weight_decay)
        for values, gradient, (mean, square) in zip(self.parameters, gradients, self._moments, strict=True):
            mean += np.float32(1 - first) * (gradient - mean)
            square += np.float32(1 - second) * (gradient * gradient - square)
            if values.shape[1] > 1:
                values *= decay
            values -= rate * mean / (np.sqrt(square) + np.float32(_SMALL))


def cross_validate(
    form: Form,
    rows: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    fold: np.ndarray,
    weights: np.ndarray,
    *,
    epochs: int,
    patience: int,
    seed: int,
    watch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> tuple[float, int]:
    """The least log loss of examples judged by the network without their fold, and after how many epochs it was.

    Args:
        form: of the networks.
        rows: float32 (versions, n, d): of every example as it is, which is what is judged, and of augmented versions of
            it, one of all of which is taken at random whenever the example is seen.
        labels: int (n,), or 0 and 1 (n, n_classes).
        n_classes: number of classes.
        fold: int (n,).
        weights: float (n,), of the examples.
        epochs: at most.
        patience: epochs without a lower loss after which training stops.
        seed: of everything random.
        watch: is told of every epoch and its loss, and may end the training by raising something.
    """
    used = fold[None, :] != np.arange(int(fold.max()) + 1)[:, None]
    networks = Networks(form, rows.shape[-1], labels, n_classes, weights=used * weights, seed=seed)
    best, best_epoch = np.inf, 0
    for epoch in range(1, epochs + 1):
        networks.epoch(lambda batch: _one_version(rows, batch, networks.rng))
        loss = float(weights @ log_losses(labels, networks.probabilities(rows[0], fold)) / weights.sum())
        if loss < best:
            best, best_epoch = loss, epoch
        watch(epoch, loss)
        if epoch - best_epoch >= patience or not np.isfinite(loss):
            break
    return best, best_epoch


def train(
    form: Form, rows: np.ndarray, labels: np.ndarray, n_classes: int, weights: np.ndarray, *, epochs: int, seed: int
) -> Layers:
    """Train one network on all examples; see :func:`cross_validate`."""
    networks = Networks(form, rows.shape[-1], labels, n_classes, weights=weights[None], seed=seed)
    for _ in range(epochs):
        networks.epoch(lambda batch: _one_version(rows, batch, networks.rng))
    return networks.layers()


def _one_version(rows: np.ndarray, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows[rng.integers(len(rows), size=len(batch)), batch]
