"""The files of a detector: ``model.keras``, its form for OpenVINO, and the proof that its base was frozen."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import IntegrityError
from headstart.model_files.keras_file import FreezeProof, base_digests, make_proof
from headstart.system.keras_worker import full_float32

logger = logging.getLogger(__name__)

MODEL_FILE, ENGINE_FILE = "model.keras", "model.xml"

_MAX_DIFFERENCE = 1e-3  # of a box, as a share of the input, or of a score; between Keras and the engine in float32


def write_model(model: Any, folder: Path, probe: np.ndarray) -> float | None:
    """Write ``model.keras``, and ``model.xml`` with its ``.bin`` if OpenVINO can run the model. In a Keras process.

    Args:
        model: from raw pixels to boxes and scores.
        folder: for the files.
        probe: uint8 images (n, h, w, 3) on which both forms are compared.

    Returns:
        The largest difference between both forms; None if OpenVINO cannot run the model.

    Raises:
        IntegrityError: they differ by more than rounding.
    """
    model.save(folder / MODEL_FILE)
    with full_float32():
        expected = np.asarray(model.predict_on_batch(probe))
    return _export(model, folder / ENGINE_FILE, probe, expected)


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
    if len(graph.outputs) > 1:  # some layers leave sizes that they computed among them
        graph = openvino.Model(graph.get_results()[:1], graph.get_parameters(), "detector")
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


def freeze_proof(keras_file: Path, before: list[str], statistics: int) -> FreezeProof:
    """Compare the tensors in a finished file with those of the base as it was loaded.

    Args:
        keras_file: the finished file.
        before: digest of each tensor of the base, hex.
        statistics: how many of them are moving means and variances of BatchNormalization.

    Raises:
        IntegrityError: a tensor of the base is not in the file.
    """
    after = Counter(base_digests(keras_file, with_head=True))
    changed = sum((Counter(before) - after).values())
    return make_proof(keras_file, Counter(before), changed, sum(after.values()), statistics)
