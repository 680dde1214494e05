"""Files of Keras 2: the rebuilt models compute what Keras 2 computed; what cannot be rebuilt is refused by name."""

import importlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import headstart as hs
from headstart.bases import load_base
from headstart.errors import InputError
from tests.files.keras2.make import HERE, MODELS, SIZE, apply_nodes, pixels, save, set_weights
from tests.lazy import Lazy, needs

pytestmark = [pytest.mark.slow, needs("tf_keras")]

tf_keras, layers = Lazy("tf_keras"), Lazy("tf_keras.layers")

ARCHIVE_LACKS = {"subtracted_means", "operations", "graph_nodes"}
"""Models that Keras 2 could not save as an archive: it cannot write ``...`` of a slice, or is older than archives."""

NAMES = [
    f"{make.__name__}.{suffix}"
    for make in MODELS
    for suffix in (["h5"] if make.__name__ in ARCHIVE_LACKS else ["h5", "keras"])
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, np.ndarray]]:
    """A function of a file's name: the file, and what Keras 2 computed with its model."""
    folder = tmp_path_factory.mktemp("keras2")
    made: dict[str, np.ndarray] = {}

    def find(name: str) -> tuple[Path, np.ndarray]:
        if name not in made:
            made[name] = save(tf_keras, next(m for m in MODELS if m.__name__ == Path(name).stem), folder / name)
        return folder / name, made[name]

    return find


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that saves a model of tf_keras."""

    def write_model(model: Any, name: str = "m.h5", **options: Any) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(tmp_path / name, **options)
        return tmp_path / name

    return write_model


def outputs_of(path: Path, **options: Any) -> np.ndarray:
    return np.asarray(load_base(f"file:{path}", **options).build(True)(pixels(), training=False))


def small(*more: Any) -> Any:
    """A Sequential with a scaling, a convolution, and more layers."""
    return tf_keras.Sequential([tf_keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3), *more])


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Change the config in an HDF5 file."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return path


# --- the same outputs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_models_compute_what_keras_2_computed(saved, name):
    path, expected = saved(name)
    size = {"input_size": SIZE} if name.startswith("preprocessing") else {}
    np.testing.assert_allclose(outputs_of(path, **size), expected, rtol=1e-5, atol=1e-5)


def test_mixed_precision_is_computed_in_float32(saved):
    """Equal to the same weights in float32; the outputs under the policy itself are off by the rounding of float16."""
    path, in_float32 = saved("mixed_precision.h5")
    of_policy = np.asarray(tf_keras.models.load_model(path)(pixels(), training=False))
    outputs = outputs_of(path)
    np.testing.assert_allclose(outputs, in_float32, rtol=1e-5, atol=1e-6)
    assert 1e-5 < np.abs(outputs - of_policy).max() < 1e-3


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_layers_of_cudnn_are_read_in_its_layout(write, tmp_path, suffix):
    """Keras 2 itself converts the weights of its layers for GPUs when layers for every machine read them."""
    cudnn = {
        name: getattr(importlib.import_module(f"tf_keras.src.layers.rnn.{module}"), name)
        for module, name in (("cudnn_lstm", "CuDNNLSTM"), ("cudnn_gru", "CuDNNGRU"))
    }

    def make(lstm: Any, gru: Any) -> Any:
        x = inputs = tf_keras.Input((SIZE, SIZE, 3))
        x = layers.Reshape((16, 8))(layers.Conv2D(8, 8, strides=8, name="conv")(layers.Rescaling(1 / 25)(x)))
        x = layers.Bidirectional(lstm(5, return_sequences=True, name="inner"), name="both")(x)
        x = gru(3, name="gru")(lstm(4, return_sequences=True, name="lstm")(x))
        return tf_keras.Model(inputs, layers.Dense(2, name="dense")(x))

    of_gpu = make(cudnn["CuDNNLSTM"], cudnn["CuDNNGRU"])
    set_weights(of_gpu)
    weights, path = write(of_gpu, "weights.h5"), write(of_gpu, f"m.{suffix}")
    of_cpu = make(layers.LSTM, layers.GRU)
    of_cpu.load_weights(weights)
    np.testing.assert_allclose(outputs_of(path), of_cpu(pixels()), rtol=1e-5, atol=1e-6)


def test_nodes_that_keras_3_cannot_compute_are_refused(write):
    import tensorflow as tf

    inputs = tf_keras.Input((SIZE, SIZE, 3))
    corners = lambda x: [tf.compat.v1.image.resize_bilinear(x, (16, 16), align_corners=True)]  # noqa: E731
    for compute, message in (
        (corners, r"ResizeBilinear', TensorFlow's operation tf\.image\.resize, has no .*: it samples at the corners"),
        (lambda x: [tf.linalg.inv(x[:, :3, :3, 0])], r"is TensorFlow's operation tf\.raw_ops\.MatrixInverse, which"),
    ):
        path = write(tf_keras.Model(inputs, apply_nodes(tf_keras, compute, inputs)))
        with pytest.raises(InputError, match=message):
            load_base(f"file:{path}").build(False)


def test_the_numbers_of_weights_in_archives_of_tensorflow_2_12():
    expected = np.load(HERE / "nested_functional.npy")
    np.testing.assert_allclose(outputs_of(HERE / "nested_functional.keras"), expected, rtol=1e-5, atol=1e-6)


def test_hdf5_may_be_named_keras(saved, tmp_path):
    """Up to TensorFlow 2.12, Keras wrote HDF5 under this name."""
    path, expected = saved("nested_functional.h5")
    shutil.copy(path, tmp_path / "m.keras")
    np.testing.assert_allclose(outputs_of(tmp_path / "m.keras"), expected, rtol=1e-5, atol=1e-6)


def test_forms_of_older_versions(saved, tmp_path):
    """``Model`` for Functional, policies as objects, numbers as arrays, a Sequential whose config is a list."""
    path, expected = saved("mixed_precision.h5")

    def age(config: dict[str, Any]) -> None:
        config["class_name"] = "Model"
        for layer in config["config"]["layers"]:
            layer["config"]["dtype"] = {
                "class_name": "PolicyV1",
                "config": {"name": "mixed_float16", "loss_scale": None},
            }

    old = edit(Path(shutil.copy(path, tmp_path / "old.h5")), age)
    np.testing.assert_allclose(outputs_of(old), expected, rtol=1e-5, atol=1e-5)

    path, expected = saved("sequential_in_sequential.h5")

    def flatten(config: dict[str, Any]) -> None:
        config["config"] = config["config"]["layers"]
        config["config"][3]["config"] = config["config"][3]["config"]["layers"]
        config["config"][5]["config"]["rate"] = {"type": "ndarray", "value": 0.3}

    list_config = edit(Path(shutil.copy(path, tmp_path / "list.h5")), flatten)
    with h5py.File(list_config, "r+") as file:
        del file.attrs["keras_version"]
        file["model_weights"].attrs["keras_version"] = b"2.1.6-tf"
    np.testing.assert_allclose(outputs_of(list_config), expected, rtol=1e-5, atol=1e-5)


def test_several_outputs_are_chosen_or_refused(write):
    inputs = tf_keras.Input((SIZE, SIZE, 3))
    maps = layers.Conv2D(4, 3, name="maps")(layers.Rescaling(1 / 255)(inputs))
    pooled = layers.GlobalAveragePooling2D()(maps)
    path = write(tf_keras.Model(inputs, [layers.Dense(2, name="kind")(pooled), layers.Dense(1, name="age")(pooled)]))
    with pytest.raises(InputError, match=r"has 2 outputs \(kind, age\).*Set feature_layer"):
        load_base(f"file:{path}").build(False)
    assert load_base(f"file:{path}", feature_layer="maps").build(False).output_shape == (None, 30, 30, 4)
    other = tf_keras.Input((SIZE, SIZE, 3))
    path = write(tf_keras.Model([inputs, other], layers.Add()([inputs, other])))
    with pytest.raises(InputError, match=r"m\.h5 has 2 inputs: expected a model of one image"):
        load_base(f"file:{path}")


# --- preprocessing inside is seen ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["scaled_by_operations", "subtracted_means", "nested_functional", "mixed_precision", "graph_nodes"]
)
def test_scaling_inside_the_model_is_seen(saved, name, caplog):
    assert load_base(f"file:{saved(f'{name}.h5')[0]}").preprocessing.name == "built in"
    assert not caplog.text


def test_missing_scaling_gives_a_warning(write, caplog):
    network = [tf_keras.Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3), layers.Rescaling(2.0)]
    assert load_base(f"file:{write(tf_keras.Sequential(network))}").preprocessing.name == "none"
    assert "raw pixels from 0 to 255" in caplog.text


@pytest.mark.slow
def test_check_reads_files_of_keras_2(write):
    """A MobileNetV2, which takes -1 to 1, gets pixels that are divided by 255, and is trained without freezing."""
    base = tf_keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=(96, 96, 3))
    base.trainable = False
    set_weights(base)
    findings = {}
    for name, scale in (("wrong.h5", lambda x: x / 255.0), ("right.keras", lambda x: x / 127.5 - 1)):
        inputs = tf_keras.Input((96, 96, 3))
        x = layers.GlobalAveragePooling2D()(base(scale(inputs), training=False))
        model = tf_keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
        model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=name == "wrong.h5"))
        findings[write(model, name)] = {"wrong-rescaling", "softmax-with-from-logits"} if name == "wrong.h5" else set()
    found = hs.check(*findings)
    assert {path: {item.name for item in found if item.file == str(path)} for path in findings} == findings


# --- refused files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_code_in_a_file_is_refused(write, name):
    class Custom(layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(InputError, match=rf"{name} \(written by Keras 2\S+\) has a Lambda layer, .*Replace mine with"):
        load_base(f"file:{write(small(layers.Lambda(lambda x: x + 1, name='mine')), name)}")
    with pytest.raises(
        InputError, match=rf"{name} \(written .*the layer 'own' is of the class 'Custom', .*\. Open the"
    ):
        load_base(f"file:{write(small(Custom(name='own')), name)}")


def test_unknown_operations_and_arguments_are_refused(write):
    import tensorflow as tf

    inputs = tf_keras.Input((SIZE, SIZE, 3))
    unknown = tf.image.adjust_gamma(inputs, 0.5)
    with pytest.raises(
        InputError, match=r"the layer 'tf.image.adjust_gamma\S*' is TensorFlow's operation tf.image.adj"
    ):
        load_base(f"file:{write(tf_keras.Model(inputs, unknown))}")
    area = tf.image.resize(layers.Conv2D(2, 3)(inputs), (8, 8), method="gaussian")
    with pytest.raises(InputError, match=r"tf\.image\.resize, has no counterpart .*: method='gaussian', .*\. Open the"):
        load_base(f"file:{write(tf_keras.Model(inputs, area))}").build(False)
    path = write(small(layers.Dense(2, activation=tf.sin, name="waves")))
    with pytest.raises(InputError, match=r"the layer 'waves' has the activation 'sin'"):
        load_base(f"file:{path}").build(False)
    virtual = write(small(layers.BatchNormalization(name="norm")))
    edit(virtual, lambda config: config["config"]["layers"][-1]["config"].update(virtual_batch_size=4))
    with pytest.raises(InputError, match=r"the layer 'norm' has the argument virtual_batch_size=4"):
        load_base(f"file:{virtual}").build(False)


@pytest.mark.parametrize("name", ["nested_functional.h5", "nested_functional.keras"])
def test_weights_and_config_must_belong_together(saved, tmp_path, name):
    """One filter more in the config than in the weights, and a layer more in the weights than in the config."""
    path = Path(shutil.copy(saved(name)[0], tmp_path))
    if path.suffix == ".keras":
        wider = _with_config(path, lambda config: _conv(config).update(filters=7))
    else:
        wider = edit(path, lambda config: _conv(config).update(filters=7))
    with pytest.raises(
        InputError, match=r"weights and config do not belong together: .*(conv2d.* \(3, 3, 3, 7\)|\(7,\))"
    ):
        load_base(f"file:{wider}").build(False)


def _conv(config: dict[str, Any]) -> dict[str, Any]:
    inner = next(layer for layer in config["config"]["layers"] if layer["name"] == "inner")
    return inner["config"]["layers"][1]["config"]


def _with_config(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    import zipfile

    changed = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for item in source.namelist():
            content = source.read(item)
            if item == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            target.writestr(item, content)
    return changed


def test_left_over_weights_are_refused(write):
    path = write(small(layers.Dense(2, name="last")))
    edit(path, lambda config: config["config"]["layers"].pop())
    with pytest.raises(InputError, match=r"the weights last/kernel:0, last/bias:0 belong to no layer of its config"):
        load_base(f"file:{path}").build(False)


def test_weights_without_a_model_are_refused(tmp_path):
    small().save_weights(tmp_path / "w.h5")
    with pytest.raises(
        InputError, match=r"^/\S+w\.h5 contains weights only \(of Keras 2\.\S+\), without a model.*load_weights"
    ):
        load_base(f"file:{tmp_path / 'w.h5'}")


def test_keras_1_is_refused(write):
    path = write(small())
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "1.2.2"
    with pytest.raises(InputError, match=r"m\.h5 was written by Keras 1\.2\.2"):
        load_base(f"file:{path}")


def test_the_reason_at_the_end_of_a_long_message_stays(tmp_path):
    """Keras writes a whole config before it says what is wrong."""
    import keras

    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(4, 3)])
    model.save(tmp_path / "m.keras")
    changed = _with_config(
        tmp_path / "m.keras", lambda config: config["config"]["layers"][1]["config"].update(strides=[0, 0])
    )
    with pytest.raises(InputError, match=r"Keras cannot load .*changed\.keras: .* … .*strides"):
        load_base(f"file:{changed}").build(False)
