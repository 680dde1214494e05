"""The source ``file:``: the features of a user's model, the facts read from its file, and refused files."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.bases import load_base
from headstart.bases.blocks import find_blocks
from headstart.errors import InputError, IntegrityError
from tests.lazy import Lazy

keras, layers = Lazy("keras"), Lazy("keras.layers")

SIZE = 24


@pytest.fixture
def save(tmp_path):
    """A function that saves a model and returns its handle."""

    def save_model(model, name="m.keras") -> str:
        model.save(tmp_path / name)
        return f"file:{tmp_path / name}"

    return save_model


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)


def body(size=SIZE, dtype="float32", channels=3):
    """(input, feature maps, features) of a small network with its own scaling."""
    inputs = keras.Input((size, size, channels), dtype=dtype)
    maps = layers.Conv2D(8, 3, activation="relu", name="maps")(layers.Rescaling(1 / 255)(inputs))
    return inputs, maps, layers.GlobalAveragePooling2D(name="pooled")(maps)


def values(model, pixels):
    return np.asarray(model(pixels.astype(np.float32)))


# --- the feature layer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_the_top_of_a_functional_model(save, pixels, name):
    inputs, _, pooled = body()
    x = layers.Dense(16, activation="relu")(layers.Dropout(0.2)(pooled))
    x = layers.BatchNormalization()(layers.Dense(12)(x))
    model = keras.Model(inputs, layers.Softmax()(layers.Dense(4)(layers.Activation("relu")(x))))
    base = load_base(save(model, name))
    assert base.preprocessing.name == "built in"
    network = base.build(False)
    np.testing.assert_allclose(values(network, pixels), values(keras.Model(inputs, pooled), pixels), rtol=1e-5)
    assert values(base.build(True), pixels).shape == (2, 4)


def test_the_top_of_a_sequential_model(save, pixels):
    """Flattening belongs to the top, the activation before it to the features; the feature map is then pooled."""
    model = keras.Sequential(
        [
            *(keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), layers.Conv2D(8, 3)),
            *(layers.BatchNormalization(), layers.ReLU(name="last"), layers.Dropout(0.1), layers.Flatten()),
            *(layers.Dense(16, activation="relu"), layers.Dropout(0.5), layers.Dense(3), layers.Softmax()),
        ]
    )
    base = load_base(save(model))
    maps = values(keras.Model(model.inputs[0], model.get_layer("last").output), pixels)
    np.testing.assert_allclose(values(base.build(False), pixels), maps, rtol=1e-5)
    features = np.asarray(base.model()(pixels))
    np.testing.assert_allclose(features, maps.mean((1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_layers_that_only_applications_of_keras_use(save, pixels, name):
    """Those of ConvNeXt and InceptionResNetV2, which are not public: Keras cannot open its own HDF5 file."""
    from keras.src.applications.convnext import LayerScale
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    inputs, maps, _ = body()
    maps = CustomScaleLayer(0.3)([maps, LayerScale(0.5, 8)(maps)])
    model = keras.Model(inputs, maps)
    np.testing.assert_allclose(values(load_base(save(model, name)).build(False), pixels), values(model, pixels), 1e-5)


def test_nested_models(save, pixels):
    inputs, maps, pooled = body()
    inner = keras.Model(inputs, maps, name="inner")
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), inner, layers.GlobalAveragePooling2D(), layers.Dense(3)])
    expected = values(keras.Model(inputs, pooled), pixels)
    np.testing.assert_allclose(values(load_base(save(model)).build(False), pixels), expected, rtol=1e-5)
    base = load_base(save(model), feature_layer="maps")  # a layer of the nested model
    np.testing.assert_allclose(np.asarray(base.model()(pixels)), expected, rtol=1e-4)


def test_a_head_that_is_a_nested_model(save, pixels):
    inputs, _, pooled = body()
    head = keras.Sequential([keras.Input((8,)), layers.Dropout(0.1), layers.Dense(5, activation="softmax")])
    network = load_base(save(keras.Model(inputs, head(pooled)))).build(False)
    np.testing.assert_allclose(values(network, pixels), values(keras.Model(inputs, pooled), pixels), rtol=1e-5)


def test_a_whole_classifier_behind_its_preprocessing(save, pixels):
    """The structure of headstart's own runs: raw uint8 input, nested classifier."""
    inputs, _, pooled = body()
    classifier = keras.Model(inputs, layers.Dense(7, activation="softmax")(pooled))
    raw = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    model = keras.Model(raw, classifier(layers.Rescaling(1.0)(raw)))
    base = load_base(save(model))
    assert base.preprocessing.name == "built in"
    features = np.asarray(base.model()(pixels))
    np.testing.assert_allclose(features, values(keras.Model(inputs, pooled), pixels), rtol=1e-5)


def test_nested_models_are_inlined(save, pixels):
    """A pretrained model in a model, as in the Keras guide: the features stay the same, and its blocks are found."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="first")(inputs))
    skipped = layers.Conv2D(4, 3, padding="same", name="second")(layers.ReLU(name="act")(x))
    inner = keras.Model(inputs, layers.Conv2D(6, 3, name="third")(layers.Add(name="sum")([x, skipped])), name="inner")
    chain = keras.Sequential([layers.Dense(5, name="hidden"), layers.Dense(2)], name="chain")
    outer = keras.Input((SIZE, SIZE, 3))
    pooled = layers.GlobalAveragePooling2D()(inner(layers.Rescaling(1 / 255)(outer), training=False))
    model = keras.Model(outer, chain(pooled))
    network = load_base(save(model)).build(False)
    np.testing.assert_allclose(values(network, pixels), values(keras.Model(outer, pooled), pixels), rtol=1e-5)
    blocks = find_blocks(network)
    assert [block.name for block in blocks] == ["first", "sum", "third"]
    assert "norm" in blocks[0].layers


def test_convolutions_on_one_pixel_are_a_top(save):
    inputs, maps, _ = body()
    x = layers.GlobalAveragePooling2D(keepdims=True)(maps)
    x = layers.Conv2D(16, 1, activation="relu")(x)
    model = keras.Model(inputs, layers.Softmax()(layers.Flatten()(layers.Conv2D(5, 1)(x))))
    assert load_base(save(model)).build(False).output_shape == (None, 1, 1, 8)


def test_without_a_top_the_whole_model_is_used(save):
    inputs, maps, _ = body()
    assert load_base(save(keras.Model(inputs, maps))).build(False).output_shape[-1] == 8


@pytest.mark.slow
def test_a_size_that_the_network_cannot_compute_is_refused(save, tmp_path):
    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    for _ in range(3):
        x = layers.Conv2D(4, 3, 2)(x)
    base = load_base(save(keras.Model(inputs, x)), input_size=10)
    Image.new("RGB", (12, 12)).save(tmp_path / "image.png")
    with pytest.raises(InputError, match=r"cannot be computed for an input of 10x10 pixels: .* zero or negative\. Rec"):
        hs.extract(base, [tmp_path / "image.png"])


def test_everything_is_frozen(save, pixels):
    inputs, _, pooled = body()
    model = load_base(save(keras.Model(inputs, layers.Dense(2)(pooled)))).model()
    assert model.trainable_weights == []


def test_wrong_feature_layers(save):
    inputs, _, pooled = body()
    handle = save(keras.Model(inputs, layers.Dense(2)(pooled)))
    with pytest.raises(InputError, match=r"no layer 'pooledd'\. Did you mean 'pooled'\? It has: .*maps"):
        load_base(handle, feature_layer="pooledd").build(False)
    flat = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Flatten(), layers.Dense(4), layers.Dense(2)])
    with pytest.raises(InputError, match=r"flat\.keras is one chain of Dense layers.*Set feature_layer to"):
        load_base(save(flat, "flat.keras")).build(False)


def test_channels_first_is_refused(save):
    inputs, maps, _ = body()
    base = load_base(save(keras.Model(inputs, maps)))
    with pytest.raises(ValueError, match="channels last"):
        base.model(data_format="channels_first")
    assert keras.config.image_data_format() == "channels_last"


# --- facts from the file -------------------------------------------------------------------------------------------


def test_missing_preprocessing_gives_a_warning(save, caplog):
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    assert load_base(save(model)).preprocessing.name == "none"
    assert "raw pixels from 0 to 255" in caplog.text
    caplog.clear()
    preprocessed = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Normalization(mean=1.0, variance=2.0), model])
    assert load_base(save(preprocessed)).preprocessing.name == "built in"
    assert not caplog.text


def test_input_sizes(save):
    fixed, free = keras.Input((SIZE, 32, 3)), keras.Input((None, None, 3))
    handle = save(keras.Model(fixed, layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(fixed))))
    assert load_base(handle).input_size == (SIZE, 32)
    with pytest.raises(InputError, match=r"input_size: 48 .*was saved for 24x32"):
        load_base(handle, input_size=48)
    handle = save(keras.Model(free, layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(free))))
    assert load_base(handle, input_size=48).input_size == (48, 48)
    with pytest.raises(InputError, match=r"m\.keras takes images of any size: set input_size="):
        load_base(handle)


def test_handles_are_absolute(save, monkeypatch, tmp_path):
    inputs, maps, _ = body()
    handle = save(keras.Model(inputs, maps), "model.keras")
    digest = load_base(handle).digest
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for other in ("file:model.keras", "file:./model.keras", "file:~/model.keras", f"file:{tmp_path}"):
        base = load_base(other)
        assert base.handle == handle
        assert base.digest == digest
    model_file = tmp_path / "model.keras"
    assert base.weights_path == model_file


# --- refused files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_lambda_layers(save, name):
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Lambda(lambda x: x / 255), layers.Conv2D(4, 3)])
    with pytest.raises(InputError, match=f"{name} has a Lambda layer, which runs code"):
        load_base(save(model, name))


def test_custom_classes(save):
    class Custom(layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), Custom(), layers.Conv2D(4, 3)])
    with pytest.raises(InputError, match=r"m\.keras needs the class 'Custom'.* not part of Keras"):
        load_base(save(model))
    with pytest.raises(InputError, match=r"cannot load .*m\.h5.*Custom"):  # the old format does not name its module
        load_base(save(model, "m.h5")).build(False)


def test_configurations_that_name_other_modules(save, tmp_path):
    """A manipulated file cannot make Keras import a module."""
    inputs, maps, _ = body()
    save(keras.Model(inputs, maps))
    with zipfile.ZipFile(tmp_path / "m.keras") as source, zipfile.ZipFile(tmp_path / "evil.keras", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1].update(module="os", class_name="system")
                content = json.dumps(config).encode()
            target.writestr(name, content)
    with pytest.raises(InputError, match="'system' of the Python module 'os'"):
        load_base(f"file:{tmp_path / 'evil.keras'}")


def test_models_of_other_inputs(save):
    greyscale, _, pooled = body(channels=1)
    with pytest.raises(InputError, match=r"inputs of shape \(None, 24, 24, 1\): expected .*RGB"):
        load_base(save(keras.Model(greyscale, pooled)))
    row = keras.Input((10,))
    with pytest.raises(InputError, match=r"inputs of shape \(None, 10\)"):
        load_base(save(keras.Model(row, layers.Dense(2)(row))))
    left, right = keras.Input((SIZE, SIZE, 3)), keras.Input((SIZE, SIZE, 3))
    with pytest.raises(InputError, match=r"m\.keras has 2 inputs"):
        load_base(save(keras.Model([left, right], layers.Add()([left, right]))))


def test_files_that_are_not_models(save, tmp_path):
    with pytest.raises(InputError, match=f"no model file at {tmp_path}/none.keras"):
        load_base(f"file:{tmp_path}/none.keras")
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"m\.onnx as a base: expected .* \.keras or \.h5"):
        load_base(f"file:{tmp_path}/m.onnx")
    for name in ("junk.keras", "junk.h5"):
        (tmp_path / name).write_bytes(b"junk")
        with pytest.raises(InputError, match=f"{name} is damaged or not a Keras model"):
            load_base(f"file:{tmp_path}/{name}")
    inputs, maps, _ = body()
    model = keras.Model(inputs, maps)
    model.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(InputError, match=r"w\.weights\.h5 contains weights only"):
        load_base(f"file:{tmp_path}/w.weights.h5")
    with pytest.raises(InputError, match="weights: none cannot be used with file:"):
        load_base(save(model), weights="none")


def test_the_digest_depends_on_the_file(save):
    inputs, maps, _ = body()
    handle = save(keras.Model(inputs, maps))
    base = load_base(handle)
    assert len(base.weights_sha256) == 64
    assert os.fspath(base.weights_path) == handle.removeprefix("file:")
    model = keras.saving.load_model(base.weights_path)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    assert load_base(save(model)).digest != base.digest


@pytest.mark.parametrize("handle", ["hf:bert", "file:m.h5", "stanza:v.pt", "word2vec:v.bin", "tfhub:module"])
def test_pointers_of_git_lfs_are_named(handle, tmp_path, monkeypatch):
    """What a clone has in place of large files if Git LFS is not installed."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "module").mkdir()
    for name in ("bert/model.safetensors", "m.h5", "v.pt", "v.bin", "module/saved_model.pb"):
        (tmp_path / name).write_text(pointer)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"is a Git LFS pointer instead of the file: run `git lfs pull`"):
        load_base(handle, texts=["a"] if handle.startswith(("stanza", "word2vec")) else None)


def test_damaged_safetensors_are_named(tmp_path):
    folder = shutil.copytree(Path(__file__).parents[1] / "files/transformers/bert", tmp_path / "bert")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500])
    with pytest.raises(IntegrityError, match=r"model\.safetensors in .* cannot be read .*: download it again"):
        load_base(f"hf:{folder}").build(False)
