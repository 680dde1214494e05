"""The training loop of fine-tuning. Runs in a Keras process; :mod:`.fine_tune` decides what it trains.

Training starts from the trained head, so the first steps do not distort pretrained weights (linear probing, then
fine-tuning: Kumar et al., arXiv 2202.10054). The optimizer is AdamW with warm-up and cosine decay, with a lower rate
for deeper blocks (discriminative rates: Howard and Ruder, arXiv 1801.06146). If the first epoch raises the validation
loss too much, training restarts at a quarter of the rate. The result has the weights of the epoch with the lowest
validation loss.

After each epoch everything that the next one depends on is on disk (:mod:`.checkpoints`), and the order of the
examples, their views and the dropout depend on the seed and the epoch alone. So a killed run continues, and ends with
the same weights.
"""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from headstart.model_files.head_layers import activate, load_layers, save_layers
from headstart.system.durations import format_time_left
from headstart.system.keras_compat import train_step
from headstart.system.locks import patient_lock
from headstart.system.progress import Progress
from headstart.system.settings import asked_precision
from headstart.training.early_stopping import EarlyStopping
from headstart.training.fine_tuning.checkpoints import Checkpoints, TrainingState
from headstart.training.fine_tuning.job import FineTuneJob, diverged, no_result
from headstart.training.fine_tuning.optimizer import compile_model, layered_adamw
from headstart.training.fine_tuning.precision_trial import faster_model
from headstart.training.fine_tuning.preparation import Preparation, prepare_training
from headstart.training.fine_tuning.variables import assign_values, copy_values

logger = logging.getLogger(__name__)

_TOLERATED_FACTOR, _TOLERATED_RISE = 1.5, 0.5  # of the validation loss, in the first epoch
_RATE_DIVISOR, _MAX_RESTARTS = 4, 3  # a restart divides the learning rate by this much; how many there are at most


def train(progress: Progress, **job: Any) -> dict[str, Any]:
    """Fine-tune; writes ``tuned.npz``, ``head.npz`` and ``val.npy`` (probabilities) and gives the facts.

    Args:
        progress: follows the work.
        job: the fields of :class:`headstart.training.fine_tuning.job.FineTuneJob`.

    Returns:
        ``history``, ``frozen`` and the facts for the report; or the reason of :func:`.job.no_result`.

    Raises:
        IntegrityError: something frozen has changed.
    """
    # If the process that started this was killed, its orphan may still run: wait until it has noticed and ended.
    with patient_lock(Path(job["folder"], "training.lock"), "training the same base"):
        try:
            preparation = prepare_training(FineTuneJob(**job), progress)
        except TimeoutError:
            return no_result(
                f"The time limit of {job['config']['time_limit']:.0f} s was over before the first step: allow more "
                "time, or fewer views of each example. What is cached so far is reused by the next run."
            )
        return FineTuner(preparation, progress).run()


class FineTuner:
    """One fine-tuning, from the epoch that an earlier process reached.

    Args:
        preparation: base, views and batches.
        progress: follows the epochs.
    """

    def __init__(self, preparation: Preparation, progress: Progress) -> None:
        self.progress = progress
        self.job, self.config, self.part = preparation.job, preparation.config, preparation.part
        self.batches, self.preparation = preparation.batches, preparation
        self.unit = preparation.modality.plural
        self.started, self.first_step_s = time.monotonic(), 0.0
        self.head: list[Any] = []
        self.checkpoints = Checkpoints(preparation.folder)
        saved = self.checkpoints.read_state()
        precision = asked_precision(self.config.fine_tune_precision)
        self.state = saved or TrainingState(EarlyStopping(self.config.patience), precision, views_s=preparation.views_s)
        if self.state.precision == "auto":
            steps, batch = self.job.epochs * self.batches.steps, next(self.batches.epoch(0))
            self.model, self.state.precision = faster_model(self._build, batch, steps=steps, unit=self.unit)
        else:
            self.model = self._build(self.state.precision)
        if saved:
            self.checkpoints.restore(self.model)
            if not self.state.stop_reason:
                logger.info(f"continuing after epoch {self.state.epoch} of {self.job.epochs}")

    def run(self) -> dict[str, Any]:
        """Train until the end; see :func:`train`."""
        state = self.state
        if not state.history:
            before = {"phase": "fine-tuning", "epoch": 0, **self._evaluate(self._val_probabilities())}
            state.history.append(before)
        start = [] if state.epoch else copy_values(self._trainable_variables())
        while not state.stop_reason:
            self._train_epoch()
            if not state.stop_reason and self._diverged():
                self._restart_with_lower_rate(start)
            self.checkpoints.save(self.model, state)
        if not np.isfinite(state.stopping.best_loss):
            return diverged(self._learning_rate)
        self.checkpoints.restore_best(self._trainable_variables())
        folder = self.preparation.folder
        np.save(folder / "val.npy", self._val_probabilities())
        frozen = self.preparation.save_weights()
        save_layers([layer.get_weights() for layer in self.head], folder / "head.npz")
        return {
            "history": state.history,
            "epochs": state.epoch,
            "learning_rate": self._learning_rate,
            "slowed": state.restarts,
            "best_epoch": state.stopping.best_epoch,
            "stopped": state.stop_reason,
            "precision": state.precision,
            "seconds": round(state.seconds, 2),
            "views_s": round(state.views_s, 2),
            "first_step_s": round(self.first_step_s, 2),
            "examples_per_s": round(self._epoch_examples * state.epoch / max(state.seconds, 1e-9), 1),
            "frozen": frozen,
        }

    @property
    def _learning_rate(self) -> float:
        return self.job.learning_rate / _RATE_DIVISOR**self.state.restarts

    @property
    def _epoch_examples(self) -> int:
        return self.batches.steps * self.batches.size

    def _trainable_variables(self) -> list[Any]:
        """All variables that training changes: of the base and of the head."""
        return [*self.part.variables, *(weight for layer in self.head for weight in layer.weights)]

    def _build(self, precision: str) -> Any:
        """The compiled model from views to logits, with the weights of the base and of the trained head."""
        import keras

        pairs = load_layers(Path(self.job.head))
        start, x = self.part.features(self.preparation.view_shape, precision)
        self.head = []
        for i, (_, bias) in enumerate(pairs):
            activation = "relu" if i < len(pairs) - 1 else None
            self.head.append(keras.layers.Dense(len(bias), activation=activation, name=f"head_{i}"))
            x = self.head[-1](keras.layers.Dropout(self.job.dropout, seed=self.job.seed + i)(x))
        model = keras.Model(start, x)
        for layer, pair in zip(self.head, pairs, strict=True):
            layer.set_weights(pair)
        self._compile(model)
        return model

    def _compile(self, model: Any) -> None:
        """Give the model a new optimizer at the current learning rate."""
        loss, metrics = self.batches.task.keras_loss(self.config.label_smoothing)
        steps = self.job.epochs * self.batches.steps
        optimizer = layered_adamw(self.config, self._learning_rate, self.part.network, self.part.blocks, steps)
        compile_model(model, optimizer, loss, metrics)

    def _train_epoch(self) -> None:
        """Train one epoch, evaluate it, and decide whether it was the last one."""
        state, started = self.state, time.monotonic()
        limit_s = (self.config.time_limit or float("inf")) - state.views_s - state.seconds
        steps: list[tuple[dict[str, float], float]] = []
        label = f"epoch {state.epoch + 1} of {self.job.epochs}"
        with self.progress.start(label, self._epoch_examples, self.unit) as bar:
            for batch in self.batches.epoch(state.epoch):
                steps.append((train_step(self.model, *batch), float(batch.weights.sum())))
                self.first_step_s = self.first_step_s or time.monotonic() - self.started
                bar.advance(self.batches.size)
                if time.monotonic() - started > limit_s:
                    state.stop_reason = "time limit"
                    break
        figures = self._evaluate(self._val_probabilities())
        state.seconds += time.monotonic() - started
        if state.stopping.update(figures["val_loss"]):
            self.checkpoints.save_best(self._trainable_variables())
        state.history.append({"phase": "fine-tuning", "epoch": state.epoch, **_mean_figures(steps), **figures})
        state.stop_reason = state.stop_reason or self._stop_reason()
        self._report_epoch()

    def _stop_reason(self) -> str | None:
        stopping = self.state.stopping
        if stopping.epoch >= self.job.epochs:
            return "all epochs done"
        if self._diverged() or not stopping.should_stop:
            return None
        if not stopping.is_finite:
            return "validation loss is not finite"
        return f"no better for {stopping.epochs_since_best} epochs"

    def _report_epoch(self) -> None:
        state, row = self.state, self.state.history[-1]
        left_s = 0 if state.stop_reason else (self.job.epochs - state.epoch) * state.seconds / state.epoch
        self.progress.epoch(row, left_s)
        logger.info(
            f"epoch {state.epoch} of {self.job.epochs}: loss {row['loss']:.3f}, validation loss {row['val_loss']:.3f}"
            + (f", accuracy {row['val_accuracy']:.1%}" if "val_accuracy" in row else "")
            + (f" ({state.stop_reason})" if state.stop_reason else f", {format_time_left(left_s)}")
        )

    def _diverged(self) -> bool:
        """Whether the first epoch raised the validation loss so much that the rate is too high for this base."""
        if self.state.epoch != 1 or self.state.restarts == _MAX_RESTARTS:
            return False
        before, after = (row["val_loss"] for row in self.state.history)
        return bool(not after <= _TOLERATED_FACTOR * before + _TOLERATED_RISE)

    def _restart_with_lower_rate(self, start: list[np.ndarray]) -> None:
        """Go back to the trained head and the original base, with a lower learning rate.

        Args:
            start: values of all trainable variables before the first epoch.
        """
        state = self.state
        state.restarts += 1
        logger.info(f"validation loss rose; restarting with a learning rate of {self._learning_rate:.2g}")
        state.stopping = EarlyStopping(self.config.patience)
        del state.history[1:]
        assign_values(self._trainable_variables(), start)
        self._compile(self.model)

    def _val_probabilities(self) -> np.ndarray:
        """Of the validation examples, float32 (n, classes)."""
        logits = [np.asarray(self.model.predict_on_batch(inputs)) for inputs in self.batches.val_inputs()]
        return activate(np.concatenate(logits), self.batches.task.activation)

    def _evaluate(self, probabilities: np.ndarray) -> dict[str, float]:
        task, labels = self.batches.task, self.batches.val_labels
        scores = {f"val_{name}": score for name, score in task.scores(labels, probabilities).items()}
        return {"val_loss": float(task.log_losses(labels, probabilities).mean()), **scores}


def _mean_figures(steps: list[tuple[dict[str, float], float]]) -> dict[str, float]:
    """Loss and metrics over all batches of an epoch, from those of each batch and the sum of its example weights.

    Keras divides the loss of a batch by the number of its examples, and weighted metrics by the sum of their weights.
    """
    weights = [weight for _, weight in steps]
    return {
        name: float(np.average([figures[name] for figures, _ in steps], weights=None if name == "loss" else weights))
        for name in steps[0][0]
    }
