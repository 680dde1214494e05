"""Short trainings of a detector on some of its images, each of which then detects in other images.

They tell which boxes are probably wrong, and which base suits the images. Each starts from the same new neck and head.
The views are in the cache, so the base does not run again.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.system import keras_worker
from headstart.system.atomic import atomic_file
from headstart.system.checksums import CHECKSUMS, is_intact, write_checksums
from headstart.system.locks import patient_lock
from headstart.system.progress import Bar, Progress
from headstart.tasks.detection.boxes import Boxes, Detections
from headstart.training.detection.job import DetectorJob, job_from_json, write_boxes
from headstart.training.detection.trainer import DetectorState, DetectorTrainer, steps_per_epoch
from headstart.training.fine_tuning.variables import assign_values, copy_values, state_variables

_LEAST_STEPS, _SHARE = 100, 0.25


@dataclass(frozen=True)
class ShortFit:
    """One short training.

    Attributes:
        trained: numbers of the images that it learns from, among the training images of its job.
        judged: numbers of the images that it then detects in, among all images of its job.
    """

    trained: Sequence[int]
    judged: Sequence[int]


def fold_fits(folds: np.ndarray) -> list[ShortFit]:
    """A fit for each fold, which learns from the others and detects in the images of the fold.

    Args:
        folds: int (n_train,), number of the fold of each training image.
    """
    return [
        ShortFit(np.flatnonzero(folds != fold).tolist(), np.flatnonzero(folds == fold).tolist())
        for fold in range(1 + int(folds.max()))
    ]


def steps_of_training(job: DetectorJob) -> int:
    """Number of steps of the whole training."""
    return job.epochs * steps_per_epoch(job.n_train * job.views, job.batch_size)


def steps_of_fit(job: DetectorJob) -> int:
    """A quarter of the steps of the training, but at least 100, unless the training has less."""
    steps = steps_of_training(job)
    return min(steps, max(_LEAST_STEPS, round(_SHARE * steps)))


def fit_detectors(
    job: DetectorJob,
    folder: Path,
    objects: Sequence[Boxes],
    fits: Sequence[ShortFit],
    steps: int,
    *,
    label: str,
    backend: str,
    progress: Progress,
) -> list[np.ndarray]:
    """Train in a Keras process, or find in the cache what was trained before.

    Args:
        job: the training whose images and views are used; its time limit is for all fits together.
        folder: for the results; what the fits are names it.
        objects: in all images of the job.
        fits: what is trained.
        steps: of each fit.
        label: of the progress.
        backend: of Keras.
        progress: follows the steps.

    Returns:
        For each fit the detections in its judged images, object array (judged,).
    """
    if not is_finished(folder):
        folder.mkdir(parents=True, exist_ok=True)
        job = replace(job, folder=str(folder), boxes=str(folder / "boxes.npz"))
        write_boxes(Path(job.boxes), [*objects])
        numbers = [{"trained": [*fit.trained], "judged": [*fit.judged]} for fit in fits]
        keras_worker.call(
            "headstart.training.detection.short_fits:run_fits",
            {"fits": numbers, "steps": steps, "label": label, **asdict(job)},
            backend=backend, progress=progress,
        )  # fmt: skip
        Path(job.boxes).unlink()
        write_checksums(folder)
    return [read_detections(_result_file(folder, number)) for number in range(len(fits))]


def is_finished(folder: Path) -> bool:
    """Whether the results in a folder of the cache are complete."""
    return (folder / CHECKSUMS).exists() and is_intact(folder)


def run_fits(progress: Progress, fits: list[dict[str, Any]], steps: int, label: str, **job: Any) -> dict[str, Any]:
    """Train all fits, and write what each detects; gives the ``seconds``. See :func:`fit_detectors`."""
    with patient_lock(Path(job["folder"], "training.lock"), "the same short trainings"):
        trainer = ShortFitTrainer(job_from_json(job), steps, progress)
        return trainer.run_all([ShortFit(**fit) for fit in fits], label)


class ShortFitTrainer(DetectorTrainer):
    """Trains one fit after another, from the same initial weights.

    Args:
        job: whose images and views are used.
        steps: of each fit.
        progress: follows the steps.
    """

    def __init__(self, job: DetectorJob, steps: int, progress: Progress) -> None:
        self.steps = steps
        super().__init__(job, progress)

    @property
    def _n_steps(self) -> int:
        return self.steps

    def run_all(self, fits: Sequence[ShortFit], label: str) -> dict[str, Any]:
        """Train all fits; see :func:`fit_detectors`."""
        started = time.monotonic()
        variables = state_variables(self.model)
        initial = copy_values(variables)
        with self.progress.start(label, len(fits) * self.steps, "steps") as bar:
            for number, fit in enumerate(fits):
                assign_values(variables, initial)
                self.state, self.average = DetectorState(), copy_values(self.model.weights)
                deadline = started + (number + 1) / len(fits) * (self.job.time_limit or float("inf"))
                self._fit(np.array(fit.trained), deadline, bar)
                assign_values(self.model.weights, self.average)
                write_detections(_result_file(self.folder, number), self._detections_in(fit.judged))
        return {"seconds": round(time.monotonic() - started, 2)}

    def _fit(self, images: np.ndarray, deadline: float, bar: Bar) -> None:
        """Train on the views of some images."""
        views = (images[:, None] * self.job.views + np.arange(self.job.views)).ravel()
        size, rng = min(self.job.batch_size, len(views)), np.random.default_rng(self.job.seed)
        order = np.empty(0, np.int64)
        for _ in range(self.steps):
            if len(order) < size:
                order = rng.permutation(views)
            numbers, order = np.sort(order[:size]), order[size:]
            self.model.train_on_batch(self._inputs(numbers), self.targets.batch(numbers))
            self._update_average()
            bar.advance(1)
            if time.monotonic() > deadline:
                break

    def _detections_in(self, images: Sequence[int]) -> list[Detections]:
        """What the model detects in some images as they are."""
        numbers, n_train = np.array(images), self.job.n_train
        own_views = np.where(numbers < n_train, numbers * self.job.views, self.n_views + numbers - n_train)
        return self._detections(own_views, [self.objects[number].size for number in images])


def _result_file(folder: Path, number: int) -> Path:
    return folder / f"detections-{number}.npz"


def write_detections(path: Path, detections: list[Detections]) -> None:
    """Write the detections in some images."""
    with atomic_file(path, durable=True) as partial:
        np.savez(
            partial,
            coordinates=np.concatenate([item.coordinates for item in detections]),
            classes=np.concatenate([item.classes for item in detections]),
            scores=np.concatenate([item.scores for item in detections]),
            counts=[len(item) for item in detections],
            sizes=[item.size for item in detections],
        )


def read_detections(path: Path) -> np.ndarray:
    """The inverse of :func:`write_detections`: an object array (n,)."""
    with np.load(path) as saved:
        ends = np.cumsum(saved["counts"])[:-1]
        parts = (np.split(saved[name], ends) for name in ("coordinates", "classes", "scores"))
        sizes = [(int(h), int(w)) for h, w in saved["sizes"]]
        detections = np.empty(len(sizes), object)
        detections[:] = [Detections(a, b, c, size) for a, b, c, size in zip(*parts, sizes, strict=True)]
    return detections
