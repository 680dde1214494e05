"""Exported models, each executed by its own runtime: arrays in, probabilities (n, classes) out."""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from headstart.features.engines import compile_graph
from headstart.system.keras_worker import silent_stderr

Model = Callable[[np.ndarray], np.ndarray]

_ROUNDS = 3  # in which each single example is timed


def open_model(kind: str, path: Path) -> Model:
    """An exported model as a function of a batch.

    Args:
        kind: of its format.
        path: its file or folder.
    """
    return {
        "onnx": _onnx, "litert": _litert, "openvino": _openvino, "saved-model": _saved_model, "keras": _keras
    }[kind](path)  # fmt: skip


def replay(model: Model, batches: Sequence[np.ndarray], singles: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """What a model says of a sample: probabilities (n, classes), and milliseconds for one example by itself.

    Of each single example the fastest time counts, because whatever else the machine does can only add to it; of those
    the median.
    """
    probabilities = np.concatenate([model(batch) for batch in batches])
    fastest = []
    for one in singles:
        model(one)
        times = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            model(one)
            times.append(time.perf_counter() - start)
        fastest.append(min(times))
    return probabilities, 1000 * float(np.median(fastest))


def _onnx(path: Path) -> Model:
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def _litert(path: Path) -> Model:
    """One example at a time, as on a phone."""
    with silent_stderr():  # it announces what it computes with
        interpreter = import_module("ai_edge_litert.interpreter").Interpreter(str(path))
        interpreter.allocate_tensors()
    (given,), (told,) = interpreter.get_input_details(), interpreter.get_output_details()
    takes, gives, shape = given["index"], told["index"], tuple(given["shape"])

    def one(row: np.ndarray) -> np.ndarray:
        nonlocal shape
        if row.shape != shape:  # texts have as many tokens as they have
            interpreter.resize_tensor_input(takes, row.shape)
            interpreter.allocate_tensors()
            shape = row.shape
        interpreter.set_tensor(takes, row)
        interpreter.invoke()
        return interpreter.get_tensor(gives)

    return lambda batch: np.concatenate([one(row[np.newaxis]) for row in batch])


def _openvino(path: Path) -> Model:
    compiled = compile_graph(str(path), "float32")
    return lambda batch: compiled(batch)[0]


def _saved_model(path: Path) -> Model:
    loaded = import_module("tensorflow").saved_model.load(str(path))
    return lambda batch: loaded.serve(batch).numpy()


def _keras(path: Path) -> Model:
    model = import_module("keras").models.load_model(path)
    return lambda batch: np.asarray(model.predict_on_batch(batch))
