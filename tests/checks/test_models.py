"""Model files with mistakes, saved by Keras, and one without; all are opened in one Keras process."""

import functools
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.checks.rules import RULES
from headstart.errors import InputError

keras = pytest.importorskip("keras")
layers = keras.layers


SCALED = layers.Rescaling(1 / 127.5, offset=-1)


def set_statistics(base, variance):
    """Of its BatchNormalization layers: 1 is what they are made with, anything else is what pretrained ones have."""
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, variance))


@functools.cache
def mobilenet(**options):
    return keras.applications.MobileNetV2(
        **{"weights": None, "include_top": False, "alpha": 0.35, "input_shape": (96, 96, 3), **options}
    )


def base(trainable, variance=2.0, **options):
    """The same each time: it is saved before it is changed again."""
    made = mobilenet(**options)
    made.trainable = trainable
    set_statistics(made, variance)
    return made


def on_top(
    base,
    scale=SCALED,
    units=3,
    activation="softmax",
    augment=None,
    head=layers.GlobalAveragePooling2D,
    loss=None,
    **how,
):
    inputs = keras.Input(base.input_shape[1:])
    x = layers.RandomFlip()(inputs, training=augment)
    x = head()(base(scale(x), training=False))
    return compiled(keras.Model(inputs, layers.Dense(units, activation=activation)(x)), loss, **how)


def compiled(model, loss=None, rate=1e-3, metrics=()):
    model.compile(keras.optimizers.Adam(rate), loss or "sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def right():
    return on_top(base(trainable=False), metrics=["accuracy"])


def wrong_values():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return on_top(base(trainable=False), layers.Rescaling(1 / 127.5, offset=1), augment=True, loss=loss)


def scaled_twice():
    small = keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(32, 32, 3), name="base")
    set_statistics(small, 2.0)
    small.trainable = False
    return on_top(small, layers.Rescaling(1 / 255), activation=None)


def random_weights():
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return on_top(base(trainable=False, variance=1.0), units=1, activation=None, loss=loss, metrics=["accuracy"])


def many_weights():
    partly = base(trainable=True)
    for i, layer in enumerate(partly.layers):
        layer.trainable = i > 100
    x = on_top(partly, units=440, activation="relu", head=layers.Flatten)
    return compiled(keras.Sequential([x, layers.Dense(1, activation="sigmoid")]))


def on_the_top():
    whole = base(trainable=False, include_top=True)
    model = keras.Sequential([keras.Input((96, 96, 3)), SCALED, whole, layers.Dense(3, activation="softmax")])
    return compiled(model, "binary_crossentropy")


def layers_inline():
    """A model in the model: the scaling as an operation, then the layers of the base one by one."""
    inputs = keras.Input((96, 96, 3))
    inside = base(trainable=False, alpha=1.0, input_shape=None, input_tensor=inputs / 255.0)
    extractor = keras.Model(inputs, layers.GlobalAveragePooling2D()(inside.output))
    return keras.Sequential([extractor, layers.Dense(1, activation="softmax")])


MODELS = {
    right: set(),
    wrong_values: {"wrong-rescaling", "augmentation-always-on", "softmax-with-from-logits"},
    scaled_twice: {"double-rescaling", "input-size-far-from-default", "logits-without-from-logits"},
    random_weights: {"frozen-random-weights", "accuracy-of-logits"},
    many_weights: {"learning-rate-too-high", "frozen-in-name-only", "flatten-large-map", "one-unit-categorical"},
    on_the_top: {"top-left-on", "loss-for-other-outputs"},
    layers_inline: {"wrong-rescaling", "one-unit-softmax"},
}


@pytest.mark.slow
def test_each_mistake_is_found_in_a_model_that_has_it_and_none_in_a_run(tmp_path: Path, run) -> None:
    expected = {run.folder / "model.keras": set()}
    for make, rules in MODELS.items():
        model = make()
        for file in [tmp_path / f"{make.__name__}.keras", *([tmp_path / "old.h5"] if make is wrong_values else [])]:
            expected[file] = rules
            model.save(file)
    found = hs.check(*expected)
    assert {file: {one.name for one in found if one.file == str(file)} for file in expected} == expected
    assert set().union(*MODELS.values()) == {rule.name for rule in RULES if "models" in rule.found_in}
    assert {one.line for one in found} == {None}


def test_models_that_cannot_be_checked(tmp_path: Path, caplog) -> None:
    (tmp_path / "a.keras").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"a\.keras is damaged or not a Keras model"):
        hs.check(tmp_path / "a.keras")
    small = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    small.save_weights(tmp_path / "b.weights.h5")
    with pytest.raises(InputError, match=r"b\.weights\.h5 holds weights only"):
        hs.check(tmp_path / "b.weights.h5")
    keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x + 1)]).save(tmp_path / "c.keras")
    with pytest.raises(InputError, match=r"c\.keras has a Lambda layer, which runs code"):
        hs.check(tmp_path / "c.keras")
    assert hs.check(tmp_path) == []
    told = caplog.text
    assert "a.keras is damaged" in told
    assert "c.keras has a Lambda" in told
