"""The finished detector: one model from raw pixels to boxes and scores, in both its forms."""

import hashlib
import logging
import math
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import BaseSpec, load_base
from headstart.errors import IntegrityError
from headstart.model_files.keras_file import WEIGHTS, tensor_digest
from headstart.system.keras_worker import full_float32
from headstart.training.detection.job import DetectorJob
from headstart.training.detection.network import boxes_of, detection_layers
from headstart.training.detection.points import Points

logger = logging.getLogger(__name__)

MODEL_FILE, ENGINE_FILE = "model.keras", "model.xml"

_MAX_DIFFERENCE = 1e-3  # of a box, as a share of the input, or of a score; between Keras and the engine in float32


def write_detector(job: DetectorJob, trained: Any, points: Points, probe: np.ndarray) -> dict[str, Any]:
    """Write ``model.keras``, and ``model.xml`` for OpenVINO, into the folder of a job. In a Keras process.

    Args:
        job: that was trained.
        trained: the model from maps to logits.
        points: at which it predicts.
        probe: uint8 images (n, h, w, 3) on which both forms are compared.

    Returns:
        ``parameters`` of neck and head; ``points``; ``converted``, whether there is a form for OpenVINO; its largest
        ``difference`` from Keras; and the fields of :class:`headstart.model_files.keras_file.FreezeProof`.

    Raises:
        IntegrityError: a tensor of the base differs from the one that was loaded.
    """
    import keras

    base = load_base(BaseSpec.from_json(job.spec), resize=job.resize).for_images()
    base_model = base.model()
    before = [tensor_digest(np.asarray(weight)) for weight in base_model.weights]
    statistics = sum(weight.path.endswith(("moving_mean", "moving_variance")) for weight in base_model.weights)
    maps = _split(base_model.output, job.maps)
    logits, distances = detection_layers(maps, [level["stride"] for level in job.maps], base.input_size, job.n_classes)
    model = keras.Model(base_model.input, _values(logits, distances, points, base.input_size), name="headstart")
    weight_of = {weight.path: weight for weight in trained.weights}
    for weight in model.weights[len(before) :]:
        weight.assign(np.asarray(weight_of[weight.path]))
    folder = Path(job.folder)
    model.save(folder / MODEL_FILE)
    with full_float32():
        expected = np.asarray(model.predict_on_batch(probe))
    difference = _export(model, folder / ENGINE_FILE, probe, expected)
    return {
        "parameters": sum(math.prod(weight.shape) for weight in trained.trainable_weights),
        "points": len(points.strides),
        "converted": difference is not None,
        "difference": difference,
        "proof": _freeze_proof(folder / MODEL_FILE, before, statistics),
    }


def _values(class_logits: Any, distance_logits: Any, points: Points, input_size: tuple[int, int]) -> Any:
    """What the finished model gives, float32 (n, points, 4 + classes).

    These are x1, y1, x2, y2 as shares of the width and the height of the input, and a score from 0 to 1 of each class.
    """
    from keras import ops

    h, w = input_size
    boxes = boxes_of(distance_logits, *points) / np.array([w, h, w, h], np.float32)
    return ops.concatenate([boxes, ops.sigmoid(class_logits)], axis=-1)


def _split(values: Any, maps: list[dict[str, Any]]) -> list[Any]:
    """The maps of a base, (n, h, w, c) each, from its features, in which they stand one after the other."""
    from keras import layers

    ends = np.cumsum([math.prod(level["shape"]) for level in maps]).tolist()
    starts = [0, *ends[:-1]]
    return [
        layers.Reshape(level["shape"], name=f"map_{i}")(values[:, start:end])
        for i, (level, start, end) in enumerate(zip(maps, starts, ends, strict=True))
    ]


def _export(model: Any, path: Path, probe: np.ndarray, expected: np.ndarray) -> float | None:
    """Write the form of the model that OpenVINO runs; gives its difference from Keras, None if it cannot be written."""
    import openvino

    exported = path.with_name("exported.xml")
    core = openvino.Core()
    try:
        model.export(str(exported), format="openvino", verbose=False)
        graph = core.read_model(str(exported))
    except Exception as exc:  # noqa: BLE001 - some layers of users' own models
        logger.info(f"note: the detector cannot be converted for OpenVINO ({exc}); Keras runs it, which is slower.")
        return None
    openvino.save_model(graph, str(path), compress_to_fp16=False)
    del graph  # it maps the exported file, which Windows could not delete before
    for suffix in (".xml", ".bin"):
        exported.with_suffix(suffix).unlink()
    computed = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(probe)[0]
    difference = float(np.abs(computed - expected).max())
    if difference > _MAX_DIFFERENCE:
        raise IntegrityError(
            f"the detector for OpenVINO differs from Keras by {difference:.1e}, more than {_MAX_DIFFERENCE}. Nothing "
            "was saved; please report this."
        )
    return difference


def _freeze_proof(keras_file: Path, before: list[str], statistics: int) -> dict[str, Any]:
    """Compare the tensors in the finished file with those of the base as it was loaded."""
    import h5py

    digests: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and "seed_generator" not in name:
            digests.append(tensor_digest(np.asarray(item)))

    with (
        zipfile.ZipFile(keras_file) as source,
        tempfile.TemporaryDirectory(dir=keras_file.parent) as scratch,
        h5py.File(source.extract(WEIGHTS, scratch), "r") as file,
    ):
        file.visititems(visit)
    changed = sum((Counter(before) - Counter(digests)).values())
    if changed:
        raise IntegrityError(
            f"{changed} of {len(before)} frozen tensors in {keras_file} differ from the base's: the base has changed "
            "though it was frozen. Nothing was saved; please report this."
        )
    sha256 = hashlib.sha256("".join(sorted(before)).encode()).hexdigest()
    return {
        "tensors": len(before), "statistics": statistics, "changed": changed, "trained": len(digests) - len(before),
        "sha256": sha256,
    }  # fmt: skip
