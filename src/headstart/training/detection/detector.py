"""Training of a detector: decides what to train and reads the result; :mod:`.trainer` trains, in a Keras process."""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import BaseSpec, ImageBase
from headstart.bases.derived import derive
from headstart.bases.maps import FeatureMap, find_maps
from headstart.config import DetectorConfig
from headstart.data.examples import Example
from headstart.data.readers import decode_examples
from headstart.errors import InputError, counted
from headstart.features.engines import Engine, EngineName, KerasEngine, OpenVINOEngine, prepare, resolve_precision
from headstart.model_files.detector_file import ENGINE_FILE, MODEL_FILE
from headstart.model_files.keras_file import FreezeProof
from headstart.system import keras_worker
from headstart.system.atomic import atomic_file
from headstart.system.checksums import CHECKSUMS, is_intact, write_checksums
from headstart.system.disk import size_on_disk
from headstart.system.locks import own_folder
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import Precision, cache_folder
from headstart.tasks.detection.boxes import Boxes
from headstart.training.detection.job import DetectorJob, write_boxes
from headstart.training.detection.out_of_fold import OUTPUT_FILE, fold_arguments, fold_job, read_detections
from headstart.training.detection.trainer import STATE_FILE
from headstart.training.detection.view_folders import mark_as_used, remove_old_views, views_folder

logger = logging.getLogger(__name__)

DETECTOR_VERSION = 3
"""Part of every cache key: raise it when the same job would give other weights or another history."""

BATCH_SIZE = 16

_STEPS = 460  # of training, about: small data sets are seen more often
_MAX_VIEWS, _MIN_VIEWS = 6, 2
_ALL_VIEWS = 6000  # of all images together, where there are more than a few
_MIN_EPOCHS, _MAX_EPOCHS = 4, 60
_LEARNING_RATE, _WEIGHT_DECAY = 4e-3, 0.02
_DISK_SHARE = 0.5  # of what is free, for views


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
    """

    folder: Path
    base: ImageBase
    maps: tuple[FeatureMap, ...]
    proof: FreezeProof
    history: tuple[dict[str, Any], ...]
    facts: dict[str, Any]
    out_of_fold: np.ndarray | None = None

    @property
    def xml(self) -> Path | None:
        """The form that OpenVINO runs; None if OpenVINO cannot run it."""
        return self.folder / ENGINE_FILE if self.facts["converted"] else None


@dataclass(frozen=True)
class LabelledImages:
    """Images with their objects.

    Attributes:
        examples: the images.
        digests: content digest of each.
        objects: the objects in each.
    """

    examples: Sequence[Example]
    digests: Sequence[bytes]
    objects: Sequence[Boxes]


def train_detector(
    base: ImageBase,
    train: LabelledImages,
    val: LabelledImages,
    n_classes: int,
    config: DetectorConfig,
    *,
    folds: np.ndarray | None = None,
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
    probe = decode_examples(base.reader(), list(train.examples[:4]))
    maps = find_maps(prepare(base, cache, probe).blocks, base.input_size)
    with_maps = derive_maps(base, maps)
    xml = None if engine == "keras" else prepare(with_maps, cache, probe).xml
    job = _plan(with_maps, maps, train, val, n_classes, config, seed=seed, time_limit=time_limit)
    job = replace(job, xml=str(xml) if xml else None, precision=resolve_precision(precision) if xml else "float32")
    key = _key(job, with_maps, backend, [*train.objects, *val.objects])
    with own_folder(cache / "tuning" / key, "training the same detector") as work:
        is_trained = _is_finished(work)
        fold_folder = None if folds is None else work / f"folds-{_fold_key(folds)}"
        if not (is_trained and (fold_folder is None or _is_finished(fold_folder))):
            with own_folder(views_folder(cache, job, with_maps), "training on the same views") as views:
                job = replace(job, folder=str(work), boxes=str(work / "boxes.npz"), views_folder=str(views))
                if not is_trained:
                    _train(job, train, val, backend, progress)
                if fold_folder is not None and folds is not None:
                    _fit_folds(job, fold_folder, train.objects, folds, backend, progress)
                mark_as_used(views)
            remove_old_views(cache)
        facts = json.loads((work / "facts.json").read_text())
        out_of_fold = read_detections(fold_folder / OUTPUT_FILE) if fold_folder and fold_folder.exists() else None
    history, proof = facts.pop("history"), FreezeProof(**facts.pop("proof"))
    return DetectorResult(work, with_maps, maps, proof, tuple(history), facts, out_of_fold)


def _is_finished(folder: Path) -> bool:
    return (folder / CHECKSUMS).exists() and is_intact(folder)


def _fold_key(folds: np.ndarray) -> str:
    return hashlib.sha256(np.asarray(folds, "<i8").tobytes()).hexdigest()[:16]


def open_detector(result: DetectorResult, precision: str) -> Engine:
    """What runs a trained detector: raw pixels in, boxes and scores of all points out."""
    if result.xml:
        return OpenVINOEngine(result.xml, precision)
    keras = keras_worker.import_keras()
    return KerasEngine(keras.models.load_model(result.folder / MODEL_FILE))


def derive_maps(base: ImageBase, maps: Sequence[FeatureMap]) -> ImageBase:
    """The base with these maps as its features."""
    spec: BaseSpec = replace(base.spec, maps=tuple(level.block for level in maps))
    return derive(base, spec).for_images()


def _plan(
    base: ImageBase,
    maps: Sequence[FeatureMap],
    train: LabelledImages,
    val: LabelledImages,
    n_classes: int,
    config: DetectorConfig,
    *,
    seed: int,
    time_limit: float | None,
) -> DetectorJob:
    """The job, but for its files."""
    n = len(train.examples)
    views = config.detector_views or max(_MIN_VIEWS, min(_MAX_VIEWS, _ALL_VIEWS // n))
    steps = max(1, n * views // BATCH_SIZE)
    epochs = config.detector_epochs or max(_MIN_EPOCHS, min(_MAX_EPOCHS, round(_STEPS / steps)))
    return DetectorJob(
        spec=base.spec.to_json(),
        resize=base.resize,
        input_size=base.input_size,
        maps=[asdict(level) for level in maps],
        xml=None,
        precision="float32",
        n_classes=n_classes,
        examples=[example.to_json() for example in [*train.examples, *val.examples]],
        digests=[digest.hex() for digest in [*train.digests, *val.digests]],
        n_train=n,
        boxes="",
        views=views,
        flips=not config.no_mirror,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=_LEARNING_RATE,
        weight_decay=_WEIGHT_DECAY,
        seed=seed,
        time_limit=time_limit,
        folder="",
        views_folder="",
    )


def _key(job: DetectorJob, base: ImageBase, backend: str, objects: Sequence[Boxes]) -> str:
    """Identifies everything that the result depends on."""
    facts = {name: value for name, value in asdict(job).items() if name not in ("spec", "xml", "examples")}
    facts |= {"version": DETECTOR_VERSION, "base": base.digest, "input": base.input_facts(), "backend": backend}
    material = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for boxes in objects:
        for array in (boxes.coordinates, boxes.classes, boxes.ignored, np.array(boxes.size)):
            material.update(np.ascontiguousarray(array).tobytes() + b"\n")
    return material.hexdigest()[:32]


def _train(job: DetectorJob, train: LabelledImages, val: LabelledImages, backend: str, progress: Progress) -> None:
    """Train in a Keras process; the finished model and the facts are in the folder of the job afterwards."""
    work, views = Path(job.folder), Path(job.views_folder)
    work.mkdir(parents=True, exist_ok=True)  # a damaged one was removed
    values = sum(math.prod(level["shape"]) for level in job.maps)
    n_bytes = 2 * values * (len(train.examples) * job.views + len(val.examples))
    _check_disk_space(views, n_bytes)
    write_boxes(work / "boxes.npz", [*train.objects, *val.objects])
    logger.info(
        f"training a detector on {counted(len(train.examples), 'image')}, {counted(job.views, 'view')} of each, for "
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


def _fit_folds(
    job: DetectorJob, folder: Path, objects: Sequence[Boxes], folds: np.ndarray, backend: str, progress: Progress
) -> None:
    """Detect in the training images out of fold, if a time limit leaves time for it."""
    if job.time_limit is not None:
        facts = json.loads(Path(job.folder, "facts.json").read_text())
        job = replace(job, time_limit=job.time_limit - facts["seconds"] - facts["views_s"])
        if (job.time_limit or 0) <= 0:
            logger.warning("the time limit left no time to examine the boxes of the training images")
            return
    folder.mkdir(exist_ok=True)
    job = fold_job(job, folder, folds)
    write_boxes(Path(job.boxes), [*objects])
    logger.info(
        f"examining the boxes of {counted(len(folds), 'training image')}: {1 + int(folds.max())} fits without a part "
        f"of them, {counted(job.epochs, 'epoch')} each"
    )
    keras_worker.call(
        "headstart.training.detection.out_of_fold:fit_folds", fold_arguments(job, folds), backend=backend,
        progress=progress,
    )  # fmt: skip
    Path(job.boxes).unlink()
    write_checksums(folder)


def _check_disk_space(views: Path, n_bytes: int) -> None:
    n_bytes -= size_on_disk(views)
    free = shutil.disk_usage(views).free
    if n_bytes > _DISK_SHARE * free:
        raise InputError(
            f"training needs {n_bytes / 1e9:,.1f} GB in the cache, and may use {_DISK_SHARE:.0%} of the "
            f"{free / 1e9:,.1f} GB that are free in {views.parents[1]}: use fewer views or a smaller image, or set "
            "HEADSTART_CACHE to a folder on another disk.",
            field="detector_views",
        )
