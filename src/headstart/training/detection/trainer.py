"""The training loop of a detector. Runs in a Keras process; :mod:`.detector` decides what it trains.

Neck and head learn from cached values of the frozen base. The optimizer is AdamW with warm-up and cosine decay. The
result is a moving average of the weights, whose memory grows with the steps: (1 + n) / (10 + n), up to .998.

After each epoch everything that the next one depends on is on disk, and the order of the views depends on the seed and
the epoch alone: a killed training continues, and ends with the same weights.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import BaseSpec, load_base
from headstart.data.examples import example_from_json
from headstart.data.images import Decoder
from headstart.data.readers import decode_examples
from headstart.features.box_view_store import BoxViewPlan, stored_box_views
from headstart.features.box_views import view_boxes
from headstart.features.engines import Engine, KerasEngine, OpenVINOEngine
from headstart.features.store import StoredArrays
from headstart.system.atomic import atomic_file
from headstart.system.durations import format_time_left
from headstart.system.keras_worker import on_gpu
from headstart.system.locks import patient_lock
from headstart.system.progress import Progress
from headstart.tasks.detection.boxes import Detections
from headstart.tasks.detection.decoding import decode
from headstart.tasks.detection.metrics import DetectionTable
from headstart.training.detection.finished_detector import write_detector
from headstart.training.detection.job import DetectorJob, job_from_json, read_boxes
from headstart.training.detection.losses import DetectionLoss
from headstart.training.detection.network import boxes_of, detection_layers
from headstart.training.detection.points import detector_points
from headstart.training.detection.targets import Targets
from headstart.training.fine_tuning.variables import assign_values, copy_values, state_variables

logger = logging.getLogger(__name__)

STATE_FILE = "state.npz"

_PROBE_EXAMPLES = 4
_WARM_UP = 0.05  # of all steps
_WARM_UP_STEPS = 10  # at least
_LAST_RATE = 0.05  # of the highest one
_CLIP_NORM = 10.0
_AVERAGE_MEMORY = 0.998


@dataclass
class DetectorState:
    """What the next epoch depends on, besides the variables.

    Attributes:
        epoch: number of epochs that are done.
        steps: of all epochs so far.
        seconds: of training, in this process and in those before it.
        views_s: seconds that the views took, in the same way.
        stop_reason: why training ended; None until then.
        history: rows for ``history.csv``.
    """

    epoch: int = 0
    steps: int = 0
    seconds: float = 0.0
    views_s: float = 0.0
    stop_reason: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def train(progress: Progress, **job: Any) -> dict[str, Any]:
    """Train a detector; writes the finished model, see :func:`.finished_detector.write_detector`, and gives the facts.

    Args:
        progress: follows the work.
        job: the fields of :class:`headstart.training.detection.job.DetectorJob`.
    """
    with patient_lock(Path(job["folder"], "training.lock"), "training the same detector"):
        return DetectorTrainer(job_from_json(job), progress).run()


class DetectorTrainer:
    """One training, from the epoch that an earlier process reached.

    Args:
        job: what is trained.
        progress: follows the epochs.
    """

    def __init__(self, job: DetectorJob, progress: Progress) -> None:
        import keras

        self.job, self.progress = job, progress
        self.folder = Path(job.folder)
        keras.utils.set_random_seed(job.seed)
        if keras.backend.backend() == "tensorflow":
            import tensorflow

            tensorflow.config.experimental.enable_op_determinism()  # or a resumed run would end with another model
        self.state = DetectorState()
        self.points = detector_points(job.input_size)
        started = time.monotonic()
        self._load_views(started + (job.time_limit or float("inf")))
        self.state.views_s = time.monotonic() - started
        self.model = self._build()
        self.average = copy_values(self.model.weights)
        self._restore()

    def run(self) -> dict[str, Any]:
        """Train until the end; see :func:`train`."""
        while not self.state.stop_reason:
            self._train_epoch()
            self._save()
        assign_values(self.model.weights, self.average)
        state, probe_views = self.state, np.arange(len(self._probe)) * self.job.views  # the images as they are
        return {
            **write_detector(self.job, self.model, self.points, self._probe, self._values(probe_views)[..., 4:]),
            "history": state.history, "epochs": state.epoch, "stopped": state.stop_reason,
            "seconds": round(state.seconds, 2), "views_s": round(state.views_s, 2),
            "examples_per_s": round(state.steps * self.job.batch_size / max(state.seconds, 1e-9), 1),
        }  # fmt: skip

    def _load_views(self, deadline: float) -> None:
        job = self.job
        base = load_base(BaseSpec.from_json(job.spec), resize=job.resize).for_images()
        decoder = base.reader()
        engine: Engine = OpenVINOEngine(Path(job.xml), job.precision) if job.xml else KerasEngine(base.model())
        n_val = len(job.examples) - job.n_train
        plan = BoxViewPlan(
            [example_from_json(example) for example in job.examples],
            [bytes.fromhex(digest) for digest in job.digests],
            [job.views] * job.n_train + [1] * n_val,
            decoder,
            job.seed,
            job.flips,
        )
        self._probe = decode_examples(decoder, plan.examples[: min(_PROBE_EXAMPLES, job.n_train)])
        self.values: StoredArrays = stored_box_views(plan, engine, Path(job.views_folder), self.progress, deadline)
        self.objects = read_boxes(Path(job.boxes))
        self.decoder: Decoder = decoder
        views = [
            view_boxes(boxes, plan.view(plan.digests[i], boxes.size, number), decoder.size)
            for i, boxes in enumerate(self.objects[: job.n_train])
            for number in range(job.views)
        ]
        self.targets = Targets(views, self.points)
        self.n_views = len(views)

    def _build(self) -> Any:
        import keras

        loss = DetectionLoss(self.points, self.job.n_classes)

        class TrainedDetector(keras.Model):
            def compute_loss(
                self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
            ) -> Any:
                return loss(y_pred[0], y_pred[1], y)

        inputs = [keras.Input(level["shape"]) for level in self.job.maps]
        strides = [level["stride"] for level in self.job.maps]
        model = TrainedDetector(
            inputs, list(detection_layers(inputs, strides, self.job.input_size, self.job.n_classes))
        )
        optimizer = keras.optimizers.AdamW(
            _schedule(self.job.learning_rate, self._n_steps),
            weight_decay=self.job.weight_decay,
            clipnorm=_CLIP_NORM,
        )
        on_accelerator = on_gpu() or keras.backend.backend() != "tensorflow"
        model.compile(optimizer, jit_compile="auto" if on_accelerator else False)
        model.optimizer.build(model.trainable_variables)
        return model

    @property
    def _steps_per_epoch(self) -> int:
        return steps_per_epoch(self.n_views, self.job.batch_size)

    @property
    def _n_steps(self) -> int:
        return self.job.epochs * self._steps_per_epoch

    def _train_epoch(self) -> None:
        job, state, started = self.job, self.state, time.monotonic()
        limit_s = (job.time_limit or float("inf")) - state.views_s - state.seconds
        order = np.random.default_rng([job.seed, state.epoch]).permutation(self.n_views)
        size = min(job.batch_size, self.n_views)
        losses: list[float] = []
        with self.progress.start(
            f"epoch {state.epoch + 1} of {job.epochs}", self._steps_per_epoch * size, "views"
        ) as bar:
            for step in range(self._steps_per_epoch):
                numbers = np.sort(order[step * size : (step + 1) * size])
                losses.append(float(self.model.train_on_batch(self._inputs(numbers), self.targets.batch(numbers))))
                self._update_average()
                bar.advance(size)
                if time.monotonic() - started > limit_s:
                    state.stop_reason = "time limit"
                    break
        state.epoch += 1
        row = {"phase": "detector", "epoch": state.epoch, "loss": float(np.mean(losses)), **self._val_figures()}
        state.seconds += time.monotonic() - started
        state.history.append(row)
        if state.epoch >= job.epochs:
            state.stop_reason = state.stop_reason or "all epochs done"
        self._report(row)

    def _inputs(self, numbers: np.ndarray) -> list[np.ndarray]:
        values = self.values.take(numbers).astype(np.float32)
        sizes = np.cumsum([int(np.prod(m["shape"])) for m in self.job.maps])[:-1]
        return [
            part.reshape(-1, *m["shape"])
            for part, m in zip(np.split(values, sizes, axis=1), self.job.maps, strict=True)
        ]

    def _values(self, views: np.ndarray) -> np.ndarray:
        """Boxes in pixels of the input, and scores, of some views: float32 (n, points, 4 + classes)."""
        logits, distances = self.model.predict_on_batch(self._inputs(views))
        boxes = np.asarray(boxes_of(distances, *self.points))
        return np.concatenate([boxes, 1 / (1 + np.exp(-np.asarray(logits)))], axis=-1)

    def _update_average(self) -> None:
        self.state.steps += 1
        memory = min(_AVERAGE_MEMORY, (1 + self.state.steps) / (10 + self.state.steps))
        for mean, variable in zip(self.average, self.model.weights, strict=True):
            mean += (1 - memory) * (np.asarray(variable) - mean)

    def _val_figures(self) -> dict[str, float]:
        """Mean average precision on the validation images, by the averaged weights."""
        n_val = len(self.objects) - self.job.n_train
        if not n_val:
            return {}
        current = copy_values(self.model.weights)
        assign_values(self.model.weights, self.average)
        outputs, labels = np.empty(n_val, object), np.empty(n_val, object)
        labels[:] = self.objects[self.job.n_train :]
        outputs[:] = self._detections(self.n_views + np.arange(n_val), [boxes.size for boxes in labels])
        assign_values(self.model.weights, current)
        table = DetectionTable(labels, outputs, self.job.n_classes, None)
        return {"val_map": float(table.mean_average_precision(np.ones((1, n_val)))[0])}

    def _detections(self, views: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        """What the model detects in images of some sizes, (height, width), whose own views these are."""
        return [
            decode(row, self.decoder.size, self.decoder.visible_box(size), size)
            for start in range(0, len(views), self.job.batch_size)
            for row, size in zip(
                self._values(views[start : start + self.job.batch_size]),
                sizes[start : start + self.job.batch_size],
                strict=True,
            )
        ]

    def _report(self, row: dict[str, Any]) -> None:
        state = self.state
        left_s = 0 if state.stop_reason else (self.job.epochs - state.epoch) * state.seconds / state.epoch
        self.progress.epoch(row, left_s)
        logger.info(
            f"epoch {state.epoch} of {self.job.epochs}: loss {row['loss']:.3f}"
            + (f", validation mAP {row['val_map']:.3f}" if "val_map" in row else "")
            + (f" ({state.stop_reason})" if state.stop_reason else f", {format_time_left(left_s)}")
        )

    def _save(self) -> None:
        arrays: dict[str, Any] = {
            f"v{i}": np.asarray(variable) for i, variable in enumerate(state_variables(self.model))
        }
        arrays |= {f"mean{i}": mean for i, mean in enumerate(self.average)}
        with atomic_file(self.folder / STATE_FILE, durable=True) as partial:
            np.savez(partial, state=np.array(json.dumps(asdict(self.state))), **arrays)

    def _restore(self) -> None:
        path = self.folder / STATE_FILE
        if not path.exists():
            return
        variables = state_variables(self.model)
        with np.load(path) as saved:
            self.state = DetectorState(**json.loads(str(saved["state"])))
            assign_values(variables, [saved[f"v{i}"] for i in range(len(variables))])
            self.average = [saved[f"mean{i}"] for i in range(len(self.average))]
        if not self.state.stop_reason:
            logger.info(f"continuing after epoch {self.state.epoch} of {self.job.epochs}")


def steps_per_epoch(n_views: int, batch_size: int) -> int:
    """Number of steps in which so many views are seen once."""
    return max(1, n_views // batch_size)


def _schedule(peak: float, steps: int) -> Any:
    """A linear rise, then a cosine down to a small rate at the last step."""
    import keras
    from keras import ops

    ramp = max(_WARM_UP * steps, _WARM_UP_STEPS)

    class WarmUpThenCosine(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            done = ops.cast(step, "float32") + 1
            fall = 0.5 * (1 + ops.cos(np.pi * ops.minimum(done / steps, 1.0)))
            return peak * ops.minimum(done / ramp, 1.0) * (_LAST_RATE + (1 - _LAST_RATE) * fall)

        def get_config(self) -> dict[str, Any]:
            return {"peak": peak, "steps": steps}

    return WarmUpThenCosine()
