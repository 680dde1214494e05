"""A short training on a base, which tells how well the base suits some images with boxes."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.bases.base import ImageBase
from headstart.config import DetectorConfig
from headstart.system import keras_worker
from headstart.system.locks import own_folder
from headstart.system.progress import Progress
from headstart.training.detection.plan import LabelledImages, bytes_of_views, check_disk_space, plan_detector
from headstart.training.detection.short_fits import ShortFit, fit_detectors, steps_of_training
from headstart.training.detection.view_folders import mark_as_used, remove_old_views, views_folder


def detect_after_trial(
    base: ImageBase,
    train: LabelledImages,
    judged: LabelledImages,
    n_classes: int,
    config: DetectorConfig,
    steps: int,
    *,
    seed: int,
    cache: Path,
    progress: Progress,
) -> np.ndarray:
    """Train neck and head on a frozen base for a few steps, and detect in other images.

    Args:
        base: the frozen base.
        train: images to train on.
        judged: images to detect in.
        n_classes: number of classes.
        config: how many views of each image; the maps of a training with as many are used, and kept for it.
        steps: of the training, at most; a whole training by the same settings may have less.
        seed: of everything random.
        cache: the cache folder.
        progress: follows the work.

    Returns:
        The detections in the judged images, object array (judged,).

    Raises:
        InputError: the base has no feature maps, or the disk has no room for the views.
        UnavailableError: no Keras backend that can train is installed.
    """
    backend = keras_worker.training_backend()
    plan = plan_detector(
        base, train, judged, n_classes, config, seed=seed, time_limit=None, engine="auto", precision="auto",
        cache=cache,
    )  # fmt: skip
    objects = [*train.objects, *judged.objects]
    steps = min(steps, steps_of_training(plan.job))
    key = hashlib.sha256(f"{plan.key(backend, objects)} trial {steps}".encode()).hexdigest()[:32]
    n_train, n_images = plan.job.n_train, len(objects)
    fit = ShortFit(range(n_train), range(n_train, n_images))
    with own_folder(cache / "tuning" / key, "comparing the same bases") as work:
        with own_folder(views_folder(cache, plan.job, plan.base), "training on the same views") as views:
            check_disk_space(views, bytes_of_views(plan.job))
            (detections,) = fit_detectors(
                replace(plan.job, views_folder=str(views)), work, objects, [fit], steps, label="training in short",
                backend=backend, progress=progress,
            )  # fmt: skip
            mark_as_used(views)
        remove_old_views(cache)
    return detections
