"""Decides how a detector is trained on a base: which maps of it, how many views and epochs."""

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from headstart.bases.base import BaseSpec, ImageBase
from headstart.bases.derived import derive
from headstart.bases.maps import FeatureMap, find_maps
from headstart.config import DetectorConfig
from headstart.data.examples import Example
from headstart.data.readers import decode_examples
from headstart.errors import InputError
from headstart.features.engines import EngineName, cached_blocks, prepare, resolve_precision
from headstart.system.disk import size_on_disk
from headstart.system.settings import Precision
from headstart.tasks.detection.boxes import Boxes
from headstart.training.detection.job import DetectorJob
from headstart.training.detection.trainer import steps_per_epoch

DETECTOR_VERSION = 3
"""Part of every cache key: raise it when the same job would give other weights or another history."""

BATCH_SIZE = 16

_STEPS = 460  # of training, about: small data sets are seen more often
_MAX_VIEWS, _MIN_VIEWS = 6, 2
_ALL_VIEWS = 6000  # of all images together, where there are more than a few
_MIN_EPOCHS, _MAX_EPOCHS = 4, 60
_LEARNING_RATE, _WEIGHT_DECAY = 4e-3, 0.02
_DISK_SHARE = 0.5  # of what is free, for views
_PROBED = 4  # images that a base is prepared with


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


@dataclass(frozen=True)
class DetectorPlan:
    """A training that is prepared.

    Attributes:
        job: without its files.
        base: with maps.
        maps: of the base, the finest first.
    """

    job: DetectorJob
    base: ImageBase
    maps: tuple[FeatureMap, ...]

    def key(self, backend: str, objects: Sequence[Boxes]) -> str:
        """Identifies everything that the result of the job depends on.

        Args:
            backend: of Keras.
            objects: in all images of the job.
        """
        facts = {name: value for name, value in asdict(self.job).items() if name not in ("spec", "xml", "examples")}
        facts |= {
            "version": DETECTOR_VERSION, "base": self.base.digest, "input": self.base.input_facts(), "backend": backend
        }  # fmt: skip
        material = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for boxes in objects:
            for array in (boxes.coordinates, boxes.classes, boxes.ignored, np.array(boxes.size)):
                material.update(np.ascontiguousarray(array).tobytes() + b"\n")
        return material.hexdigest()[:32]


def base_with_maps(base: ImageBase, cache: Path, probe: np.ndarray) -> tuple[ImageBase, tuple[FeatureMap, ...]]:
    """The base with its maps as features, and these maps.

    Args:
        base: the frozen base.
        cache: the cache folder, for the blocks of the base.
        probe: a few images as the base takes them, uint8 (n, h, w, 3).

    Raises:
        InputError: the base has no feature maps.
    """
    maps = find_maps(cached_blocks(base, cache, probe), base.input_size)
    spec: BaseSpec = replace(base.spec, maps=tuple(level.block for level in maps))
    return derive(base, spec).for_images(), maps


def views_of_image(config: DetectorConfig, n_train: int) -> int:
    """How many views each training image has, the image as it is among them."""
    return config.detector_views or max(_MIN_VIEWS, min(_MAX_VIEWS, _ALL_VIEWS // n_train))


def plan_detector(
    base: ImageBase,
    train: LabelledImages,
    val: LabelledImages,
    n_classes: int,
    config: DetectorConfig,
    *,
    seed: int,
    time_limit: float | None,
    engine: EngineName,
    precision: Precision,
    cache: Path,
) -> DetectorPlan:
    """Prepare a base for a training; for the arguments see :func:`headstart.training.detection.train_detector`.

    Raises:
        InputError: the base has no feature maps.
    """
    probe = decode_examples(base.reader(), list(train.examples[:_PROBED]))
    with_maps, maps = base_with_maps(base, cache, probe)
    xml = None if engine == "keras" else prepare(with_maps, cache, probe).xml
    n = len(train.examples)
    views = views_of_image(config, n)
    steps = steps_per_epoch(n * views, BATCH_SIZE)
    job = DetectorJob(
        spec=with_maps.spec.to_json(),
        resize=with_maps.resize,
        input_size=with_maps.input_size,
        maps=[asdict(level) for level in maps],
        xml=str(xml) if xml else None,
        precision=resolve_precision(precision) if xml else "float32",
        n_classes=n_classes,
        examples=[example.to_json() for example in [*train.examples, *val.examples]],
        digests=[digest.hex() for digest in [*train.digests, *val.digests]],
        n_train=n,
        boxes="",
        views=views,
        flips=not config.no_mirror,
        epochs=config.detector_epochs or max(_MIN_EPOCHS, min(_MAX_EPOCHS, round(_STEPS / steps))),
        batch_size=BATCH_SIZE,
        learning_rate=_LEARNING_RATE,
        weight_decay=_WEIGHT_DECAY,
        seed=seed,
        time_limit=time_limit,
        folder="",
        views_folder="",
    )
    return DetectorPlan(job, with_maps, maps)


def bytes_of_views(job: DetectorJob) -> int:
    """What the maps of all views take on disk, as float16."""
    values = sum(math.prod(level["shape"]) for level in job.maps)
    return 2 * values * (job.n_train * job.views + len(job.examples) - job.n_train)


def check_disk_space(views: Path, n_bytes: int) -> None:
    """Check that the views have room in their folder.

    Raises:
        InputError: they would take too much of what is free.
    """
    n_bytes -= size_on_disk(views)
    free = shutil.disk_usage(views).free
    if n_bytes > _DISK_SHARE * free:
        raise InputError(
            f"training needs {n_bytes / 1e9:,.1f} GB in the cache, and may use {_DISK_SHARE:.0%} of the "
            f"{free / 1e9:,.1f} GB that are free in {views.parents[1]}: use fewer views or a smaller image, or set "
            "HEADSTART_CACHE to a folder on another disk.",
            field="detector_views",
        )
