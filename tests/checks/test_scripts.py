"""Scripts with one mistake each, and the same script put right; scripts that are right in many styles."""

import json
from pathlib import Path

import pytest

import headstart as hs
from headstart.checks.rules import RULES
from headstart.errors import InputError

BEGINNING = """
import keras
import tensorflow as tf
from keras import layers
from keras.applications import EfficientNetB0, MobileNetV2, ResNet50, VGG16, Xception

def photos(**options):
    return keras.utils.image_dataset_from_directory(
        "photos", image_size=(224, 224), **{"validation_split": 0.2, "subset": "both", "seed": 1, **options}
    )

def on_top(base, x, units=3, activation="softmax"):
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    return layers.Dense(units, activation=activation)(x)

def frozen(application=MobileNetV2, **options):
    base = application(include_top=False, input_shape=(224, 224, 3), **options)
    base.trainable = False
    return base

def classifier(base, scale=lambda x: x / 127.5 - 1, units=3, activation="softmax"):
    inputs = keras.Input((224, 224, 3))
    return keras.Model(inputs, on_top(base, scale(inputs), units, activation))

def train(model, data, rate=1e-3, loss="sparse_categorical_crossentropy", **options):
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    model.fit(data, **options)

def still(base):
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False

data, validation = photos()
base = frozen()
"""

TWO_FITS = "model = classifier(base)\ntrain(model, data)\n"

CASES = {
    "missing-rescaling": [
        ("train(classifier(base, lambda x: x), data)", "train(classifier(base), data)"),
        (
            "train(classifier(frozen(VGG16), lambda x: x), data)",
            "train(classifier(frozen(EfficientNetB0), lambda x: x), data)",
        ),
        (
            "(x, y), _ = keras.datasets.cifar10.load_data()\n"
            "x = tf.image.resize(x.astype('float32'), (224, 224))\n"
            "model = classifier(base, lambda x: x, units=10)\ntrain(model, x, y=y)",
            "(x, y), _ = keras.datasets.cifar10.load_data()\n"
            "x = keras.applications.mobilenet_v2.preprocess_input(tf.image.resize(x.astype('float32'), (224, 224)))\n"
            "model = classifier(base, lambda x: x, units=10)\ntrain(model, x, y=y)",
        ),
        (
            "images = tf.io.decode_jpeg(tf.io.read_file('a.jpg'))\nclassifier(base, lambda x: x).predict(images)",
            "images = tf.io.decode_jpeg(tf.io.read_file('a.jpg'))\nclassifier(base).predict(images)",
        ),
    ],
    "double-rescaling": [
        (
            "train(classifier(frozen(EfficientNetB0), layers.Rescaling(1 / 255)), data)",
            "train(classifier(frozen(EfficientNetB0), layers.Rescaling(1.0)), data)",
        ),
        (
            "data = data.map(lambda x, y: (keras.applications.mobilenet_v2.preprocess_input(x), y))\n"
            "train(classifier(base), data)",
            "data = data.map(lambda x, y: (keras.applications.mobilenet_v2.preprocess_input(x), y))\n"
            "train(classifier(base, lambda x: x), data)",
        ),
        (
            "generator = keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255)\n"
            "data = generator.flow_from_directory('photos', target_size=(224, 224), class_mode='sparse')\n"
            "train(classifier(frozen(keras.applications.ConvNeXtTiny), lambda x: x), data)",
            "generator = keras.preprocessing.image.ImageDataGenerator()\n"
            "data = generator.flow_from_directory('photos', target_size=(224, 224), class_mode='sparse')\n"
            "train(classifier(frozen(keras.applications.ConvNeXtTiny), lambda x: x), data)",
        ),
    ],
    "wrong-rescaling": [
        (
            "train(classifier(frozen(Xception), layers.Rescaling(scale=1 / 127.5, offset=1)), data)",
            "train(classifier(frozen(Xception), layers.Rescaling(scale=1 / 127.5, offset=-1)), data)",
        ),
        (
            "train(classifier(base, layers.Rescaling(1.0 / 255)), unknown())",
            "train(classifier(base, layers.Rescaling(2.0, -1)), unknown())",
        ),
        (
            "train(classifier(frozen(ResNet50), lambda x: x / 255.0), data)",
            "train(classifier(frozen(ResNet50), keras.applications.resnet50.preprocess_input), data)",
        ),
        (
            "big = frozen(keras.applications.MobileNetV3Large, include_preprocessing=False)\n"
            "train(classifier(big, layers.Rescaling(1 / 255)), data)",
            "big = frozen(keras.applications.MobileNetV3Large, include_preprocessing=False)\n"
            "train(classifier(big), data)",
        ),
    ],
    "other-preprocess-input": [
        (
            "train(classifier(base, keras.applications.vgg16.preprocess_input), data)",
            "train(classifier(base, keras.applications.inception_v3.preprocess_input), data)",
        ),
        (
            "from tensorflow.keras.applications.resnet_v2 import preprocess_input as prepared\n"
            "train(classifier(frozen(ResNet50), layers.Lambda(prepared)), data)",
            "from tensorflow.keras.applications.resnet import preprocess_input as prepared\n"
            "train(classifier(frozen(ResNet50), layers.Lambda(prepared)), data)",
        ),
    ],
    "input-too-small": [
        (
            "Xception(include_top=False, weights=None, input_shape=(64, 64, 3))\n"
            "train(keras.Sequential([Xception(include_top=False, weights=None, input_shape=(64, 64, 3))]), data)",
            "train(keras.Sequential([Xception(include_top=False, weights=None, input_shape=(96, 96, 3))]), data)",
        ),
    ],
    "input-size-far-from-default": [
        (
            "inputs = keras.Input((32, 32, 3))\nkeras.Model(inputs, on_top(EfficientNetB0(include_top=False), inputs))",
            "inputs = keras.Input((32, 32, 3))\n"
            "keras.Model(inputs, on_top(EfficientNetB0(include_top=False), layers.Resizing(160, 160)(inputs)))",
        ),
    ],
    "top-left-on": [
        (
            "base = MobileNetV2()\nbase.trainable = False\n"
            "train(keras.Sequential([layers.Rescaling(1 / 127.5, -1), base, layers.Dense(3, 'softmax')]), data)",
            "base = MobileNetV2(include_top=False, pooling='avg')\nbase.trainable = False\n"
            "train(keras.Sequential([layers.Rescaling(1 / 127.5, -1), base, layers.Dense(3, 'softmax')]), data)",
        ),
        (
            "base = VGG16()\nkeras.Model(base.input, layers.Dense(3)(base.output))",
            "base = VGG16()\nkeras.Model(base.input, layers.Dense(3)(base.get_layer('fc2').output))",
        ),
    ],
    "nothing-to-train": [
        ("model = classifier(base)\nmodel.trainable = False\ntrain(model, data)", "train(classifier(base), data)"),
        (
            "model = classifier(base)\nfor layer in model.layers:\n    layer.trainable = False\ntrain(model, data)",
            "model = classifier(base)\nfor layer in model.layers[:-1]:\n    layer.trainable = False\ntrain(model, data)",
        ),
    ],
    "nothing-frozen": [
        ("base.trainable = True\nstill(base)\ntrain(classifier(base), data)", "train(classifier(base), data)"),
        (
            "base.trainable = True\nstill(base)\ntrain(classifier(base), data)",
            "base.trainable = True\nstill(base)\ntrain(classifier(base), data, rate=1e-5)",
        ),
    ],
    "frozen-random-weights": [
        ("train(classifier(frozen(weights=None)), data)", "train(classifier(frozen(weights='imagenet')), data)"),
        (
            "train(classifier(frozen(weights=None)), data)",
            "base = frozen(weights=None)\nbase.load_weights('mine.weights.h5')\ntrain(classifier(base), data)",
        ),
    ],
    "unfreeze-without-effect": [
        (
            TWO_FITS
            + "base.trainable = True\nfor layer in base.layers[10:]:\n    layer.trainable = True\nstill(base)\n"
            + "train(model, data, 1e-5)",
            TWO_FITS
            + "base.trainable = True\nfor layer in base.layers[:10]:\n    layer.trainable = False\nstill(base)\n"
            + "train(model, data, 1e-5)",
        ),
        (
            "def freeze_layers_up_to(model, n):\n    model.trainable = True\n    for layer in model.layers[n:]:\n"
            "        layer.trainable = True\nfreeze_layers_up_to(base, 10)\nstill(base)\n"
            "train(classifier(base), data, 1e-5)",
            "def freeze_layers_up_to(model, n):\n    model.trainable = True\n    for layer in model.layers[:n]:\n"
            "        layer.trainable = False\nfreeze_layers_up_to(base, 10)\nstill(base)\n"
            "train(classifier(base), data, 1e-5)",
        ),
    ],
    "unfrozen-inside-frozen": [
        (
            TWO_FITS + "for layer in base.layers[-20:]:\n    layer.trainable = True\ntrain(model, data, 1e-5)",
            TWO_FITS
            + "base.trainable = True\nfor i, layer in enumerate(base.layers):\n    layer.trainable = i > 100\n"
            + "train(model, data, 1e-5)",
        ),
    ],
    "trainable-after-compile": [
        (
            TWO_FITS + "base.trainable = True\nstill(base)\nmodel.optimizer.learning_rate = 1e-5\nmodel.fit(data)",
            TWO_FITS + "base.trainable = True\nstill(base)\ntrain(model, data, 1e-5)",
        ),
    ],
    "learning-rate-too-high": [
        (
            TWO_FITS + "base.trainable = True\nstill(base)\ntrain(model, data)",
            TWO_FITS + "base.trainable = True\nstill(base)\ntrain(model, data, 1e-5)",
        ),
        (
            "for layer in base.layers:\n    layer.trainable = layer.name > 'block_9'\nbase.trainable = True\n"
            "for layer in base.layers[:-30]:\n    layer.trainable = False\nstill(base)\nmodel = classifier(base)\n"
            "model.compile('adam', 'sparse_categorical_crossentropy')\nmodel.fit(data)",
            "base.trainable = True\nfor layer in base.layers[:-30]:\n    layer.trainable = False\nstill(base)\n"
            "model = classifier(base)\nrate = keras.optimizers.schedules.CosineDecay(0.0, 1000, warmup_target=1e-3, warmup_steps=9)\n"
            "model.compile(keras.optimizers.Adam(rate), 'sparse_categorical_crossentropy')\nmodel.fit(data)",
        ),
    ],
    "frozen-in-name-only": [
        (
            TWO_FITS + "base.trainable = True\ntrain(model, data, 1e-5)",
            TWO_FITS + "base.trainable = True\nstill(base)\ntrain(model, data, 1e-5)",
        ),
        (
            TWO_FITS + "base.trainable = True\ntrain(model, data, 1e-5)",
            TWO_FITS
            + "base.trainable = True\nfor layer in base.layers:\n    if isinstance(layer, layers.BatchNormalization):\n"
            + "        continue\n    layer.trainable = True\nstill(base)\ntrain(model, data, 1e-5)",
        ),
        (
            TWO_FITS + "base.trainable = True\ntrain(model, data, 1e-5)",
            "base = frozen(VGG16)\nmodel = classifier(base, keras.applications.vgg16.preprocess_input)\ntrain(model, data)\n"
            "base.trainable = True\ntrain(model, data, 1e-5)",
        ),
    ],
    "batchnorm-in-training-mode": [
        (
            "x = layers.GlobalAveragePooling2D()(base.output)\nmodel = keras.Model(base.input, layers.Dense(3, 'softmax')(x))\n"
            "data = data.map(lambda x, y: (x / 127.5 - 1, y))\ntrain(model, data)\n"
            "for layer in base.layers[-20:]:\n    layer.trainable = True\ntrain(model, data, 1e-5)",
            "x = layers.GlobalAveragePooling2D()(base.output)\nmodel = keras.Model(base.input, layers.Dense(3, 'softmax')(x))\n"
            "data = data.map(lambda x, y: (x / 127.5 - 1, y))\ntrain(model, data)\n"
            "for layer in base.layers[-20:]:\n    if not isinstance(layer, layers.BatchNormalization):\n"
            "        layer.trainable = True\nstill(base)\ntrain(model, data, 1e-5)",
        ),
    ],
    "optimizer-used-again": [
        (
            "adam, loss = keras.optimizers.Adam(1e-5), 'sparse_categorical_crossentropy'\nmodel = classifier(base)\n"
            "model.compile(adam, loss)\nmodel.fit(data)\nbase.trainable = True\nstill(base)\nmodel.compile(adam, loss)\n"
            "model.fit(data)",
            "adam, loss = keras.optimizers.Adam(1e-5), 'sparse_categorical_crossentropy'\nmodel = classifier(base)\n"
            "model.compile(adam, loss)\nmodel.fit(data)\nbase.trainable = True\nstill(base)\n"
            "model.compile(keras.optimizers.Adam(1e-5), loss)\nmodel.fit(data)",
        ),
    ],
    "softmax-with-from-logits": [
        (
            "train(classifier(base), data, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))",
            "train(classifier(base), data, loss=keras.losses.SparseCategoricalCrossentropy())",
        ),
        (
            "model = keras.Sequential([classifier(base, activation=None), layers.Softmax()])\n"
            "train(model, data, loss=keras.losses.SparseCategoricalCrossentropy(True))",
            "model = classifier(base, activation=None)\n"
            "train(model, data, loss=keras.losses.SparseCategoricalCrossentropy(True))",
        ),
    ],
    "logits-without-from-logits": [
        (
            "train(classifier(base, activation=None), data)",
            "train(classifier(base, activation=None), data, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))",
        ),
        (
            "train(classifier(base, activation=None), data)",
            "train(classifier(base, activation=tf.nn.softmax), data)",
        ),
    ],
    "accuracy-of-logits": [
        (
            "train(classifier(base, units=1, activation=None), data, loss=keras.losses.BinaryCrossentropy(from_logits=True))",
            "model = classifier(base, units=1, activation=None)\n"
            "model.compile('adam', keras.losses.BinaryCrossentropy(True), [keras.metrics.BinaryAccuracy(threshold=0)])\n"
            "model.fit(data)",
        ),
    ],
    "loss-for-other-labels": [
        (
            "train(classifier(base), data, loss='categorical_crossentropy')",
            "train(classifier(base), photos(label_mode='categorical')[0], loss='categorical_crossentropy')",
        ),
        (
            "train(classifier(base), photos(label_mode='categorical')[0])",
            "data = data.map(lambda x, y: (x, tf.one_hot(y, 3)))\n"
            "train(classifier(base), data, loss='categorical_crossentropy')",
        ),
    ],
    "loss-for-other-outputs": [
        (
            "train(classifier(base), photos(label_mode='categorical')[0], loss='binary_crossentropy')",
            "train(classifier(base, activation='sigmoid'), photos(label_mode='categorical')[0], loss='binary_crossentropy')",
        ),
        (
            "train(classifier(base, activation='sigmoid'), data)",
            "train(classifier(base), data)",
        ),
    ],
    "one-unit-softmax": [
        (
            "train(classifier(base, units=1), photos(label_mode='binary')[0], loss='binary_crossentropy')",
            "train(classifier(base, units=1, activation='sigmoid'), photos(label_mode='binary')[0], loss='binary_crossentropy')",
        ),
    ],
    "one-unit-categorical": [
        (
            "train(classifier(base, units=1, activation='sigmoid'), data)",
            "train(classifier(base, units=1, activation='sigmoid'), data, loss='binary_crossentropy')",
        ),
    ],
    "units-not-classes": [
        (
            "train(classifier(base), photos(class_names=['a', 'b', 'c', 'd'])[0])",
            "train(classifier(base), photos(class_names=['a', 'b', 'c'])[0])",
        ),
    ],
    "flatten-large-map": [
        (
            "base = frozen(VGG16)\nx = layers.Flatten()(base.output)\nkeras.Model(base.input, layers.Dense(256, 'relu')(x))",
            "base = frozen(VGG16)\nx = layers.GlobalAveragePooling2D()(base.output)\nkeras.Model(base.input, layers.Dense(256, 'relu')(x))",
        ),
    ],
    "augmentation-before-cache": [
        (
            "flip = layers.RandomFlip()\ndata = data.map(lambda x, y: (flip(x), y)).cache()",
            "flip = layers.RandomFlip()\ndata = data.cache().map(lambda x, y: (flip(x), y))",
        ),
        (
            "@tf.function\ndef augment(image, label):\n    return tf.image.random_flip_left_right(image), label\n"
            "data = data.map(augment, num_parallel_calls=tf.data.AUTOTUNE).cache().prefetch(1)",
            "@tf.function\ndef augment(image, label):\n    return tf.image.random_flip_left_right(image), label\n"
            "data = data.cache().map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1)",
        ),
    ],
    "augmentation-on-validation": [
        (
            "flip = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])\n"
            "data, validation = (one.map(lambda x, y: (flip(x, training=True), y)) for one in (data, validation))\n"
            "train(classifier(base), data, validation_data=validation)",
            "flip = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])\n"
            "data = data.map(lambda x, y: (flip(x, training=True), y))\n"
            "train(classifier(base), data, validation_data=validation)",
        ),
        (
            "g = keras.preprocessing.image.ImageDataGenerator(validation_split=0.2, rotation_range=20)\n"
            "where = {'directory': 'photos', 'class_mode': 'sparse', 'target_size': (224, 224)}\n"
            "data, validation = (g.flow_from_directory(subset=part, **where) for part in ('training', 'validation'))\n"
            "train(classifier(base), data, validation_data=validation)",
            "g = keras.preprocessing.image.ImageDataGenerator(validation_split=0.2, rotation_range=20)\n"
            "plain = keras.preprocessing.image.ImageDataGenerator(validation_split=0.2)\n"
            "where = {'directory': 'photos', 'class_mode': 'sparse', 'target_size': (224, 224)}\n"
            "data = g.flow_from_directory(subset='training', **where)\n"
            "validation = plain.flow_from_directory(subset='validation', **where)\n"
            "train(classifier(base), data, validation_data=validation)",
        ),
    ],
    "augmentation-always-on": [
        (
            "inputs = keras.Input((224, 224, 3))\n"
            "keras.Model(inputs, on_top(base, layers.RandomFlip()(inputs, training=True) / 127.5 - 1))",
            "inputs = keras.Input((224, 224, 3))\n"
            "keras.Model(inputs, on_top(base, layers.RandomFlip()(inputs) / 127.5 - 1))",
        ),
    ],
    "splits-overlap": [
        (
            "a = photos(subset='training', seed=None)\nb = photos(subset='validation', seed=None)",
            "a = photos(subset='training')\nb = photos(subset='validation')",
        ),
        (
            "a = photos(subset='training', seed=1)\nb = photos(subset='validation', seed=2)",
            "a = photos(subset='training', seed=1, shuffle=False)\nb = photos(subset='validation', seed=2, shuffle=False)",
        ),
        (
            "folder = get_file()\nload = keras.utils.image_dataset_from_directory\n"
            "a = load(folder, validation_split=0.2, subset='training', seed=1)\n"
            "b = load(folder, validation_split=0.3, subset='validation', seed=1)",
            "folder = get_file()\nload = keras.utils.image_dataset_from_directory\n"
            "a = load(folder, validation_split=0.2, subset='training', seed=1)\n"
            "folder = get_file()\nb = load(folder, validation_split=0.3, subset='validation', seed=1)",
        ),
    ],
    "validation-is-training": [
        (
            "train(classifier(base), data, validation_data=data)",
            "train(classifier(base), data, validation_data=validation)",
        ),
        (
            "load = lambda folder: keras.utils.image_dataset_from_directory(folder, image_size=(224, 224))\n"
            "train(classifier(base), load('a'), validation_data=load('a'))",
            "load = lambda folder: keras.utils.image_dataset_from_directory(folder, image_size=(224, 224))\n"
            "train(classifier(base), load('a'), validation_data=load('b'))",
        ),
    ],
    "split-after-reshuffle": [
        (
            "data = data.unbatch().shuffle(1000)\n"
            "train(classifier(base), data.skip(200).batch(32), validation_data=data.take(200).batch(32))",
            "data = data.unbatch().shuffle(1000, reshuffle_each_iteration=False)\n"
            "train(classifier(base), data.skip(200).batch(32), validation_data=data.take(200).batch(32))",
        ),
    ],
    "predict-in-other-order": [
        (
            "model = classifier(base)\nlabels = [y for _, y in validation]\nanswers = model.predict(validation)",
            "model = classifier(base)\nvalidation = photos(shuffle=False)[1]\nlabels = [y for _, y in validation]\n"
            "answers = model.predict(validation)",
        ),
        (
            "model, labels = classifier(base), []\nfor x, y in validation:\n    labels.extend(y.numpy())\n"
            "answers = model.predict(validation)",
            "model, labels, answers = classifier(base), [], []\nfor x, y in validation:\n    labels.extend(y.numpy())\n"
            "    answers.extend(model.predict(x))",
        ),
    ],
}


@pytest.fixture
def found(tmp_path: Path):
    """The rules that a script breaks, by name."""

    def names(code: str) -> set[str]:
        script = tmp_path / "script.py"
        script.write_text(code, encoding="utf-8")
        return {one.name for one in hs.check(script)}

    return names


def test_every_rule_for_scripts_has_a_case() -> None:
    assert set(CASES) == {rule.name for rule in RULES if "scripts" in rule.found_in}


@pytest.mark.parametrize(("rule", "wrong", "right"), [(rule, *pair) for rule, pairs in CASES.items() for pair in pairs])
def test_a_mistake_is_found_and_nothing_in_the_script_without_it(found, rule, wrong, right) -> None:
    assert found(BEGINNING + wrong) == {rule}
    assert found(BEGINNING + right) == set()


@pytest.mark.parametrize("script", sorted(Path(__file__).with_name("right").glob("*.py")), ids=lambda path: path.stem)
def test_nothing_is_found_in_scripts_that_are_right(script: Path) -> None:
    assert hs.check(script) == []


@pytest.mark.parametrize(
    ("script", "warnings"),
    [("guide", {"accuracy-of-logits", "frozen-in-name-only"}), ("tutorial", {"frozen-in-name-only"})],
)
def test_two_patterns_that_everyone_uses_have_no_errors(script, warnings) -> None:
    """What is said of them is true: accuracy of logits at 0.5, and statistics that move (Keras issue 20285)."""
    findings = hs.check(Path(__file__).parent / "usual" / f"{script}.py")
    assert {one.name for one in findings} == warnings
    assert {one.severity for one in findings} == {"warning"}


def test_where_and_what(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "from keras import applications, layers, Sequential\n"
        "base = applications.Xception(include_top=False)\n"
        "Sequential([layers.Rescaling(1 / 127.5, offset=1), base])\n"
    )
    (one,) = hs.check(script)
    assert (one.code, one.severity, one.file, one.line) == ("HS103", "error", str(script), 3)
    assert one.message == "Xception was trained on values in [-1, 1]; what reaches it is in [1, 3]."


def test_every_branch_is_looked_at(found) -> None:
    """A condition that is not known is gone through both ways, the same one in the same way."""
    script = (
        "import sys\nif sys.argv[1] == 'vgg':\n    base, scale = frozen(VGG16), keras.applications.vgg16.preprocess_input\n"
        "elif sys.argv[1] == 'xception':\n    base, scale = frozen(Xception), layers.Rescaling(1 / 127.5, {offset})\n"
        "else:\n    raise SystemExit\nmodel = classifier(base, scale)\n"
        "if sys.argv[2]:\n    train(model, data)\nif not sys.argv[2]:\n    model.compile('adam')\n"
    )
    assert found(BEGINNING + script.format(offset="1")) == {"wrong-rescaling"}
    assert found(BEGINNING + script.format(offset="-1")) == set()


def test_what_unknown_code_may_have_changed_is_not_judged(found) -> None:
    script = "from mine import prepare\nmodel = classifier(base)\nmodel.trainable = False\n{}train(model, data)"
    assert found(BEGINNING + script.format("")) == {"nothing-to-train"}
    assert found(BEGINNING + script.format("prepare(model)\n")) == set()


def test_functions_that_nobody_calls_are_gone_through(found) -> None:
    assert found(BEGINNING + "def late(rate):\n    train(classifier(base, lambda x: x), data, rate)") == {
        "missing-rescaling"
    }


def test_notebooks(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Train\n", "not Python"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install keras\n", "import keras"]},
        {
            "cell_type": "code",
            "source": "keras.Sequential([keras.Input((8,)), keras.layers.Dense(1, 'softmax')]).compile()",
        },
    ]
    notebook = tmp_path / "train.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    assert [(one.name, one.line) for one in hs.check(notebook)] == [("one-unit-softmax", 4)]
    notebook.write_text('{"worksheets": []}')
    with pytest.raises(InputError, match=r"train\.ipynb is damaged or not a Jupyter notebook"):
        hs.check(notebook)


def test_what_cannot_be_checked(tmp_path: Path) -> None:
    for name, content, message in (
        ("a.py", b"def f(:\n", r"a\.py:1 is not Python 3: invalid syntax"),
        ("b.py", b"x = '\xff'\n", r"b\.py.* is not Python 3: .*unicode"),
        ("c.py", b"x\0", r"c\.py.* null"),
        ("d.txt", b"", r"cannot check .*d\.txt: expected a file that ends in \.py, \.ipynb, \.keras or \.h5"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            hs.check(tmp_path / name)
    with pytest.raises(InputError, match=r"no file at .*nowhere\.py"):
        hs.check(tmp_path / "nowhere.py")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"nothing to check in .*empty"):
        hs.check(tmp_path / "empty")


def test_nothing_is_run(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\nwhile True: pass\nx = 9 ** 9 ** 9 ** 9")
    assert hs.check(tmp_path) == []
    assert not (tmp_path / "trace").exists()
