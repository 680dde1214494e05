"""Model files with mistakes, saved by Keras, and one without; all are opened in one Keras process."""

from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.checks.rules import RULES
from headstart.errors import InputError

keras = pytest.importorskip("keras")
layers = keras.layers


def trained(base):
    """A base whose BatchNormalization layers are no longer as they were made: what pretrained ones look like."""
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, 2.0))
    return base


def mobilenet(size=96, **options):
    return keras.applications.MobileNetV2(
        **{"weights": None, "include_top": False, "alpha": 0.35, "input_shape": (size, size, 3), **options}
    )


def on_top(
    base, scale, units=3, activation="softmax", training=False, augment=None, head=layers.GlobalAveragePooling2D
):
    inputs = keras.Input(base.input_shape[1:])
    x = layers.RandomFlip()(inputs, training=augment)
    x = head()(base(scale(x), training=training))
    return keras.Model(inputs, layers.Dense(units, activation=activation)(x))


def compiled(model, loss="sparse_categorical_crossentropy", rate=1e-3, metrics=()):
    model.compile(keras.optimizers.Adam(rate), loss, metrics=list(metrics))
    return model


SCALED = layers.Rescaling(1 / 127.5, offset=-1)


def right():
    base = trained(mobilenet())
    base.trainable = False
    return compiled(on_top(base, SCALED), metrics=["accuracy"])


def wrong_values():
    base = trained(mobilenet())
    base.trainable = False
    model = on_top(base, layers.Rescaling(1 / 127.5, offset=1), augment=True)
    return compiled(model, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def scaled_twice():
    base = trained(
        keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(32, 32, 3), name="base")
    )
    base.trainable = False
    return compiled(on_top(base, layers.Rescaling(1 / 255), activation=None))


def random_weights():
    base = mobilenet()
    base.trainable = False
    model = on_top(base, SCALED, units=1, activation=None)
    return compiled(model, keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])


def in_name_only():
    return compiled(on_top(trained(mobilenet()), SCALED, units=1), "binary_crossentropy", rate=1e-5)


def many_weights():
    base = trained(mobilenet())
    for layer in base.layers[:100]:
        layer.trainable = False
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    x = on_top(base, SCALED, units=440, activation="relu", head=layers.Flatten)
    return compiled(keras.Sequential([x, layers.Dense(1, activation="sigmoid")]))


def on_the_top():
    base = trained(mobilenet(include_top=True))
    base.trainable = False
    for layer in base.layers[-10:]:
        layer.trainable = True
    model = keras.Sequential([keras.Input((96, 96, 3)), SCALED, base, layers.Dense(3, activation="softmax")])
    return compiled(model, "binary_crossentropy")


def layers_inline():
    """The layers of the base in the model's own graph, and the scaling as operations."""
    inputs = keras.Input((96, 96, 3))
    base = trained(mobilenet(alpha=1.0, input_shape=None, input_tensor=inputs / 255.0))
    base.trainable = False
    x = layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


MODELS = {
    right: set(),
    wrong_values: {"wrong-rescaling", "augmentation-always-on", "softmax-with-from-logits"},
    scaled_twice: {"double-rescaling", "input-size-far-from-default", "logits-without-from-logits"},
    random_weights: {"frozen-random-weights", "accuracy-of-logits"},
    in_name_only: {"frozen-in-name-only", "one-unit-softmax"},
    many_weights: {"learning-rate-too-high", "flatten-large-map", "one-unit-categorical"},
    on_the_top: {"top-left-on", "unfrozen-inside-frozen", "loss-for-other-outputs"},
    layers_inline: {"wrong-rescaling"},
}


@pytest.mark.slow
def test_each_mistake_is_found_in_a_model_that_has_it(tmp_path: Path) -> None:
    files = {}
    for make, expected in MODELS.items():
        model = make()
        files[tmp_path / f"{make.__name__}.keras"] = expected
        model.save(tmp_path / f"{make.__name__}.keras")
        if make in (right, wrong_values):
            files[tmp_path / f"{make.__name__}.h5"] = expected
            model.save(tmp_path / f"{make.__name__}.h5")
    found = hs.check(*files)
    assert {file: {one.name for one in found if one.file == str(file)} for file in files} == files
    assert set().union(*MODELS.values()) == {rule.name for rule in RULES if "models" in rule.found_in}
    assert {one.line for one in found} == {None}


def test_nothing_is_found_in_a_run(run) -> None:
    assert hs.check(run.folder) == []


def test_models_that_cannot_be_checked(tmp_path: Path) -> None:
    (tmp_path / "a.keras").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"a\.keras is damaged or not a Keras model"):
        hs.check(tmp_path / "a.keras")
    small = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    small.save_weights(tmp_path / "b.weights.h5")
    with pytest.raises(InputError, match=r"b\.weights\.h5 holds weights only"):
        hs.check(tmp_path / "b.weights.h5")
    keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x + 1)]).save(tmp_path / "c.keras")
    with pytest.raises(InputError, match=r"c\.keras has a lambda layer, which runs code"):
        hs.check(tmp_path / "c.keras")
