"""Training of a detector: decides what to train and reads the result; :mod:`.trainer` trains, in a Keras process."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import ImageBase
from headstart.bases.maps import FeatureMap
from headstart.config import DetectorConfig
from headstart.errors import counted
from headstart.features.engines import Engine, EngineName, KerasEngine, OpenVINOEngine
from headstart.model_files.detector_file import ENGINE_FILE, MODEL_FILE
from headstart.model_files.keras_file import FreezeProof
from headstart.system import keras_worker
from headstart.system.atomic import atomic_file
from headstart.system.checksums import write_checksums
from headstart.system.locks import own_folder
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import Precision, cache_folder
from headstart.tasks.detection.boxes import Boxes
from headstart.training.detection.job import DetectorJob, write_boxes
from headstart.training.detection.plan import LabelledImages, bytes_of_views, check_disk_space, plan_detector
from headstart.training.detection.short_fits import (
    ShortFit,
    fit_detectors,
    fold_fits,
    is_finished,
    steps_of_fit,
    steps_of_training,
)
from headstart.training.detection.trainer import STATE_FILE
from headstart.training.detection.view_folders import mark_as_used, remove_old_views, views_folder

logger = logging.getLogger(__name__)

_LEAST_SHARE = 0.25  # of the steps of the training, for the smallest subset


@dataclass(frozen=True)
class DetectorResult:
    """A trained detector.

    Attributes:
        folder: in the cache, with ``model.keras``, and ``model.xml`` and ``model.bin`` if OpenVINO can run it.
        base: with maps.
        maps: of the base, the finest first.
        proof: that the base did not change.
        history: rows for ``history.csv``.
        facts: epochs, seconds, sizes, why training stopped …
        out_of_fold: object array (n_train,), the detections in the training images by detectors that did not see them;
            None where no folds were given, or no time was left.
        subset_detections: for each subset of the training images the detections in the validation images by a detector
            that was trained on it alone, object array (n_val,).
    """

    folder: Path
    base: ImageBase
    maps: tuple[FeatureMap, ...]
    proof: FreezeProof
    history: tuple[dict[str, Any], ...]
    facts: dict[str, Any]
    out_of_fold: np.ndarray | None = None
    subset_detections: tuple[np.ndarray, ...] = ()

    @property
    def xml(self) -> Path | None:
        """The form that OpenVINO runs; None if OpenVINO cannot run it."""
        return self.folder / ENGINE_FILE if self.facts["converted"] else None


def train_detector(
    base: ImageBase,
    train: LabelledImages,
    val: LabelledImages,
    n_classes: int,
    config: DetectorConfig,
    *,
    folds: np.ndarray | None = None,
    subsets: Sequence[np.ndarray] = (),
    seed: int = 0,
    time_limit: float | None = None,
    engine: EngineName = "auto",
    precision: Precision = "auto",
    cache: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> DetectorResult:
    """Train neck and head of a detector on a frozen base.

    Args:
        base: the frozen base.
        train: images to train on.
        val: images to validate on; may be empty.
        n_classes: number of classes.
        config: epochs, views …
        folds: int (n_train,), number of the fold of each training image, to detect in all of them out of fold.
        subsets: positions of training images; a detector is trained on those of each subset alone, too.
        seed: of everything random.
        time_limit: in seconds; training then ends after the step in which it is over.
        engine: runs the frozen base.
        precision: of its arithmetic.
        cache: the cache folder; None means the user's.
        progress: follows the work.

    Raises:
        InputError: the base has no feature maps, or the disk has no room for the views.
        UnavailableError: no Keras backend that can train is installed.
    """
    cache = cache or cache_folder()
    backend = keras_worker.training_backend()
    plan = plan_detector(
        base, train, val, n_classes, config, seed=seed, time_limit=time_limit, engine=engine, precision=precision,
        cache=cache,
    )  # fmt: skip
    job, objects = plan.job, [*train.objects, *val.objects]
    with own_folder(cache / "tuning" / plan.key(backend, objects), "training the same detector") as work:
        is_trained, out_of_fold, subset_detections = is_finished(work), None, []
        if not is_trained or folds is not None or subsets:
            with own_folder(views_folder(cache, job, plan.base), "training on the same views") as views:
                job = replace(job, folder=str(work), boxes=str(work / "boxes.npz"), views_folder=str(views))
                if not is_trained:
                    _train(job, objects, backend, progress)
                if folds is not None:
                    out_of_fold = _detect_out_of_fold(job, objects, folds, backend, progress)
                subset_detections = [_fit_subset(job, objects, subset, backend, progress) for subset in subsets]
                mark_as_used(views)
            remove_old_views(cache)
        facts = json.loads((work / "facts.json").read_text())
    history, proof = facts.pop("history"), FreezeProof(**facts.pop("proof"))
    return DetectorResult(
        work, plan.base, plan.maps, proof, tuple(history), facts, out_of_fold, tuple(subset_detections)
    )


def _key_of(numbers: np.ndarray) -> str:
    return hashlib.sha256(np.asarray(numbers, "<i8").tobytes()).hexdigest()[:16]


def open_detector(result: DetectorResult, precision: str) -> Engine:
    """What runs a trained detector: raw pixels in, boxes and scores of all points out."""
    if result.xml:
        return OpenVINOEngine(result.xml, precision)
    keras = keras_worker.import_keras()
    return KerasEngine(keras.models.load_model(result.folder / MODEL_FILE))


def _fit_subset(
    job: DetectorJob, objects: Sequence[Boxes], subset: np.ndarray, backend: str, progress: Progress
) -> np.ndarray:
    """The detections in the validation images by a detector that is trained on some of the training images alone.

    It has nearly as many steps as the training, or the gain from more images would be underestimated: of 205 images of
    blood cells, a quarter and all gave mAP50-95 of .47 and .48 after 115 steps, and .48 and .56 after 345. A half
    needs more steps than a quarter.
    """
    share = len(subset) / job.n_train
    steps = round(steps_of_training(job) * (_LEAST_SHARE + (1 - _LEAST_SHARE) * share))
    folder = Path(job.folder, f"subset-{_key_of(subset)}")
    fit = ShortFit(subset.tolist(), range(job.n_train, len(objects)))
    (detections,) = fit_detectors(
        job, folder, objects, [fit], steps, label=f"learning curve: {counted(len(subset), 'image')}", backend=backend,
        progress=progress,
    )  # fmt: skip
    return detections


def _train(job: DetectorJob, objects: Sequence[Boxes], backend: str, progress: Progress) -> None:
    """Train in a Keras process; the finished model and the facts are in the folder of the job afterwards."""
    work, views = Path(job.folder), Path(job.views_folder)
    work.mkdir(parents=True, exist_ok=True)  # a damaged one was removed
    n_bytes = bytes_of_views(job)
    check_disk_space(views, n_bytes)
    write_boxes(work / "boxes.npz", [*objects])
    logger.info(
        f"training a detector on {counted(job.n_train, 'image')}, {counted(job.views, 'view')} of each, for "
        f"{counted(job.epochs, 'epoch')}; {n_bytes / 1e6:,.0f} MB in the cache"
    )
    facts = keras_worker.call(
        "headstart.training.detection.trainer:train", asdict(job), backend=backend, progress=progress
    )
    facts |= {
        "views": job.views, "batch_size": job.batch_size, "learning_rate": job.learning_rate,
        "cached_mb": round(n_bytes / 1e6, 1), "backend": backend,
    }  # fmt: skip
    with atomic_file(work / "facts.json", durable=True) as path:
        path.write_text(json.dumps(facts))
    for name in (STATE_FILE, "boxes.npz"):
        (work / name).unlink(missing_ok=True)
    write_checksums(work)


def _detect_out_of_fold(
    job: DetectorJob, objects: Sequence[Boxes], folds: np.ndarray, backend: str, progress: Progress
) -> np.ndarray | None:
    """The detections in the training images by detectors that did not see them; None if no time is left for it."""
    folder, fits, steps = Path(job.folder, f"folds-{_key_of(folds)}"), fold_fits(folds), steps_of_fit(job)
    if job.time_limit is not None and not is_finished(folder):
        facts = json.loads(Path(job.folder, "facts.json").read_text())
        job = replace(job, time_limit=job.time_limit - facts["seconds"] - facts["views_s"])
        if (job.time_limit or 0) <= 0:
            logger.warning("the time limit left no time to examine the boxes of the training images")
            return None
    logger.info(
        f"examining the boxes of {counted(len(folds), 'training image')}: {len(fits)} fits without a part of them, "
        f"{counted(steps, 'step')} each"
    )
    detections = fit_detectors(
        job, folder, objects, fits, steps, label="checking labels", backend=backend, progress=progress
    )
    out_of_fold = np.empty(len(folds), object)
    for fit, of_fold in zip(fits, detections, strict=True):
        out_of_fold[list(fit.judged)] = of_fold
    return out_of_fold
