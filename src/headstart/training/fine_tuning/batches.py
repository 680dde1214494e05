"""The batches of fine-tuning: their order and views depend on the seed and the epoch alone, so a run can resume."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from headstart.config import FineTuneConfig
from headstart.data.examples import example_from_json
from headstart.data.parallel import map_ahead
from headstart.features.augmentation import augment, to_pipeline
from headstart.features.views import Views
from headstart.tasks import classification_task, get_task
from headstart.training.fine_tuning.job import FineTuneJob

_EVALUATION_BATCH = 64
_LENGTH_WINDOW = 16  # batches of texts that are sorted by length together


class Batch(NamedTuple):
    """What one training step takes.

    Attributes:
        inputs: uint8 pixels (n, h, w, 3), int32 token ids (n, t), or float32 outputs of the frozen part.
        targets: float32 (n, classes), 0 and 1.
        weights: float32 (n,), of the examples.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


class Batches:
    """The training and validation examples of a job, in batches.

    Args:
        job: has the labels, the seed and the class weights.
        config: of the fine-tuning.
        views: cached views of the examples, or pixels and token ids where nothing is frozen.
        is_text: whether the examples are texts.
        is_live: whether nothing is frozen, so images are augmented again in every epoch.

    Attributes:
        task: what is predicted.
        labels: of the training examples, as the task encodes them.
        val_labels: those of the validation examples.
        size: examples in a batch.
        steps: batches in an epoch.
    """

    def __init__(self, job: FineTuneJob, config: FineTuneConfig, views: Views, *, is_text: bool, is_live: bool) -> None:
        self.task = classification_task(get_task(job.task))
        self.labels, self.val_labels = np.array(job.train_labels), np.array(job.val_labels)
        self.size = min(config.batch_size, len(self.labels))
        self.steps = len(self.labels) // self.size
        self._seed, self._config, self._views = job.seed, config, views
        self._is_text, self._is_live = is_text, is_live
        self._lengths = np.array([example_from_json(fields).length for fields in job.train]) if is_text else None
        class_weights = np.array(job.class_weights, np.float32)
        self._weights = self.task.example_weights(self.labels, class_weights).astype(np.float32)
        self._targets = self.task.targets(self.labels, len(class_weights))

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0.

        All have the same size, or TensorFlow would trace the step again for the last one. The examples that are left
        over, others in every epoch, are not used in it.
        """
        rng = np.random.default_rng([self._seed, number])
        order = self._order(rng)
        views = rng.integers(0, 1 if self._is_live else 1 + self._config.views, len(self.labels))

        def batch(step: int) -> Batch:
            members = order[step * self.size : (step + 1) * self.size]
            values = self._views.train(members, views[members])
            if self._is_live and not self._is_text:
                values = augment(values, to_pipeline(self._config.augment), (self._seed, number, step))
            return Batch(self._as_input(values), self._targets[members], self._weights[members])

        return map_ahead(batch, range(self.steps))

    def original_inputs(self, members: np.ndarray) -> np.ndarray:
        """The inputs of training examples at positions, int (m,), not augmented."""
        return self._as_input(self._views.train(members, np.zeros_like(members)))

    def val_inputs(self) -> Iterator[np.ndarray]:
        """The inputs of all validation examples in order, in batches."""
        n = len(self.val_labels)
        for start in range(0, n, _EVALUATION_BATCH):
            yield self._as_input(self._views.val(np.arange(start, min(start + _EVALUATION_BATCH, n))))

    def _as_input(self, values: np.ndarray) -> np.ndarray:
        if self._is_text:  # as long as the longest text among them
            used = (values != 0).reshape(*values.shape[:2], -1).any((0, 2))
            values = values[:, : max(1, int(np.flatnonzero(used).max(initial=0)) + 1)]
        return values if values.dtype in (np.uint8, np.int32) else values.astype(np.float32)

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        """The examples of one epoch in their order; texts of about the same length come into one batch."""
        order = rng.permutation(len(self.labels))[: self.steps * self.size]
        if self._lengths is None:
            return order
        window = _LENGTH_WINDOW * self.size
        pieces = [order[i : i + window] for i in range(0, len(order), window)]
        order = np.concatenate([piece[np.argsort(self._lengths[piece], kind="stable")] for piece in pieces])
        return rng.permutation(order.reshape(-1, self.size)).ravel()
