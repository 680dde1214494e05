"""Everything headstart uses of Keras that Keras does not document or that differs between its versions.

Keras has no public way to walk the layers inside a layer, to follow a symbolic tensor back to the layer that made it,
or to run a graph layer by layer. The functions here do so, and no other module reads a private attribute of Keras (a
test searches for them). When a new version of Keras breaks one, this is the only file to change.

Tried on the TensorFlow backend: these functions with Keras 3.13.2, 3.14.0, 3.14.1, 3.15.0 and 3.15.1; fine-tuning
with 3.15.0 and 3.15.1 only, because 3.14 has no ``MultiOptimizer``. ``.ci/newest-keras`` repeats that with the newest
version that ``pyproject.toml`` allows.
"""

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np


def import_keras() -> Any:
    """Import Keras without the settings file that it writes to the home directory, ``~/.keras/keras.json``.

    A settings file that exists applies. ``~/.keras`` remains the folder of what Keras downloads.
    """
    folder = Path("~/.keras").expanduser()
    if "keras" in sys.modules or "KERAS_HOME" in os.environ or (folder / "keras.json").exists():
        return importlib.import_module("keras")
    os.environ["KERAS_HOME"] = os.devnull  # not a folder: Keras cannot write into it, and continues
    try:
        keras = importlib.import_module("keras")
    finally:
        del os.environ["KERAS_HOME"]
    settings: Any = importlib.import_module("keras.src.backend.config")
    settings._KERAS_DIR = str(folder)
    return keras


def all_layers(layer: Any, *, include_self: bool = True) -> list[Any]:
    """A layer or model and every layer inside it, at any depth.

    Args:
        layer: a Keras layer or model.
        include_self: whether ``layer`` itself comes first.
    """
    return layer._flatten_layers(include_self=include_self)


_LAYERS_OF_APPLICATIONS = {"CustomScaleLayer": "inception_resnet_v2", "LayerScale": "convnext"}
"""Layers that are not public -> the module of ``keras.applications`` that has them."""


def layer_class(name: str) -> Any:
    """A class of layer of Keras, also one of those that only its applications use, which are not public."""
    module = _LAYERS_OF_APPLICATIONS.get(name)
    source = f"keras.src.applications.{module}" if module else "keras.layers"
    return getattr(importlib.import_module(source), name)


def load_model(path: Path) -> Any:
    """Open a model file of Keras 3, not compiled; no code from the file is executed.

    Keras does not find the layers of its own applications by their names in HDF5 files.
    """
    layers = {name: layer_class(name) for name in _LAYERS_OF_APPLICATIONS}
    saving = importlib.import_module("keras").saving
    return saving.load_model(path, custom_objects=layers, compile=False, safe_mode=True)


def inner_layer(layer: Any, path: str) -> Any | None:
    """The layer at a path of attributes inside another one, such as ``forward_layer/cell``; None where it ends.

    Keras names the groups of an archive by attributes, which are private in some layers (``_query_dense``).
    """
    for name in filter(None, path.split("/")):
        layer = getattr(layer, name, None)
    return layer


def node_of(tensor: Any) -> Any:
    """The node (one application of a layer) that made a symbolic tensor.

    Its attributes ``operation``, ``input_tensors`` and ``outputs`` are the layer and the tensors around it. The public
    ``layer.input`` does not do: it fails for a layer that is used twice, and for a nested model it gives the tensors of
    the inner graph.
    """
    layer, index, _ = tensor._keras_history
    return layer._inbound_nodes[index]


def run_graph(
    model: Any,
    inputs: Any,
    operation_of: Callable[[Any], Any],
    call: Callable[..., Any] | None = None,
) -> Any:
    """Apply the operations of a functional or sequential model one by one, and give its output in the same structure.

    ``keras.models.clone_model`` would copy the weights; here the layers are shared.

    Args:
        model: a built functional or sequential model.
        inputs: its inputs, symbolic or not.
        operation_of: gives what takes the place of each operation; the identity keeps all.
        call: applies it, as ``call(operation, *args, **kwargs)``; None just calls it.
    """
    graph = getattr(model, "_functional", None) or model  # a Sequential model keeps its graph there
    return graph._run_through_graph(inputs, operation_of, call or _apply)


def _apply(operation: Any, *args: Any, **kwargs: Any) -> Any:
    return operation(*args, **kwargs)


def has_own_build(layer: Any) -> bool:
    """Whether a layer's class defines ``build``; others make their weights when they are first called."""
    return not getattr(layer.build, "_is_default", False)


def stored_kernel(layer: Any) -> Any:
    """The kernel variable of a Dense or EinsumDense layer, without the change that LoRA adds to it.

    The public ``layer.kernel`` is the sum of both where LoRA is enabled.
    """
    return layer._kernel


def set_convolution(layer: Any, convolution: Callable[[Any, Any], Any]) -> None:
    """Let a convolution layer compute by another function of (inputs, kernel); its weights stay as they are.

    Keras documents ``convolution_op`` for subclasses to override; here it is replaced on one layer.
    """
    layer.convolution_op = convolution


def train_step(model: Any, inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> dict[str, float]:
    """Train a compiled model on one batch, and give the loss and the metrics of this batch alone.

    Up to some versions of Keras ``train_on_batch`` accumulates them until ``reset_metrics``; Keras 3.15 resets them at
    each call. They are reset here, so the result is the same with both.

    Args:
        model: a compiled model.
        inputs: of the batch.
        targets: as the loss takes them.
        weights: float (n,), one for each example; None where all count the same.
    """
    model.reset_metrics()
    figures = model.train_on_batch(inputs, targets, weights, return_dict=True)
    return {name: float(value) for name, value in figures.items()}


def build_metrics(model: Any) -> None:
    """Create the variables of a compiled model's metrics now, before its first step.

    Keras creates them in the first step, so TensorFlow traces that step twice.
    """
    batch = np.zeros((1, *model.output_shape[1:]), np.float32)
    model.compute_metrics(None, batch, batch, np.ones(1, np.float32))


def compute_openvino_in_float32() -> None:
    """Let Keras's OpenVINO backend compute in float32 on CPUs with bfloat16 as well; it leaves the choice to OpenVINO.

    To be called before Keras is imported: the backend compiles by ``openvino.compile_model``.
    """
    openvino: Any = importlib.import_module("openvino")
    openvino.compile_model = partial(openvino.compile_model, config={"INFERENCE_PRECISION_HINT": "f32"})
