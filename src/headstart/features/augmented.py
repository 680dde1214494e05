"""Features of augmented pictures, for heads that learn from pictures as they are and as they might have been."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from headstart.bases import BaseSpec, load_base
from headstart.bases.base import ImageBase
from headstart.config import Augmentation
from headstart.data.readers import Resize, decoded
from headstart.features.engines import KerasEngine, OpenVINOEngine, prepare
from headstart.features.extraction import FeatureSet
from headstart.features.views import Plan, compute_views
from headstart.system import keras_worker

_PROBE = 4


def augmented_features(
    base: ImageBase,
    features: FeatureSet,
    files: Sequence[Path],
    pipelines: Sequence[Augmentation],
    folder: Path,
    *,
    seed: int,
    cache: Path,
) -> np.ndarray:
    """Compute features of versions of some pictures, or find them in ``folder``; what a killed pass did is kept there.

    Args:
        base: the frozen base.
        features: of pictures as they are; the engine and precision that gave these are taken.
        files: pictures, all of which can be used.
        pipelines: of each version, its augmentation.
        folder: for the result and what leads to it; belongs to these arguments alone.
        seed: of the augmentation.
        cache: the cache folder.

    Returns:
        float16, or float32 where that cannot hold them, (pipelines, files, d), memory-mapped.

    Raises:
        UnavailableError: no backend is installed that can augment.
    """
    path = folder / "features.npy"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not path.exists():
            xml = None if features.by_keras else prepare(base, cache, decoded(base.reader(), files[:_PROBE])).xml
            arguments = {
                "spec": base.spec.to_json(), "resize": base.resize, "xml": xml and str(xml),
                "precision": features.precision, "dim": features.dim, "files": list(map(str, files)),
                "pipelines": list(pipelines), "seed": seed, "folder": str(folder),
            }  # fmt: skip
            keras_worker.call(f"{__name__}:compute", arguments, backend=keras_worker.training_backend())
    return np.load(path, mmap_mode="r")


def compute(
    spec: dict[str, object],
    resize: Resize,
    xml: str | None,
    precision: str,
    dim: int,
    files: list[str],
    pipelines: list[Augmentation],
    seed: int,
    folder: str,
) -> None:
    """Write ``features.npy`` into ``folder``. In a Keras process; see :func:`augmented_features`."""
    base = load_base(BaseSpec.from_json(spec), resize=resize)
    engine = OpenVINOEngine(Path(xml), precision) if xml else KerasEngine(base.model())
    plan = Plan(list(map(Path, files)), [], pipelines, seed)
    views = compute_views(plan, base.reader(), engine, (dim,), Path(folder, "views"), label="augmented")
    each = np.arange(len(files))
    partial = Path(folder, "features.partial.npy")
    np.save(partial, np.stack([views.train(each, np.full_like(each, view)) for view in range(len(pipelines))]))
    os.replace(partial, Path(folder, "features.npy"))
    shutil.rmtree(Path(folder, "views"))
