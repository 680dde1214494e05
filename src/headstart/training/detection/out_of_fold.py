"""Detections in training images by detectors that did not see them: they tell which boxes are probably wrong.

The images are in folds. For each fold a new neck and head are trained on the others, and detect in the images of the
fold. The views are in the cache, so the base does not run again. A fit is shorter than the training: a quarter of its
steps, but at least 100, unless the training has less.
"""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.system.atomic import atomic_file
from headstart.system.locks import patient_lock
from headstart.system.progress import Bar, Progress
from headstart.tasks.detection.boxes import Detections
from headstart.training.detection.job import DetectorJob, job_from_json
from headstart.training.detection.trainer import DetectorState, DetectorTrainer
from headstart.training.fine_tuning.variables import assign_values, copy_values, state_variables

OUTPUT_FILE = "out-of-fold.npz"

_LEAST_STEPS, _SHARE = 100, 0.25


def fold_job(job: DetectorJob, folder: Path, folds: np.ndarray) -> DetectorJob:
    """The job of the fits: without validation images, in a folder of its own, and with fewer epochs.

    Args:
        job: of the training.
        folder: for the results.
        folds: int (n_train,), number of the fold of each training image.
    """
    n_trained = len(folds) * (1 - 1 / (1 + int(folds.max())))
    steps = steps_per_epoch(round(n_trained * job.views), job.batch_size)
    needed_steps = max(_LEAST_STEPS, _SHARE * job.epochs * steps_per_epoch(len(folds) * job.views, job.batch_size))
    return replace(
        job,
        examples=job.examples[: job.n_train],
        digests=job.digests[: job.n_train],
        epochs=min(job.epochs, round(np.ceil(needed_steps / steps))),
        folder=str(folder),
        boxes=str(folder / "boxes.npz"),
    )


def steps_per_epoch(n_views: int, batch_size: int) -> int:
    """Number of steps in which so many views are seen once."""
    return max(1, n_views // batch_size)


def fit_folds(progress: Progress, folds: list[int], **job: Any) -> dict[str, Any]:
    """Fit all folds, and write what is detected in the images of each; gives the ``seconds``.

    Args:
        progress: follows the work.
        folds: number of the fold of each image.
        job: the fields of a job by :func:`fold_job`.
    """
    with patient_lock(Path(job["folder"], "training.lock"), "examining the same labels"):
        return FoldTrainer(job_from_json(job), np.array(folds), progress).run()


class FoldTrainer(DetectorTrainer):
    """A training for each fold, one after another, from the same initial weights.

    Args:
        job: by :func:`fold_job`.
        folds: int (n,), number of the fold of each image.
        progress: follows the steps.
    """

    def __init__(self, job: DetectorJob, folds: np.ndarray, progress: Progress) -> None:
        self.folds = folds
        super().__init__(job, progress)

    @property
    def _steps_per_epoch(self) -> int:
        n_folds = 1 + int(self.folds.max())
        return steps_per_epoch(round(self.n_views * (1 - 1 / n_folds)), self.job.batch_size)

    def run(self) -> dict[str, Any]:
        """Fit all folds; see :func:`fit_folds`."""
        started, n_folds = time.monotonic(), 1 + int(self.folds.max())
        variables, outputs = state_variables(self.model), np.empty(len(self.folds), object)
        initial = copy_values(variables)
        steps = self.job.epochs * self._steps_per_epoch
        with self.progress.start("checking labels", n_folds * steps, "steps") as bar:
            for fold in range(n_folds):
                assign_values(variables, initial)
                self.state, self.average = DetectorState(), copy_values(self.model.weights)
                deadline = started + (fold + 1) / n_folds * (self.job.time_limit or float("inf"))
                self._fit(np.flatnonzero(self.folds != fold), steps, deadline, bar)
                assign_values(self.model.weights, self.average)
                images = np.flatnonzero(self.folds == fold)
                sizes = [self.objects[i].size for i in images.tolist()]
                outputs[images] = _object_array(self._detections(images * self.job.views, sizes))
        write_detections(self.folder / OUTPUT_FILE, outputs.tolist())
        return {"seconds": round(time.monotonic() - started, 2)}

    def _fit(self, images: np.ndarray, steps: int, deadline: float, bar: Bar) -> None:
        """Train on the views of some images."""
        views = (images[:, None] * self.job.views + np.arange(self.job.views)).ravel()
        size, rng = min(self.job.batch_size, len(views)), np.random.default_rng(self.job.seed)
        order = np.empty(0, np.int64)
        for _ in range(steps):
            if len(order) < size:
                order = rng.permutation(views)
            numbers, order = np.sort(order[:size]), order[size:]
            self.model.train_on_batch(self._inputs(numbers), self.targets.batch(numbers))
            self._update_average()
            bar.advance(1)
            if time.monotonic() > deadline:
                break


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
        return _object_array([Detections(a, b, c, size) for a, b, c, size in zip(*parts, sizes, strict=True)])


def _object_array(items: list[Detections]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def fold_arguments(job: DetectorJob, folds: np.ndarray) -> dict[str, Any]:
    """The arguments of :func:`fit_folds`, as plain data."""
    return {"folds": folds.tolist(), **asdict(job)}
