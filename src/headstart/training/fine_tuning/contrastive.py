"""Train an encoder on few texts so that those of one class come to lie together. Runs in a Keras process.

With a handful of examples a class, SetFit (Tunstall et al., arXiv 2209.11055) trains the encoder on pairs of them and
solves a head on what it gives then. Here every example of a batch is compared with all others at once (supervised
contrastive learning, Khosla et al., arXiv 2004.11362), which says as much about a batch of n texts as SetFit's n² pairs
do. The views, the cut, the optimizer and the freeze proof are those of :mod:`headstart.training.fine_tuning.trainer`.

Whether that helps is asked of the same few examples, by cross-validation: for each fold the encoder starts anew and
never sees the texts that it is judged on. The last round trains on everything; its weights are what comes out.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from headstart.system import console
from headstart.training.fine_tuning.trainer import FineTuneJob, FineTuner, assign, gave_up, state_of

TEMPERATURE = 0.1
"""By which similarities are divided: the lower it is, the more the nearest examples count."""

_TRAINED_TOKENS = 64  # of each text, in a step; one long text would make all the others of its batch as long
_BLOCK = 64  # texts whose features are computed together


def train_contrastively(folds: list[int], **job: Any) -> dict[str, Any]:
    """Train once without each fold, then on everything.

    Writes ``tuned.npz``, the weights of the last round, and ``features.npy``, float32 (rounds, n, d): what the encoder
    of each round gives for all training examples.

    Args:
        folds: number of each training example's fold, from 0.
        job: the fields of :class:`headstart.training.fine_tuning.trainer.FineTuneJob`; the head has no say.

    Returns:
        What the report tells; or ``gave_up``, a sentence that says why nothing came out.

    Raises:
        IntegrityError: something frozen has moved.
    """
    with FileLock(Path(job["folder"], "training.lock")):
        try:
            return _Contrastive(FineTuneJob(**job)).rounds(np.array(folds))
        except TimeoutError:
            return gave_up("The time limit was over before contrastive fine-tuning was: raise --time-limit.")


class _Contrastive(FineTuner):
    def rounds(self, folds: np.ndarray) -> dict[str, Any]:
        start = [np.array(variable) for variable in state_of(self.model)]
        numbers = range(int(folds.max()) + 2)  # nobody is in the last one
        features = []
        with console.progress("contrastive fine-tuning", len(numbers) * self._epochs * self._steps, "steps") as bar:
            for number in numbers:
                assign(state_of(self.model), start)
                self._train(np.flatnonzero(folds != number), number, bar)
                features.append(self._features())
        if not np.isfinite(features).all():
            return gave_up(f"Training at a learning rate of {self._rate:.2g} diverged: try a lower --learning-rate.")
        np.save(self.folder / "features.npy", np.stack(features))
        return {
            "folds": len(numbers) - 1,
            "steps": self._epochs * self._steps,
            "learning_rate": self._rate,
            "precision": self.progress.precision,
            "seconds": round(time.monotonic() - self.started, 2),
            "views_s": round(self.progress.views_s, 2),
            "frozen": self.save_weights(),
        }

    def _train(self, members: np.ndarray, number: int, bar: console.Progress) -> None:
        rng = np.random.default_rng([self.job.seed, number])
        for _ in range(self._epochs * self._steps):
            mine = rng.permutation(members)[: self._batch_size]
            self.model.train_on_batch(self._views_of(mine)[:, :_TRAINED_TOKENS], self.labels[mine][:, None])
            bar.advance(1)
            if time.monotonic() - self.started > (self.tuning.time_limit_s or float("inf")):
                raise TimeoutError

    def _features(self) -> np.ndarray:
        """What the encoder gives for all examples, float32 (n, d)."""
        n = len(self.labels)
        blocks = [np.arange(i, min(i + _BLOCK, n)) for i in range(0, n, _BLOCK)]
        return np.concatenate([np.asarray(self.model.predict_on_batch(self._views_of(mine))) for mine in blocks])

    def _views_of(self, mine: np.ndarray) -> np.ndarray:
        return self._input(self.views.train(mine, np.zeros_like(mine)))

    def _build(self, precision: str) -> Any:
        import keras

        model = keras.Model(*self._trunk(precision))
        self._compile(model)
        return model

    def _loss(self) -> tuple[Any, list[str]]:
        return supervised_contrastive_loss, []


def supervised_contrastive_loss(labels: Any, features: Any) -> Any:
    """How far each example of a batch is from those of its class, beside all others.

        -mean over p of log( exp(z_i z_p / T) / sum over j != i of exp(z_i z_j / T) ),  p: the others of i's class

    where z are the features at length 1 (Khosla et al., arXiv 2004.11362, eq. 2).

    Args:
        labels: (n, 1), class of each example.
        features: (n, d).

    Returns:
        Tensor (n,); 0 for an example that is alone in its class.
    """
    from keras import ops

    z = ops.normalize(features, axis=-1)
    itself = ops.eye(ops.shape(z)[0], dtype=z.dtype)
    similarities = ops.matmul(z, ops.transpose(z)) / TEMPERATURE - 1e9 * itself
    log_shares = similarities - ops.logsumexp(similarities, axis=1, keepdims=True)
    same = ops.cast(ops.equal(labels, ops.transpose(labels)), z.dtype) - itself
    return -ops.sum(same * log_shares, axis=1) / ops.maximum(ops.sum(same, axis=1), 1)
