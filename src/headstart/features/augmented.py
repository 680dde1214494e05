"""Features of augmented images, for heads that learn from images as they are and as they might have been."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import BaseSpec, load_base
from headstart.bases.base import Base
from headstart.config import Augmentation
from headstart.data.examples import Example
from headstart.data.readers import decode_examples
from headstart.data.resizing import Resize
from headstart.errors import IntegrityError
from headstart.features.engines import KerasEngine, OpenVINOEngine, prepare
from headstart.features.extraction import FeatureSet
from headstart.features.store import Digest
from headstart.features.views import Plan, compute_views, stored_views
from headstart.system import keras_worker
from headstart.system.locks import patient_lock
from headstart.system.progress import NO_PROGRESS, Progress

_PROBE_EXAMPLES = 4


def augmented_features(
    base: Base,
    features: FeatureSet,
    examples: Sequence[Example],
    digests: Sequence[Digest],
    pipelines: Sequence[Augmentation],
    folder: Path,
    *,
    seed: int,
    cache: Path,
    progress: Progress = NO_PROGRESS,
) -> np.ndarray:
    """Compute features of versions of some images, or take them from ``folder``; a killed pass continues there.

    Args:
        base: the frozen base, for images.
        features: of images as they are; the engine and precision that gave these are taken.
        examples: images, all of which can be used.
        digests: content digest of each.
        pipelines: of each version, its augmentation.
        folder: for the values; belongs to these arguments alone.
        seed: of the augmentation.
        cache: the cache folder.
        progress: follows the work.

    Returns:
        float16, or float32 where that cannot hold them, (pipelines, examples, d).

    Raises:
        UnavailableError: no backend is installed that can augment.
    """
    plan = Plan(examples, digests, [], [], list(pipelines), seed)
    folder.mkdir(parents=True, exist_ok=True)
    with patient_lock(f"{folder}.lock", "computing features of augmented images"):
        views = stored_views(plan, folder)
        if views is None:
            probe = decode_examples(base.reader(), examples[:_PROBE_EXAMPLES])
            xml = None if features.by_keras else prepare(base, cache, probe).xml
            arguments = {
                "spec": base.spec.to_json(), "resize": base.input_facts()["resize"], "xml": xml and str(xml),
                "precision": features.precision, "dim": features.dim, "plan": plan.to_json(), "folder": str(folder),
            }  # fmt: skip
            keras_worker.call(
                f"{__name__}:compute", arguments, backend=keras_worker.training_backend(), progress=progress
            )
            views = stored_views(plan, folder)
    if views is None:
        raise IntegrityError(f"the features of augmented images in {folder} are not complete: delete this folder.")
    indices = np.arange(len(examples))
    return np.stack([views.train(indices, np.full_like(indices, view)) for view in range(len(pipelines))])


def compute(
    spec: dict[str, object],
    resize: Resize,
    xml: str | None,
    precision: str,
    dim: int,
    plan: dict[str, Any],
    folder: str,
    progress: Progress,
) -> None:
    """Compute the views of a plan into ``folder``. In a Keras process; see :func:`augmented_features`."""
    base = load_base(BaseSpec.from_json(spec), resize=resize, progress=progress)
    engine = OpenVINOEngine(Path(xml), precision) if xml else KerasEngine(base.model())
    compute_views(
        Plan.from_json(plan), base.reader(), engine, (dim,), Path(folder), label="augmented", progress=progress
    )
