"""The finished detector: one model from raw pixels to boxes and scores, in both its forms."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import BaseSpec, load_base
from headstart.errors import IntegrityError
from headstart.model_files.detector_file import MODEL_FILE, freeze_proof, write_model
from headstart.model_files.keras_file import tensor_digest
from headstart.training.detection.job import DetectorJob
from headstart.training.detection.network import boxes_of, detection_layers
from headstart.training.detection.points import Points

_LIKELY = 0.05  # score
_TOLERANCE = 0.1  # mean difference of a score: maps are cached in float16, and may be computed in bfloat16


def write_detector(
    job: DetectorJob, trained: Any, points: Points, probe: np.ndarray, expected: np.ndarray
) -> dict[str, Any]:
    """Write ``model.keras``, and ``model.xml`` for OpenVINO, into the folder of a job. In a Keras process.

    Args:
        job: that was trained.
        trained: the model from maps to logits.
        points: at which it predicts.
        probe: uint8 images (n, h, w, 3) on which both forms are compared.
        expected: scores (n, points, classes) of the trained model for them, from cached maps.

    Returns:
        ``parameters`` of neck and head; ``points``; ``converted``, whether there is a form for OpenVINO; its largest
        ``difference`` from Keras; and the fields of :class:`headstart.model_files.keras_file.FreezeProof`.

    Raises:
        IntegrityError: a tensor of the base differs from the one that was loaded, or the finished model computes
            something else than in training.
    """
    import keras

    base = load_base(BaseSpec.from_json(job.spec), resize=job.resize).for_images()
    base_model = base.model()
    before = [tensor_digest(np.asarray(weight)) for weight in base_model.weights]
    statistics = sum(weight.path.endswith(("moving_mean", "moving_variance")) for weight in base_model.weights)
    maps = _split(base_model.output, job.maps)
    logits, distances = detection_layers(maps, [level["stride"] for level in job.maps], base.input_size, job.n_classes)
    model = keras.Model(base_model.input, _values(logits, distances, points, base.input_size), name="headstart")
    weight_of = {weight.path: weight for weight in model.weights}
    for weight in trained.weights:
        weight_of[weight.path].assign(np.asarray(weight))
    _check_agreement(np.asarray(model.predict_on_batch(probe)), expected)
    folder = Path(job.folder)
    difference = write_model(model, folder, probe)
    return {
        "parameters": sum(math.prod(weight.shape) for weight in trained.trainable_weights),
        "points": len(points.strides),
        "converted": difference is not None,
        "difference": difference,
        "proof": asdict(freeze_proof(folder / MODEL_FILE, before, statistics)),
    }


def _check_agreement(finished: np.ndarray, expected: np.ndarray) -> None:
    """Compare the scores of a finished model with those of training, where either says that an object may be."""
    scores = finished[..., 4:]
    is_likely = np.maximum(scores, expected) > _LIKELY
    difference = float(abs(scores - expected)[is_likely].mean()) if is_likely.any() else 0.0
    if not difference <= _TOLERANCE:
        raise IntegrityError(
            f"the finished detector differs from training by {difference:.1e} in its scores (tolerance {_TOLERANCE}). "
            "Nothing was saved; please report this."
        )


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
