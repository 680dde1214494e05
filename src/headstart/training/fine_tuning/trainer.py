"""Train what lies above the cut, on cached views. Runs in a Keras process; :mod:`.fine_tune` decides what it trains.

The recipe: start from the trained head, so that the first steps do not tear at pretrained weights (linear probing then
fine-tuning, Kumar et al., arXiv 2202.10054); AdamW with warm-up and cosine decay, slower the deeper the block
(discriminative rates, Howard and Ruder, arXiv 1801.06146); a first epoch that does harm is taken back, and begun anew
at a quarter of the rate; the weights of the epoch with the least validation loss are what comes out. Every
BatchNormalization stays untrainable and so in inference mode: Keras up to 3.15.1 would otherwise move its statistics
even under ``training=False`` (keras issue 20285). What is frozen is digested before and after.

After each epoch everything that the next one depends on is on disk: a killed process goes on from there, and ends with
the same weights, because the order of the examples, their views and the dropout depend on the seed and the epoch alone.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from headstart.bases import Base, BaseSpec, load_base
from headstart.bases.blocks import find_blocks
from headstart.bases.derived import ending_after, save_weights
from headstart.data.labels import is_multi_label
from headstart.data.parallel import map_ahead
from headstart.data.readers import UNITS, Resize
from headstart.errors import IntegrityError
from headstart.features.augmentation import augment
from headstart.features.engines import KerasEngine, OpenVINOEngine, can_compute_bfloat16
from headstart.features.views import Plan, Views, compute_views
from headstart.model_files.keras_file import tensor_digest
from headstart.system import console
from headstart.system.keras_worker import on_gpu
from headstart.system.settings import asked_precision
from headstart.training.fine_tuning import lora
from headstart.training.fine_tuning.optimizer import layered_adamw
from headstart.training.fine_tuning.pointwise import as_products
from headstart.training.outputs import activate, activation_of, log_losses, weights_of_examples, wrong
from headstart.training.training_data import FineTuneConfig, load_layers, save_layers

logger = logging.getLogger(__name__)

_EVALUATION_BATCH = 64
_STATE, _BEST = "state.npz", "best.npz"
_TOLERATED_FACTOR, _TOLERATED_RISE = 1.5, 0.5  # of the validation loss, in the first epoch
_SLOWER, _MOST_SLOWED = 4, 3  # by how much the learning rate is cut after a first epoch that went wrong; how often
_TRIAL_STEPS = 3
_LENGTH_WINDOW = 16  # batches of texts that are sorted by length together
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@dataclass(frozen=True)
class FineTuneJob:
    """One fine-tuning, as plain data.

    Attributes:
        spec: of the base.
        resize: how pictures become its input size; None for texts.
        input_shape: of what is read of one example; of a text as long as the longest one.
        trained_blocks: how many blocks to train, counted from the features down.
        xml: engine's form of what lies below; None to run it with Keras, or where nothing does.
        precision: of the engine.
        train: files or texts; likewise ``val``.
        train_labels: class of each, or 0 and 1 for each label; likewise ``val_labels``.
        class_weights: weight of one example of each class.
        tuning: how to train; see :class:`headstart.training.training_data.FineTuneConfig`.
        head: ``.npz`` with the head to start from.
        dropout: before each of its layers.
        seed: of everything random.
        folder: for views, checkpoints and results; belongs to this job alone.
    """

    spec: dict[str, Any]
    resize: Resize | None
    input_shape: list[int]
    trained_blocks: int
    xml: str | None
    precision: str
    train: list[str]
    train_labels: list[Any]
    val: list[str]
    val_labels: list[Any]
    class_weights: list[float]
    tuning: dict[str, Any]
    head: str
    dropout: float
    seed: int
    folder: str


def train_tail(**job: Any) -> dict[str, Any]:
    """Fine-tune; writes ``tuned.npz``, ``head.npz`` and ``val.npy`` (probabilities) and gives the facts.

    Args:
        job: the fields of :class:`FineTuneJob`.

    Returns:
        ``history``, ``frozen`` and what the report tells; or ``gave_up``, a sentence that says why nothing came out.

    Raises:
        IntegrityError: something frozen has moved.
    """
    # If the process that asked for this was killed, its orphan may still be about: wait until that has noticed.
    with FileLock(Path(job["folder"], "training.lock")):
        try:
            tuning = FineTuner(FineTuneJob(**job))
        except TimeoutError:
            return gave_up(
                f"The time limit of {job['tuning']['time_limit_s']:.0f} s was over before the first step: raise "
                "--time-limit, or take fewer --views. What is cached by now stays for the next time."
            )
        return tuning.run()


def gave_up(reason: str) -> dict[str, Any]:
    """The answer of a job of which nothing came out."""
    return {"gave_up": reason}


@dataclass
class _Progress:
    """What the next epoch depends on, besides the variables.

    Attributes:
        epoch: how many epochs are done.
        best_loss: the least validation loss of any of them.
        waited: epochs since.
        stopped: why training is over, if it is.
        slowed: how often training began anew at a lower rate.
        seconds: of training, in this process and in those before it.
        views_s: seconds of caching views, likewise.
        precision: of training.
        history: rows for ``history.csv``.
    """

    epoch: int = 0
    best_loss: float = float("inf")
    waited: int = 0
    stopped: str | None = None
    slowed: int = 0
    seconds: float = 0.0
    views_s: float = 0.0
    precision: str = "float32"
    history: list[dict[str, Any]] = field(default_factory=list)


class FineTuner:
    """One fine-tuning: views, cut and weights in place; see :meth:`run`."""

    def __init__(self, job: FineTuneJob) -> None:
        import keras

        self.job, self.folder, self.tuning = job, Path(job.folder), FineTuneConfig(**job.tuning)
        self.labels, self.val_labels = np.array(job.train_labels), np.array(job.val_labels)
        self.class_weights = np.array(job.class_weights, np.float32)
        self.progress = _Progress()
        self.first_step_s = 0.0
        keras.utils.set_random_seed(job.seed)
        if keras.backend.backend() == "tensorflow":
            import tensorflow

            tensorflow.config.experimental.enable_op_determinism()  # or a resumed run would end with another model
        base = self.base = load_base(BaseSpec.from_json(job.spec), resize=job.resize)
        self.network = base.build(False)
        as_products(self.network)
        self.blocks = find_blocks(self.network)
        self.cut = len(self.blocks) - job.trained_blocks
        started = time.monotonic()
        self.views = self._compute_views(base, started + (self.tuning.time_limit_s or float("inf")))
        self.progress.views_s = time.monotonic() - started
        self.started = time.monotonic()
        self.adapted: list[Any] = []
        self.trained = self._unfreeze()
        self.frozen = _digests(self._frozen_weights())
        saved = self._read_state()
        if saved:
            self.progress = _Progress(**saved["progress"])
        else:
            self.progress.precision = asked_precision(self.tuning.precision)
        self.model = self._fastest() if self.progress.precision == "auto" else self._build(self.progress.precision)
        if saved:
            self._resume(saved)

    def run(self) -> dict[str, Any]:
        """Train from where an earlier process left off; see :func:`train_tail`."""
        if not self.progress.history:
            as_it_was = {"phase": "fine-tuning", "epoch": 0, **self._judge(self.probabilities())}
            self.progress.history.append(as_it_was)
        start = [np.array(variable) for variable in self._moving()] if not self.progress.epoch else []
        while not self.progress.stopped:
            self._epoch()
            if self._went_wrong():
                self._begin_anew(start)
            self._save()
        if not np.isfinite(self.progress.best_loss):
            return gave_up(f"Training at a learning rate of {self._rate:.2g} diverged: try a lower --learning-rate.")
        with np.load(self.folder / _BEST) as best:
            assign(self._moving(), best.values())
        np.save(self.folder / "val.npy", self.probabilities())
        frozen = self.save_weights()
        save_layers([layer.get_weights() for layer in self.head], self.folder / "head.npz")
        return {
            "history": self.progress.history,
            "epochs": self.progress.epoch,
            "learning_rate": self._rate,
            "slowed": self.progress.slowed,
            "best_epoch": min(self.progress.history[1:], key=lambda row: row["val_loss"])["epoch"],
            "stopped": self.progress.stopped,
            "precision": self.progress.precision,
            "seconds": round(self.progress.seconds, 2),
            "views_s": round(self.progress.views_s, 2),
            "first_step_s": round(self.first_step_s, 2),
            "examples_per_s": round(
                self._steps * self._batch_size * self.progress.epoch / max(self.progress.seconds, 1e-9), 1
            ),
            "frozen": frozen,
        }

    def save_weights(self) -> dict[str, Any]:
        """See that what was frozen has not moved, and write the rest as ``tuned.npz``; gives the digests."""
        changed = _changed(self.frozen, _digests(self._frozen_weights()))
        if changed:
            raise IntegrityError(
                f"{changed} of {len(self.frozen)} frozen tensors moved while {self.job.spec['handle']} was fine-tuned. "
                "Nothing was kept; please report this."
            )
        lora.merge(self.adapted)
        save_weights(self.network, self._merged() or self.trained, self.folder / "tuned.npz")
        statistics = sum(path.endswith(("moving_mean", "moving_variance")) for path in self.frozen)
        return {"digests": list(self.frozen.values()), "statistics": statistics}

    def probabilities(self) -> np.ndarray:
        """Of the validation examples, float32 (n, classes)."""
        starts = range(0, len(self.val_labels), _EVALUATION_BATCH)
        positions = np.arange(len(self.val_labels))
        logits = [
            np.asarray(self.model.predict_on_batch(self._input(self.views.val(positions[i : i + _EVALUATION_BATCH]))))
            for i in starts
        ]
        return activate(np.concatenate(logits), activation_of(self.val_labels))

    def _compute_views(self, base: Base, deadline: float) -> Views:
        job = self.job
        reader = base.reader()
        as_example = str if base.modality == "text" else Path
        examples = [as_example(one) for one in job.train], [as_example(one) for one in job.val]
        live = self.cut == 0  # everything is trained: nothing can be computed beforehand
        plan = Plan(*examples, [[]] if live else [[], *[self.tuning.augment] * self.tuning.views], job.seed)
        folder = self.folder / "views"
        if live:
            return compute_views(plan, reader, None, job.input_shape, folder, deadline)
        below = ending_after(base, self.blocks[self.cut - 1].name)
        engine = OpenVINOEngine(Path(job.xml), job.precision) if job.xml else KerasEngine(below.model())
        shape = self.blocks[self.cut - 1].shape
        if base.modality == "text":
            shape = (*job.input_shape, *shape[1:])
        return compute_views(plan, reader, engine, shape, folder, deadline)

    def _unfreeze(self) -> list[Any]:
        """Make the layers above the cut trainable, and nothing else; gives the weights that training will change."""
        import keras

        above = {name for block in self.blocks[self.cut :] for name in block.layers}
        self.network.trainable = True
        statistics = []
        for layer in self.network.layers:
            layer.trainable = layer.name in above
            for part in layer._flatten_layers():  # a layer may be made of layers, and Keras has no public way to ask
                if isinstance(part, keras.layers.BatchNormalization):
                    part.trainable = layer.trainable and self.tuning.train_batch_norm
                    statistics += [part.moving_mean, part.moving_variance] if part.trainable else []
        if self.tuning.lora:
            self.adapted = lora.adapt([layer for layer in self.network.layers if layer.trainable], self.tuning.lora)
        return [*self.network.trainable_weights, *statistics]

    def _frozen_weights(self) -> list[Any]:
        changing = set(map(id, [*self.trained, *self._merged()]))
        return [weight for weight in self.network.weights if id(weight) not in changing]

    def _merged(self) -> list[Any]:
        """Kernels that change when training is over."""
        return [layer._kernel for layer in self.adapted]

    def _moving(self) -> list[Any]:
        """All variables that training changes."""
        return [*self.trained, *(weight for layer in self.head for weight in layer.weights)]

    def _fastest(self) -> Any:
        """The model in the precision that is faster in a few steps; bfloat16 is tried where that can save time."""
        self.progress.precision = "float32"
        model = self._build("float32")
        if not (on_gpu() or can_compute_bfloat16()):
            return model
        first_s, step_s = self._try(model)
        if self._epochs * self._steps * step_s < 2 * first_s:  # to try costs about what the first step does: tracing
            return model
        other = self._build("bfloat16")
        _, other_s = self._try(other)
        rates = {"float32": self._batch_size / step_s, "bfloat16": self._batch_size / other_s}
        logger.info("training in " + ", ".join(f"{p}: {rate:,.0f} {self._unit}/s" for p, rate in rates.items()))
        if other_s < step_s:
            self.progress.precision = "bfloat16"
            return other
        return self._build("float32")  # its layers have become the other's

    def _try(self, model: Any) -> tuple[float, float]:
        """How long a model takes for its first step and for one of the next, in seconds; it is as it was afterwards."""
        before, batch, took = [np.array(variable) for variable in state_of(model)], next(self._batches(0)), []
        for _ in range(1 + _TRIAL_STEPS):
            started = time.monotonic()
            model.train_on_batch(*batch)
            took.append(time.monotonic() - started)
        assign(state_of(model), before)
        return took[0], sum(took[1:]) / _TRIAL_STEPS

    def _build(self, precision: str) -> Any:
        """What is trained: from views to logits, starting as the base with the trained head."""
        import keras

        pairs = load_layers(Path(self.job.head))
        start, x = self._trunk(precision)
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

    def _trunk(self, precision: str) -> tuple[Any, Any]:
        """A view as a Keras input, and the features of the base, computed in this precision."""
        import keras

        for layer in self.network.layers:
            layer.dtype_policy = _POLICIES[precision]
        if self.cut == 0:
            start, x = self.base.start()
            x = self.network(x)
        else:
            start = keras.Input((None, *self.views.shape[1:]) if self._of_texts else self.views.shape)
            x = keras.Model(self.blocks[self.cut - 1].output, self.network.outputs[0], name="tail")(start)
        return start, self.base.features(x)

    def _loss(self) -> tuple[Any, list[str]]:
        """What is minimised, and what is measured beside it."""
        import keras

        if is_multi_label(self.labels):
            return keras.losses.BinaryCrossentropy(from_logits=True), []
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=self.tuning.label_smoothing)
        return loss, ["accuracy"]

    def _compile(self, model: Any) -> None:
        """Give the model a fresh optimizer, at the learning rate that training has come down to."""
        import keras

        loss, metrics = self._loss()
        model.compile(
            layered_adamw(self.tuning, self._rate, self.network, self.blocks[self.cut :], self._epochs * self._steps),
            loss,
            weighted_metrics=metrics,
            jit_compile="auto" if on_gpu() or keras.backend.backend() != "tensorflow" else False,  # slower on CPUs
        )
        model.optimizer.build(model.trainable_variables)
        # Metrics make their variables when they are first used. Made here, or TensorFlow would trace the step twice.
        nothing = np.zeros((1, *model.output_shape[1:]), np.float32)
        model.compute_metrics(None, nothing, nothing, np.ones(1, np.float32))

    @property
    def _rate(self) -> float:
        return (self.tuning.learning_rate or self.base.tuning_rate) / _SLOWER**self.progress.slowed

    @property
    def _epochs(self) -> int:
        """At most."""
        return self.tuning.epochs or self.base.tuning_epochs

    @property
    def _batch_size(self) -> int:
        return min(self.tuning.batch_size, len(self.labels))

    @property
    def _steps(self) -> int:
        """Of an epoch."""
        return len(self.labels) // self._batch_size

    @property
    def _unit(self) -> str:
        return UNITS[self.base.modality]

    @property
    def _of_texts(self) -> bool:
        return self.base.modality == "text"

    def _input(self, values: np.ndarray) -> np.ndarray:
        if self._of_texts:  # no longer than the longest of them
            used = (values != 0).reshape(*values.shape[:2], -1).any((0, 2))
            values = values[:, : max(1, int(np.flatnonzero(used).max(initial=0)) + 1)]
        return values if values.dtype in (np.uint8, np.int32) else values.astype(np.float32)

    def _epoch(self) -> None:
        progress, tuning = self.progress, self.tuning
        started = time.monotonic()
        limit_s = (tuning.time_limit_s or float("inf")) - progress.views_s - progress.seconds
        self.model.reset_metrics()
        figures: dict[str, Any] = {}
        with console.progress(
            f"epoch {progress.epoch + 1} of {self._epochs}", self._steps * self._batch_size, self._unit
        ) as bar:
            for batch in self._batches(progress.epoch):
                figures = self.model.train_on_batch(*batch, return_dict=True)  # means over the epoch so far
                self.first_step_s = self.first_step_s or time.monotonic() - self.started
                bar.advance(self._batch_size)
                if time.monotonic() - started > limit_s:
                    progress.stopped = "time limit"
                    break
        progress.epoch += 1
        figures = {name: float(value) for name, value in figures.items()}
        judged = self._judge(self.probabilities())
        progress.history.append({"phase": "fine-tuning", "epoch": progress.epoch, **figures, **judged})
        progress.seconds += time.monotonic() - started
        self._keep_best(judged["val_loss"])
        if not progress.stopped:
            progress.stopped = self._enough()
        left = 0 if progress.stopped else (self._epochs - progress.epoch) * progress.seconds / progress.epoch
        console.epoch(progress.history[-1], left)
        logger.info(
            f"epoch {progress.epoch} of {self._epochs}: loss {figures['loss']:.3f}, validation loss "
            f"{judged['val_loss']:.3f}"
            + (f", accuracy {judged['val_accuracy']:.1%}" if "val_accuracy" in judged else "")
            + (f" ({progress.stopped})" if progress.stopped else f", {_minutes(left)} left")
        )

    def _enough(self) -> str | None:
        if self.progress.epoch >= self._epochs:
            return "all epochs done"
        waited = self.progress.waited
        return f"no better for {waited} epochs" if waited >= self.tuning.patience else None

    def _batches(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Inputs, labels as 0 and 1, and weights of one epoch's steps; all depend on the seed and the epoch alone.

        All batches have the same size, or the step would be traced anew for the last one: what is left over, other
        examples in every epoch, waits for the next.
        """
        job, tuning, size = self.job, self.tuning, self._batch_size
        rng = np.random.default_rng([job.seed, epoch])
        order = self._order(rng)
        live = self.cut == 0
        views = rng.integers(0, 1 if live else 1 + tuning.views, len(self.labels))
        targets = self.labels.astype(np.float32)
        if not is_multi_label(self.labels):
            targets = np.eye(len(self.class_weights), dtype=np.float32)[self.labels]
        weights = weights_of_examples(self.labels, self.class_weights).astype(np.float32)

        def batch(step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            mine = order[step * size : (step + 1) * size]
            values = self.views.train(mine, views[mine])
            if live and not self._of_texts:
                values = augment(values, tuning.augment, (job.seed, epoch, step))
            return self._input(values), targets[mine], weights[mine]

        return map_ahead(batch, range(self._steps))

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        """The examples of one epoch in their order; texts so that those of about one length come into one batch."""
        order = rng.permutation(len(self.labels))[: self._steps * self._batch_size]
        if not self._of_texts:
            return order
        window = _LENGTH_WINDOW * self._batch_size
        lengths = np.array([len(text) for text in self.job.train])
        pieces = [order[i : i + window] for i in range(0, len(order), window)]
        order = np.concatenate([piece[np.argsort(lengths[piece], kind="stable")] for piece in pieces])
        return rng.permutation(order.reshape(-1, self._batch_size)).ravel()

    def _went_wrong(self) -> bool:
        """Whether the first epoch tore down what the head had built: then the rate is too high for this base."""
        if self.progress.epoch != 1 or self.progress.stopped or self.progress.slowed == _MOST_SLOWED:
            return False
        before, after = (row["val_loss"] for row in self.progress.history)
        return bool(not after <= _TOLERATED_FACTOR * before + _TOLERATED_RISE)

    def _begin_anew(self, start: Sequence[np.ndarray]) -> None:
        """Go back to the trained head and the base as it was, with a lower learning rate."""
        progress = self.progress
        progress.slowed += 1
        logger.info(f"that epoch did harm: beginning anew at a learning rate of {self._rate:.2g}")
        progress.epoch, progress.waited, progress.best_loss = 0, 0, float("inf")
        del progress.history[1:]
        assign(self._moving(), start)
        self._compile(self.model)

    def _judge(self, probabilities: np.ndarray) -> dict[str, float]:
        loss = {"val_loss": float(log_losses(self.val_labels, probabilities).mean())}
        if is_multi_label(self.val_labels):
            return loss
        return {**loss, "val_accuracy": float(1 - wrong(self.val_labels, probabilities).mean())}

    def _keep_best(self, loss: float) -> None:
        if loss < self.progress.best_loss:
            self.progress.best_loss, self.progress.waited = loss, 0
            _write(self.folder / _BEST, self._moving(), {})
        else:
            self.progress.waited += 1

    def _save(self) -> None:
        about = {"progress": np.array(json.dumps(asdict(self.progress)))}
        _write(self.folder / _STATE, state_of(self.model), about)

    def _read_state(self) -> dict[str, Any] | None:
        """What an earlier process left after the last epoch that it finished, if there was one."""
        path = self.folder / _STATE
        if not path.exists():
            return None
        with np.load(path) as saved:
            state = dict(saved)
        return {**state, "progress": json.loads(str(state["progress"]))}

    def _resume(self, state: dict[str, Any]) -> None:
        variables = state_of(self.model)
        assign(variables, [state[f"v{i}"] for i in range(len(variables))])
        if not self.progress.stopped:
            logger.info(f"going on after epoch {self.progress.epoch} of {self._epochs}")


def state_of(model: Any) -> list[Any]:
    """All variables that the next step depends on."""
    return [*model.variables, *model.optimizer.variables]


def assign(variables: Iterable[Any], values: Iterable[np.ndarray]) -> None:
    """Give each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _digests(weights: Iterable[Any]) -> dict[str, str]:
    return {weight.path: tensor_digest(np.asarray(weight)) for weight in weights}


def _changed(before: dict[str, str], after: dict[str, str]) -> int:
    return sum(after[path] != digest for path, digest in before.items())


def _write(path: Path, variables: Sequence[Any], more: dict[str, Any]) -> None:
    """Write variables as ``v0``, ``v1`` …, all or nothing."""
    partial = path.with_suffix(".partial.npz")
    arrays: dict[str, Any] = {f"v{i}": np.asarray(variable) for i, variable in enumerate(variables)}
    np.savez(partial, **arrays, **more)
    os.replace(partial, path)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
