"""Exported models, each run by its own runtime: arrays in, the values of the run out.

These are probabilities (n, classes), or of a detector boxes and scores (n, points, 4 + classes).
"""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from headstart.exporting.box_forms import LOCATION, SCORE, SUPPRESSED, from_location, from_suppressed, from_yolo
from headstart.features.engines import compile_graph
from headstart.system.keras_worker import silent_stderr

Model = Callable[[np.ndarray], np.ndarray]

_YOLO_RANK = 3  # of what detectors give
_REPEATS = 3  # time measurements of each single example


def open_model(kind: str, path: Path) -> Model:
    """An exported model as a function of a batch.

    Args:
        kind: kind of its format, such as ``onnx``.
        path: its file or folder.
    """
    return {
        "onnx": _onnx, "litert": _litert, "openvino": _openvino, "saved-model": _saved_model, "keras": _keras
    }[kind](path)  # fmt: skip


def open_suppressing(path: Path, n_classes: int) -> Model:
    """The boxes that an ONNX model leaves, as values, see :func:`headstart.exporting.box_forms.from_suppressed`."""
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def predict(batch: np.ndarray) -> np.ndarray:
        boxes, scores, classes = session.run(list(SUPPRESSED[:3]), {name: batch})
        return from_suppressed(boxes, scores, classes, n_classes)

    return predict


def replay(model: Model, batches: Sequence[np.ndarray], singles: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """The values (n, …) of a sample, and the time for one example by itself in milliseconds.

    The time is the median over the single examples of the fastest measurement of each, because other work of the
    machine can only make a measurement slower.
    """
    values = np.concatenate([model(batch) for batch in batches])
    fastest = []
    for single in singles:
        model(single)
        times = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            model(single)
            times.append(time.perf_counter() - start)
        fastest.append(min(times))
    return values, 1000 * float(np.median(fastest))


def _onnx(path: Path) -> Model:
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def _litert(path: Path) -> Model:
    """LiteRT models take one example at a time, as on a phone."""
    with silent_stderr():  # it prints which delegate it uses
        interpreter = import_module("ai_edge_litert.interpreter").Interpreter(str(path))
        interpreter.allocate_tensors()
    (input_details,) = interpreter.get_input_details()
    input_index, shape = input_details["index"], tuple(input_details["shape"])
    index_of = {details["name"]: details["index"] for details in interpreter.get_output_details()}

    def predict_one(row: np.ndarray) -> np.ndarray:
        nonlocal shape
        if row.shape != shape:  # texts differ in their number of tokens
            interpreter.resize_tensor_input(input_index, row.shape)
            interpreter.allocate_tensors()
            shape = row.shape
        interpreter.set_tensor(input_index, row)
        interpreter.invoke()
        outputs = {name: interpreter.get_tensor(index) for name, index in index_of.items()}
        if LOCATION in outputs:
            return from_location(outputs[LOCATION], outputs[SCORE])
        (probabilities,) = outputs.values()
        return probabilities

    return lambda batch: np.concatenate([predict_one(row[np.newaxis]) for row in batch])


def _openvino(path: Path) -> Model:
    compiled = compile_graph(str(path), "float32")

    def predict(batch: np.ndarray) -> np.ndarray:
        values = compiled(batch)[0]
        return from_yolo(values, batch.shape[1:3]) if values.ndim == _YOLO_RANK else values

    return predict


def _saved_model(path: Path) -> Model:
    loaded = import_module("tensorflow").saved_model.load(str(path))
    return lambda batch: loaded.serve(batch).numpy()


def _keras(path: Path) -> Model:
    model = import_module("keras").models.load_model(path)
    return lambda batch: np.asarray(model.predict_on_batch(batch))
