"""Train an encoder on a few texts so that the features of one class become similar. Runs in a Keras process.

With a handful of examples per class, SetFit (Tunstall et al., arXiv 2209.11055) trains the encoder on pairs of them and
solves a head on its features. Here every example of a batch is compared with all others at once (supervised contrastive
learning, Khosla et al., arXiv 2004.11362): a batch of n texts then says as much as SetFit's n² pairs.

Whether that helps is measured on the same few examples by cross-validation: for each fold the encoder starts from the
original weights and never sees the texts that it is evaluated on. The last round trains on everything; its weights are
the result.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from headstart.system.keras_compat import train_step
from headstart.system.locks import patient_lock
from headstart.system.progress import Bar, Progress
from headstart.training.fine_tuning.job import FineTuneJob, diverged, no_result
from headstart.training.fine_tuning.optimizer import compile_model, layered_adamw
from headstart.training.fine_tuning.preparation import Preparation, prepare_training
from headstart.training.fine_tuning.variables import assign_values, copy_values, state_variables

TEMPERATURE = 0.1
"""Divides similarities: at a lower one the most similar examples count more."""

_TRAINED_TOKENS = 64  # of each text, in a step; one long text would make all others of its batch as long
_FEATURES_BATCH = 64  # texts whose features are computed together


def train_contrastively(folds: list[int], progress: Progress, **job: Any) -> dict[str, Any]:
    """Train once without each fold, then on everything.

    Writes ``tuned.npz``, the weights of the last round, and ``features.npy``, float32 (rounds, n, d): the features of
    all training examples by the encoder of each round.

    Args:
        folds: number of each training example's fold, from 0.
        progress: follows the work.
        job: the fields of :class:`headstart.training.fine_tuning.job.FineTuneJob`; the head is not used.

    Returns:
        The facts for the report; or the reason of :func:`.job.no_result`.

    Raises:
        IntegrityError: something frozen has changed.
    """
    with patient_lock(Path(job["folder"], "training.lock"), "training the same base"):
        try:
            return _ContrastiveTrainer(prepare_training(FineTuneJob(**job), progress)).run(np.array(folds), progress)
        except TimeoutError:
            return no_result("The time limit was over before contrastive fine-tuning was: allow more time.")


class _ContrastiveTrainer:
    def __init__(self, preparation: Preparation) -> None:
        import keras

        self.preparation, self.job, self.batches = preparation, preparation.job, preparation.batches
        self.started = time.monotonic()
        self.steps = self.job.epochs * self.batches.steps  # of one round
        part, config = preparation.part, preparation.config
        self.precision = "float32"  # there are too few steps to find out which one is faster
        self.model = keras.Model(*part.features(preparation.view_shape, self.precision))
        optimizer = layered_adamw(config, self.job.learning_rate, part.network, part.blocks, self.steps)
        compile_model(self.model, optimizer, supervised_contrastive_loss, [])

    def run(self, folds: np.ndarray, progress: Progress) -> dict[str, Any]:
        """All rounds; see :func:`train_contrastively`."""
        start = copy_values(state_variables(self.model))
        groups = np.asarray(self.batches.task.contrastive_groups(self.batches.labels))
        n_rounds = int(folds.max()) + 2  # no example is in the fold of the last one
        features = []
        with progress.start("contrastive fine-tuning", n_rounds * self.steps, "steps") as bar:
            for number in range(n_rounds):
                assign_values(state_variables(self.model), start)
                self._train(np.flatnonzero(folds != number), groups, number, bar)
                features.append(self._features())
        if not np.isfinite(features).all():
            return diverged(self.job.learning_rate)
        np.save(self.preparation.folder / "features.npy", np.stack(features))
        return {
            "folds": n_rounds - 1,
            "steps": self.steps,
            "learning_rate": self.job.learning_rate,
            "precision": self.precision,
            "seconds": round(time.monotonic() - self.started, 2),
            "views_s": round(self.preparation.views_s, 2),
            "frozen": self.preparation.save_weights(),
        }

    def _train(self, members: np.ndarray, groups: np.ndarray, number: int, bar: Bar) -> None:
        limit_s = self.preparation.config.time_limit or float("inf")
        rng = np.random.default_rng([self.job.seed, number])
        for _ in range(self.steps):
            batch = rng.permutation(members)[: self.batches.size]
            inputs = self.batches.original_inputs(batch)[:, :_TRAINED_TOKENS]
            train_step(self.model, inputs, groups[batch][:, None], None)
            bar.advance(1)
            if time.monotonic() - self.started > limit_s:
                raise TimeoutError

    def _features(self) -> np.ndarray:
        """The encoder's features of all training examples, float32 (n, d)."""
        n = len(self.batches.labels)
        blocks = [np.arange(i, min(i + _FEATURES_BATCH, n)) for i in range(0, n, _FEATURES_BATCH)]
        inputs = map(self.batches.original_inputs, blocks)
        return np.concatenate([np.asarray(self.model.predict_on_batch(values)) for values in inputs])


def supervised_contrastive_loss(labels: Any, features: Any) -> Any:
    """How far each example of a batch is from those of its class, compared with all others.

        -mean over p of log( exp(z_i z_p / T) / sum over j != i of exp(z_i z_j / T) ),  p: the others of i's class

    where z are the features at length 1 (Khosla et al., arXiv 2004.11362, eq. 2).

    Args:
        labels: (n, 1), class of each example.
        features: (n, d).

    Returns:
        Tensor (n,); 0 for an example without others of its class.
    """
    from keras import ops

    z = ops.normalize(features, axis=-1)
    itself = ops.eye(ops.shape(z)[0], dtype=z.dtype)
    similarities = ops.matmul(z, ops.transpose(z)) / TEMPERATURE - 1e9 * itself
    log_shares = similarities - ops.logsumexp(similarities, axis=1, keepdims=True)
    same = ops.cast(ops.equal(labels, ops.transpose(labels)), z.dtype) - itself
    return -ops.sum(same * log_shares, axis=1) / ops.maximum(ops.sum(same, axis=1), 1)
