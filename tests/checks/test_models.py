"""Model files with mistakes, saved by Keras, and a correct one; all are opened in one Keras process."""

import functools
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.checks.rules.catalog import RULES
from headstart.errors import InputError
from tests.lazy import Lazy

keras, layers = Lazy("keras"), Lazy("keras.layers")


def set_variance(base, variance):
    """Set the variance of all BatchNormalization layers; any value but 1, the initial one, means a pretrained base."""
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, variance))


@functools.cache
def mobilenet(**options):
    return keras.applications.MobileNetV2(
        **{"weights": None, "include_top": False, "alpha": 0.35, "input_shape": (96, 96, 3), **options}
    )


def base(trainable, variance=2.0, **options):
    """A MobileNetV2, the same object each time: a model is saved before the object is changed again."""
    model = mobilenet(**options)
    model.trainable = trainable
    set_variance(model, variance)
    return model


def rescaling():
    return layers.Rescaling(1 / 127.5, offset=-1)


def add_head(
    base, scale=None, units=3, activation="softmax", augment=None, flatten=False, loss=None, **compile_options
):
    inputs = keras.Input(base.input_shape[1:])
    x = layers.RandomFlip()(inputs, training=augment)
    head = layers.Flatten() if flatten else layers.GlobalAveragePooling2D()
    x = head(base((scale or rescaling())(x), training=False))
    return compile_model(keras.Model(inputs, layers.Dense(units, activation=activation)(x)), loss, **compile_options)


def compile_model(model, loss=None, rate=1e-3, metrics=()):
    model.compile(keras.optimizers.Adam(rate), loss or "sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def correct():
    return add_head(base(trainable=False), metrics=["accuracy"])


def wrong_values():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return add_head(base(trainable=False), layers.Rescaling(1 / 127.5, offset=1), augment=True, loss=loss)


def scaled_twice():
    small = keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(32, 32, 3), name="base")
    set_variance(small, 2.0)
    small.trainable = False
    return add_head(small, layers.Rescaling(1 / 255), activation=None)


def random_weights():
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return add_head(base(trainable=False, variance=1.0), units=1, activation=None, loss=loss, metrics=["accuracy"])


def many_weights():
    partly_frozen = base(trainable=True)
    for i, layer in enumerate(partly_frozen.layers):
        layer.trainable = i > 100
    x = add_head(partly_frozen, units=440, activation="relu", flatten=True)
    return compile_model(keras.Sequential([x, layers.Dense(1, activation="sigmoid")]))


def with_top():
    whole_base = base(trainable=False, include_top=True)
    model = keras.Sequential([keras.Input((96, 96, 3)), rescaling(), whole_base, layers.Dense(3, activation="softmax")])
    return compile_model(model, "binary_crossentropy")


def inlined_base():
    """A nested model with the scaling as an operation, and with the layers of the base."""
    inputs = keras.Input((96, 96, 3))
    inner_base = base(trainable=False, alpha=1.0, input_shape=None, input_tensor=inputs / 255.0)
    extractor = keras.Model(inputs, layers.GlobalAveragePooling2D()(inner_base.output))
    return keras.Sequential([extractor, layers.Dense(1, activation="softmax")])


MODELS = {
    correct: set(),
    wrong_values: {"wrong-rescaling", "augmentation-always-on", "softmax-with-from-logits"},
    scaled_twice: {"double-rescaling", "input-size-far-from-default", "logits-without-from-logits"},
    random_weights: {"frozen-random-weights", "accuracy-of-logits"},
    many_weights: {"learning-rate-too-high", "batchnorm-not-frozen", "flatten-large-map", "one-unit-categorical"},
    with_top: {"top-not-removed", "loss-activation-mismatch"},
    inlined_base: {"wrong-rescaling", "one-unit-softmax"},
}


@pytest.mark.slow
def test_mistakes_are_found_in_models_that_have_them_but_not_in_a_run(tmp_path: Path, run) -> None:
    expected = {run.folder / "model.keras": set()}
    for make, rules in MODELS.items():
        model = make()
        for file in [tmp_path / f"{make.__name__}.keras", *([tmp_path / "old.h5"] if make is wrong_values else [])]:
            expected[file] = rules
            model.save(file)
    findings = hs.check(*expected)
    assert {file: {finding.name for finding in findings if finding.file == str(file)} for file in expected} == expected
    assert set().union(*MODELS.values()) == {rule.name for rule in RULES if "models" in rule.found_in}
    assert {finding.line for finding in findings} == {None}


def test_models_that_cannot_be_checked(tmp_path: Path, caplog) -> None:
    (tmp_path / "a.keras").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"a\.keras is damaged or not a Keras model"):
        hs.check(tmp_path / "a.keras")
    small = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    small.save_weights(tmp_path / "b.weights.h5")
    with pytest.raises(InputError, match=r"b\.weights\.h5 contains weights only"):
        hs.check(tmp_path / "b.weights.h5")
    keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x + 1)]).save(tmp_path / "c.keras")
    with pytest.raises(InputError, match=r"c\.keras has a Lambda layer, which runs code"):
        hs.check(tmp_path / "c.keras")
    assert hs.check(tmp_path) == []
    warnings = caplog.text
    assert "a.keras is damaged" in warnings
    assert "c.keras has a Lambda" in warnings
