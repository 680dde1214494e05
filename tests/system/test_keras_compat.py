"""What headstart uses of Keras beside its documented interface, on the installed version. No other module may do so."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.system import keras_compat
from tests.lazy import Lazy

keras = Lazy("keras")

PACKAGE = Path(headstart.__file__).parent
OWN_MODULE = PACKAGE / "system/keras_compat.py"
ALLOWED = {"_asdict", "_fields", "_replace", "_exit"}  # documented by Python: of named tuples, and os._exit


def _private_attributes(path: Path) -> list[str]:
    """``line: name`` of private attributes of foreign objects, and of modules inside Keras, in a source file.

    An attribute is the file's own where the file defines it, as a method, a class variable or on ``self``.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    uses: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                own.add(name)
            case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                uses.append((node.lineno, name))
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, ast.Constant(value=str(name)), *_]
            ):
                if name.startswith("_"):
                    uses.append((node.lineno, name))
            case ast.ImportFrom(module="keras.src") | ast.Import(names=[ast.alias(name="keras.src")]):
                uses.append((node.lineno, "keras.src"))
    return [f"{path.name}:{line}: {name}" for line, name in uses if name not in own | ALLOWED]


def test_no_other_module_uses_private_attributes() -> None:
    uses = [use for path in sorted(PACKAGE.rglob("*.py")) if path != OWN_MODULE for use in _private_attributes(path)]
    assert uses == []
    assert [use for use in _private_attributes(OWN_MODULE) if "_flatten_layers" in use]


@pytest.fixture(scope="module")
def model() -> Any:
    """Two Dense layers, the first of them in a nested sequential model."""
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu", name="first")], name="inner")
    start = keras.Input((4,))
    return keras.Model(start, keras.layers.Dense(2, name="last")(inner(start)))


def test_layers_inside_layers_are_found(model: Any) -> None:
    names = [layer.name for layer in keras_compat.all_layers(model, include_self=False)]
    assert {"inner", "first", "last"} <= set(names)
    assert keras_compat.all_layers(model)[0] is model


def test_a_tensor_leads_to_the_layer_that_made_it(model: Any) -> None:
    node = keras_compat.node_of(model.outputs[0])
    assert node.operation is model.get_layer("last")
    assert keras_compat.node_of(node.input_tensors[0]).operation is model.get_layer("inner")
    assert node.outputs[0] is model.outputs[0]


def test_a_graph_runs_layer_by_layer(model: Any) -> None:
    pixels = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    names = []

    def record(layer: Any) -> Any:
        names.append(layer.name)
        return layer

    outputs = keras_compat.run_graph(model, keras.ops.convert_to_tensor(pixels), record)
    np.testing.assert_allclose(np.asarray(outputs), model.predict_on_batch(pixels), atol=1e-6)
    assert names[-2:] == ["inner", "last"]
    calls = []
    keras_compat.run_graph(
        model.get_layer("inner"),
        keras.ops.convert_to_tensor(pixels),
        lambda layer: layer,
        lambda layer, x: calls.append(x),
    )
    assert len(calls) == 1


def test_layers_with_and_without_a_build_of_their_own() -> None:
    class Plain(keras.layers.Layer):
        def call(self, inputs: object) -> object:
            return inputs

    assert keras_compat.has_own_build(keras.layers.Dense(2))
    assert not keras_compat.has_own_build(Plain())


def test_the_stored_kernel_is_without_the_change_of_lora() -> None:
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    kernel = np.array(layer.kernel)
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 3)))
    assert np.abs(np.array(layer.kernel) - kernel).max() > 1e-3
    np.testing.assert_array_equal(np.array(keras_compat.stored_kernel(layer)), kernel)


def test_a_convolution_can_be_replaced() -> None:
    layer = keras.layers.Conv2D(2, 1, use_bias=False)
    pixels = np.random.default_rng(0).normal(size=(1, 3, 3, 4)).astype(np.float32)
    before = np.asarray(layer(pixels))
    keras_compat.set_convolution(layer, lambda inputs, kernel: 2 * keras.ops.matmul(inputs, kernel[0, 0]))
    np.testing.assert_allclose(np.asarray(layer(pixels)), 2 * before, rtol=1e-4, atol=1e-5)


def test_the_figures_of_a_step_are_those_of_its_batch_alone() -> None:
    """Whether or not Keras resets its metrics at each call."""
    start = keras.Input((2,))
    model = keras.Model(start, keras.layers.Dense(2, activation="softmax", kernel_initializer="zeros")(start))
    model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy", weighted_metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    keras_compat.build_metrics(model)
    inputs, weights = np.zeros((4, 2), np.float32), np.ones(4, np.float32)
    right, wrong = np.eye(2, dtype=np.float32)[[0] * 4], np.eye(2, dtype=np.float32)[[1] * 4]
    accuracies = [
        keras_compat.train_step(model, inputs, targets, weights)["accuracy"] for targets in (right, wrong, right)
    ]
    assert accuracies == [1, 0, 1]
    assert keras_compat.train_step(model, inputs, right, weights)["loss"] == pytest.approx(np.log(2))
