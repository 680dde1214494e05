"""Small networks on features, trained in NumPy: heads with hidden layers, of which a search tries dozens.

Keras takes seconds to start, and about a second to build and trace a network: longer than it takes to train one on a
thousand vectors. Here several networks of one architecture are trained together, each without one fold of the examples,
as cross-validation needs them. The optimizer is AdamW (Loshchilov and Hutter, arXiv 1711.05101), with dropout before
each layer and noise on the features, which augments them (DeVries and Taylor, arXiv 1702.05538).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from headstart.model_files.head_layers import Layers, activate
from headstart.tasks import ClassificationTask
from headstart.training.early_stopping import EarlyStopping
from headstart.training.head.linear import RowReader

_STEPS, _BATCH_SIZES = 16, (32, 128)  # steps in an epoch, where the size of a batch is then in this range
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # of Adam


@dataclass(frozen=True)
class NetworkConfig:
    """The architecture of a network, and how it is trained.

    Args:
        units: sizes of the hidden layers.
        dropout: rate before each layer.
        noise: standard deviation of the normal noise on the features, which have a standard deviation of about 1.
        weight_decay: of AdamW.
        learning_rate: of AdamW.
    """

    units: tuple[int, ...]
    dropout: float
    noise: float
    weight_decay: float
    learning_rate: float


class Networks:
    """Networks of one architecture on the same examples, each with its own example weights.

    Args:
        config: of all networks.
        width: d, the number of features, which have a standard deviation of about 1.
        labels: an array (n, …) as the task encodes them.
        n_classes: number of classes.
        task: what is predicted.
        weights: float (k, n), of each example for each network; 0 where the network is not trained on it.
        seed: of everything random.
    """

    def __init__(
        self,
        config: NetworkConfig,
        width: int,
        labels: np.ndarray,
        n_classes: int,
        *,
        task: ClassificationTask,
        weights: np.ndarray,
        seed: int,
    ) -> None:
        self.config, self.labels, self.task = config, labels, task
        self.weights = (weights / weights.mean(1, keepdims=True)).astype(np.float32)
        self.rng = np.random.default_rng(seed)
        sizes, k = [width, *config.units, n_classes], len(weights)
        self.parameters: list[np.ndarray] = []  # kernel (k, in, out) and bias (k, 1, out) of each layer
        for before, after in pairwise(sizes):
            spread = np.sqrt(2 / before) if len(self.parameters) < 2 * len(config.units) else np.sqrt(1 / before)
            kernel = self.rng.standard_normal((1, before, after), np.float32) * np.float32(spread)
            self.parameters += [np.repeat(kernel, k, 0), np.zeros((k, 1, after), np.float32)]
        self._moments = [(np.zeros_like(values), np.zeros_like(values)) for values in self.parameters]
        self._steps = 0

    def epoch(self, rows: RowReader) -> float:
        """Train on all examples once; gives their mean loss during training, over all networks.

        Args:
            rows: gives the features of the examples at some positions, float32 (m, d).
        """
        order, total = self.rng.permutation(len(self.labels)), 0.0
        size = min(max(len(order) // _STEPS, _BATCH_SIZES[0]), _BATCH_SIZES[1])
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            total += self._step(rows(batch), batch)
        return total / self.weights.size

    def probabilities(self, rows: np.ndarray, numbers: np.ndarray | None = None) -> np.ndarray:
        """Float32 (m, classes), of features (m, d).

        Args:
            rows: the features.
            numbers: of the network that predicts each, int (m,); the first one for all where it is None.
        """
        out = np.empty((len(rows), self.parameters[-1].shape[-1]), np.float32)
        numbers = np.zeros(len(rows), int) if numbers is None else numbers
        for number in np.unique(numbers):
            x = rows[numbers == number]
            for kernel, bias in zip(self.parameters[:-2:2], self.parameters[1:-2:2], strict=True):
                x = np.maximum(x @ kernel[number] + bias[number], 0)
            logits = x @ self.parameters[-2][number] + self.parameters[-1][number]
            out[numbers == number] = activate(logits, self.task.activation)
        return out

    def layers(self, number: int = 0) -> Layers:
        """Current kernel and bias of each layer of one of the networks."""
        pairs = zip(self.parameters[::2], self.parameters[1::2], strict=True)
        return tuple((kernel[number].copy(), bias[number, 0].copy()) for kernel, bias in pairs)

    def _step(self, x: np.ndarray, batch: np.ndarray) -> float:
        config, k = self.config, len(self.weights)
        if config.noise:
            x = x + np.float32(config.noise) * self.rng.standard_normal(x.shape, np.float32)
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
        losses, error = self.task.cross_entropy(x.swapaxes(0, 1), self.labels[batch])
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
        rate = self.config.dropout
        if not rate:
            return np.float32(1)
        return (self.rng.random(shape, np.float32) >= rate).astype(np.float32) / np.float32(1 - rate)

    def _descend(self, gradients: list[np.ndarray]) -> None:
        self._steps += 1
        first, second = _BETAS
        rate = np.float32(self.config.learning_rate * np.sqrt(1 - second**self._steps) / (1 - first**self._steps))
        decay = np.float32(1 - self.config.learning_rate * self.config.weight_decay)
        for values, gradient, (mean, square) in zip(self.parameters, gradients, self._moments, strict=True):
            mean += np.float32(1 - first) * (gradient - mean)
            square += np.float32(1 - second) * (gradient * gradient - square)
            if values.shape[1] > 1:
                values *= decay
            values -= rate * mean / (np.sqrt(square) + np.float32(_EPSILON))


def cross_validate(
    config: NetworkConfig,
    rows: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    fold: np.ndarray,
    weights: np.ndarray,
    *,
    task: ClassificationTask,
    epochs: int,
    patience: int,
    seed: int,
    watch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> tuple[float, int]:
    """Cross-validate: each example is predicted by the network that was trained without its fold.

    Args:
        config: of the networks.
        rows: float32 (versions, n, d), features of every example: first the original, which is evaluated, then
            augmented versions. Training takes one version of an example at random each time.
        labels: an array (n, …) as the task encodes them.
        n_classes: number of classes.
        fold: int (n,).
        weights: float (n,), of the examples.
        task: what is predicted.
        epochs: maximum number of epochs.
        patience: epochs without a lower loss after which training stops.
        seed: of everything random.
        watch: called with each epoch and its loss; it may end the training by raising an exception.

    Returns:
        The lowest log loss, and the epoch that had it.
    """
    used = fold[None, :] != np.arange(int(fold.max()) + 1)[:, None]
    networks = Networks(config, rows.shape[-1], labels, n_classes, task=task, weights=used * weights, seed=seed)
    stopping = EarlyStopping(patience)
    for epoch in range(1, epochs + 1):
        networks.epoch(lambda batch: _one_version(rows, batch, networks.rng))
        loss = float(weights @ task.log_losses(labels, networks.probabilities(rows[0], fold)) / weights.sum())
        stopping.update(loss)
        watch(epoch, loss)
        if stopping.should_stop:
            break
    return stopping.best_loss, stopping.best_epoch


def train(
    config: NetworkConfig,
    rows: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    weights: np.ndarray,
    *,
    task: ClassificationTask,
    epochs: int,
    seed: int,
) -> Layers:
    """Train one network on all examples; see :func:`cross_validate`."""
    networks = Networks(config, rows.shape[-1], labels, n_classes, task=task, weights=weights[None], seed=seed)
    for _ in range(epochs):
        networks.epoch(lambda batch: _one_version(rows, batch, networks.rng))
    return networks.layers()


def _one_version(rows: np.ndarray, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows[rng.integers(len(rows), size=len(batch)), batch]
