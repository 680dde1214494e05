"""Grad-CAM in closed form against Grad-CAM by gradients, on nested bases of Keras Applications."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.bases import BaseSpec
from headstart.bases.keras_applications import load
from headstart.explanation.activations import Computed, KerasActivations, OpenVINOActivations, open_activations
from headstart.explanation.grad_cam import grad_cam, score_and_gradient
from headstart.features.engines import prepare
from headstart.model_files.openvino_file import write_engine
from headstart.runs.predictor import Predictor
from headstart.system.settings import cache_folder
from headstart.training import Head
from tests.conftest import SIZE

FAMILIES = {
    "Xception": 71, "VGG16": 64, "ResNet50V2": 64, "InceptionV3": 139, "MobileNetV2": 64, "MobileNetV3Small": 64,
    "DenseNet121": 64, "EfficientNetB0": 64, "ConvNeXtTiny": 64,
}  # fmt: skip
"""One of each way to end: with a convolution, its activation, a sum, a concatenation, a normalisation."""

HIDDEN = {"MobileNetV2": [12, 8], "ResNet50V2": [10]}


def with_head(keras, base, units: list[int]):
    """The base with a head of random weights, made as a run makes it."""
    x = base.output
    for number, size in enumerate(units, 1):
        x = keras.layers.Dropout(0.5)(x)
        x = keras.layers.Dense(size, activation="relu", name=f"head_{number}", bias_initializer="random_normal")(x)
    x = keras.layers.Dense(3, "softmax", name="predictions", bias_initializer="random_normal")(x)
    return keras.Model(base.input, x)


def by_gradients(keras, base, model, pixels: np.ndarray, answer: int) -> tuple[np.ndarray, float]:
    """Grad-CAM as its paper has it, before the ReLU; and the score that is differentiated."""
    import tensorflow as tf

    network = next(layer for layer in base.layers if isinstance(layer, keras.Model))
    rest = [*base.layers[base.layers.index(network) + 1 :], *model.layers[len(base.layers) : -1]]
    last = network.output
    if len(last.shape) == 2:  # it pools by itself
        place = next(i for i, layer in enumerate(network.layers) if layer.name.startswith("global_average_pooling"))
        last, rest = network.layers[place].input, [*network.layers[place:], *rest]
    preprocessed = keras.Model(base.input, base.get_layer("preprocessing").output)(pixels)
    maps = keras.Model(network.inputs, last)(preprocessed)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        x = maps
        for layer in rest:
            x = layer(x)
        logits = (x @ model.layers[-1].kernel + model.layers[-1].bias)[0]
        score = logits[answer] - tf.reduce_mean(logits)
    weights = tf.reduce_mean(tape.gradient(score, maps), (1, 2))
    return np.asarray(tf.reduce_sum(maps * weights[:, None, None], -1))[0], float(score)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_closed_form_is_what_gradients_give(name: str) -> None:
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    size = FAMILIES[name]
    keras.utils.set_random_seed(0)
    base = load(BaseSpec(f"keras:{name}", "none", (size, size))).model()
    model = with_head(keras, base, HIDDEN.get(name, []))
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    activations = KerasActivations(model, "softmax")
    assert len(activations.pooled_maps) == 1
    computed = activations(pixels)
    np.testing.assert_allclose(computed.maps[0].mean((1, 2)), computed.pooled[0], rtol=1e-3, atol=1e-5)
    answer = int(computed.probabilities[0].argmin())
    ours = grad_cam(activations, computed, np.array([answer]))[0]
    theirs, score = by_gradients(keras, base, model, pixels, answer)
    assert ours.mean() == pytest.approx(score, rel=1e-3, abs=1e-4)
    theirs = theirs * ours.size  # it takes the mean of the gradients, and the places share in the score
    assert np.ptp(theirs) > 0
    np.testing.assert_allclose(ours - ours.mean(), theirs - theirs.mean(), atol=2e-3 * np.abs(theirs).max())
    keras.backend.clear_session()


def _flat(computed: Computed) -> list[np.ndarray]:
    return [computed.probabilities, computed.features, *computed.maps, *computed.pooled]


@pytest.mark.slow
def test_the_engine_computes_the_map_of_keras(run: hs.Run) -> None:
    keras = pytest.importorskip("keras")
    on_engine = open_activations(Predictor(run.folder, expected=1))
    on_keras = KerasActivations(keras.models.load_model(run.model_path), "softmax")
    with np.load(run.folder / "golden.npz") as golden:
        pixels, probabilities = golden["inputs"], golden["probabilities"]
    found, expected = on_engine(pixels), on_keras(pixels)
    tolerance = run.facts.engine.tolerance
    np.testing.assert_allclose(found.probabilities, probabilities, atol=tolerance)
    for ours, theirs in zip(_flat(found), _flat(expected), strict=True):
        assert np.linalg.norm(ours - theirs) < 2 * tolerance * np.linalg.norm(theirs)
    for ours, theirs in zip(on_engine.head.layers[0], on_keras.head.layers[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_hidden_layers_are_found_in_the_engine(run: hs.Run, tmp_path: Path) -> None:
    with np.load(run.folder / "golden.npz") as golden:
        pixels = golden["inputs"]
    prepared = prepare(hs.load_base(input_size=SIZE), cache_folder(), pixels)
    rng = np.random.default_rng(0)
    sizes = [prepared.facts["shape"][0], 12, 8, 3]
    layers = [(rng.normal(0, 0.3, pair).astype(np.float32), rng.normal(0, 0.1, pair[1])) for pair in pairwise(sizes)]
    head = Head(tuple((kernel, bias.astype(np.float32)) for kernel, bias in layers))
    write_engine(prepared.xml, head, tmp_path / "model.xml")
    activations = OpenVINOActivations(tmp_path / "model.xml", "float32", "softmax")
    for ours, theirs in zip(activations.head.layers, head.layers, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    computed = activations(pixels)
    np.testing.assert_allclose(computed.probabilities, head(computed.features), atol=1e-4)
    answers = np.zeros(len(pixels), int)
    evidence = grad_cam(activations, computed, answers)
    np.testing.assert_allclose(
        evidence.mean((1, 2)), score_and_gradient(computed.features, head, answers)[0], rtol=1e-3
    )
