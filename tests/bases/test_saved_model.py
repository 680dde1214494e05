"""The source ``tfhub:`` with modules that TensorFlow writes, in both formats, and with a local hub server."""

import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.bases import saved_model, saved_model_reader
from headstart.errors import InputError, IntegrityError, UnavailableError

pytestmark = pytest.mark.slow

SIZE = 32


def _network(*top: Any, rescaling: bool = False, seed: int = 1) -> Any:
    """Weights that are trained stand among statistics, which have values of their own; some have few values."""
    import keras

    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Conv2D(8, 3, 2, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.ReLU(),
        keras.layers.Conv2D(20, 3, 2, use_bias=False, name="second_conv"),
        keras.layers.BatchNormalization(name="second_norm"),
        keras.layers.ReLU(),
    ]
    preprocessing = [keras.layers.Rescaling(1 / 127.5, -1)] if rescaling else []
    end = top or (keras.layers.GlobalAveragePooling2D(),)
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *preprocessing, *layers, *end])
    values = np.random.default_rng(seed)
    for name, width in (("norm", 8), ("second_norm", 20)):
        scale, spread = values.uniform(0.5, 1.5, width), values.uniform(0.5, 2, width)
        network.get_layer(name).set_weights([scale, *values.normal(0, 0.3, (2, width)), spread])
    return network


def _save_reusable(folder: Path, network: Any, call: Any, **more: Any) -> None:
    """Save a module as TF Hub's are published: callable, with ``training`` and its variables."""
    import tensorflow as tf

    module = tf.train.Checkpoint()
    module.variables = [variable.value for variable in network.variables]
    module.trainable_variables = [variable.value for variable in network.trainable_variables]
    module.regularization_losses = []
    module.__call__ = tf.function(call)
    for training in (True, False):
        module.__call__.get_concrete_function(tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32), training, **more)
    tf.saved_model.save(module, folder)


@pytest.fixture(scope="session")
def tf2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reusable module in TF2's format."""
    network = _network()
    folder = tmp_path_factory.mktemp("modules") / "tf2"
    _save_reusable(folder, network, lambda x, training=False: network(x, training=training))
    return folder


def _save_tf1(folder: Path, *, resources: bool = False, classifies: bool = False, simple: bool = False) -> None:
    """Save a module in TF1's format: with an inference and a training graph, or as ``simple_save`` does."""
    import tensorflow as tf

    v1 = tf.compat.v1
    (v1.enable_resource_variables if resources else v1.disable_resource_variables)()
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(3)
        images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], "images")
        shapes = {"beta": [16], "moving_mean": [16], "kernel": [3, 3, 3, 16], "logits": [1, 1, 16, 21]}
        kernels = {name: v1.get_variable(name, shape) for name, shape in {**shapes, "x": [2, 16]}.items()}
        positive = {
            name: v1.get_variable(name, initializer=np.linspace(0.5, 2, 16, dtype=np.float32)) for name in ("g", "v")
        }
        maps = tf.nn.conv2d(images, kernels["kernel"], 2, "VALID")
        norm = (positive["g"], kernels["beta"], kernels["moving_mean"], positive["v"])
        maps = tf.nn.relu6(v1.nn.fused_batch_norm(maps, *norm, is_training=False)[0])
        pooled = tf.reduce_mean(maps, [1, 2], keepdims=True)
        features = tf.squeeze(pooled, [1, 2])
        logits = tf.squeeze(tf.nn.conv2d(pooled, kernels["logits"], 1, "SAME", name="Net/Logits/Conv2d_1c_1x1"), [1, 2])
        session.run(v1.global_variables_initializer())
        if simple:
            v1.saved_model.simple_save(session, str(folder), {"images": images}, {"features": features})
        else:
            define = v1.saved_model.predict_signature_def
            outputs = {"default": logits if classifies else features, "Net/maps": maps, "a": pooled}
            signatures = {"default": define({"images": images}, outputs)}
            builder = v1.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(session, ["train"], signatures)
            builder.add_meta_graph([], signatures)
            builder.save()
    v1.enable_resource_variables()


@pytest.fixture(scope="session")
def tf1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module of TF Hub in TF1's format: graphs without tags and for training, a signature named ``default``."""
    folder = tmp_path_factory.mktemp("modules") / "tf1"
    _save_tf1(folder)
    return folder


def _expected(folder: Path, pixels: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    module = tf.saved_model.load(str(folder), tags=[] if folder.name == "tf1" else None)
    images = tf.constant(pixels / 255, tf.float32)
    return (
        module.signatures["default"](images)["default"] if folder.name == "tf1" else module(images, training=False)
    ).numpy()


@pytest.mark.parametrize("name", ["tf1", "tf2"])
def test_features_equal_those_of_the_module(name: str, photos: Path, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    base = hs.load_base(f"tfhub:{folder}")
    assert base.input_facts()["input_size"] == [SIZE, SIZE]
    assert base.input_facts()["preprocessing"]["name"] == "[0, 1]"
    files = sorted((photos / "china").iterdir())[:5]
    features = hs.extract(base, files, precision="float32").rows(range(5))
    reader = base.reader()
    expected = _expected(folder, reader.batch([reader.decode(file.read_bytes()) for file in files]))
    np.testing.assert_allclose(features, expected, atol=1e-5)


Call = Callable[[Any, Any], Any]


def _features(folder: Path, out: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Random images, the features that a base computes for them, and the facts about the module."""
    facts_folder = out / "read"
    facts_folder.mkdir(parents=True)
    saved_model_reader.read_module(str(folder), str(facts_folder), folder.name)
    facts = json.loads((facts_folder / "facts.json").read_text())
    images = np.random.default_rng(0).random((3, SIZE, SIZE, 3), np.float32)
    return images, np.asarray(saved_model._build(facts_folder, (SIZE, SIZE), False)(images)), facts


def _module(kind: str, folder: Path) -> Call:
    """Save a module of a kind, and give the call that computes its features."""
    import keras
    import tensorflow as tf

    layers, pooling = keras.layers, keras.layers.GlobalAveragePooling2D
    tops = {
        "exported by Keras": [pooling()],
        "a feature map": [layers.ReLU()],
        "a projection": [pooling(), layers.Dense(64)],
        "a narrow projection with activation": [pooling(), layers.Dense(8, activation="relu")],
        "pre-logits": [pooling(), layers.Dense(12, activation="tanh", name="pre_logits")],
        "normalised": [pooling(), layers.UnitNormalization()],
    }
    if kind in tops:
        _network(*tops[kind]).export(folder, verbose=False)
        return lambda module, images: module.serve(images)
    if kind.startswith("TF1"):
        _save_tf1(folder, resources="resources" in kind, simple="simple_save" in kind)
        if "simple_save" in kind:
            return lambda module, images: module.signatures["serving_default"](images)["features"]
        return lambda module, images: module.signatures["default"](images)["default"]
    network, logits = _network(), layers.Dense(20, name="out")
    logits.build((None, 20))
    if kind == "untrained":  # statistics and trained weights have equal values
        untrained = keras.models.clone_model(network)
        _save_reusable(folder, untrained, lambda x, training=False: untrained(x, training=training))
    elif kind == "a momentum":
        momentum = {"batch_norm_momentum": tf.TensorSpec([], tf.float32)}
        _save_reusable(folder, network, lambda x, training=False, batch_norm_momentum=0.9: network(x), **momentum)
    elif kind == "a dict":
        whole = keras.Model(network.inputs, logits(network.outputs[0]))
        _save_reusable(folder, whole, lambda x, training=False: {"logits": whole(x), "features": network(x)})
        return lambda module, images: module(images, training=False)["features"]
    else:
        module = tf.Module()
        module.weights = [variable.value for variable in (*network.variables, *logits.variables)]
        images = tf.TensorSpec([None, SIZE, SIZE, 3], name="images")
        features = tf.function(lambda images: {"default": network(images)}, [images])
        scores = tf.function(lambda images: {"logits": logits(network(images))}, [images])
        tf.saved_model.save(module, folder, {"serving_default": scores, "image_feature_vector": features})
        return lambda module, images: module.signatures["image_feature_vector"](images)["default"]
    return lambda module, images: module(images, training=False)


@pytest.mark.parametrize(
    "kind",
    [
        "exported by Keras", "a feature map", "a projection", "a narrow projection with activation", "pre-logits",
        "normalised", "untrained", "a momentum", "a dict", "signatures", "TF1", "TF1 with resources", "TF1 simple_save",
    ],
)  # fmt: skip
def test_a_module_of_features_is_used_as_it_is(kind: str, tmp_path: Path) -> None:
    import tensorflow as tf

    call = _module(kind, tmp_path / "module")
    images, features, facts = _features(tmp_path / "module", tmp_path)
    tags = [] if kind in ("TF1", "TF1 with resources") else ["serve"]
    expected = np.asarray(call(tf.saved_model.load(str(tmp_path / "module"), tags), tf.constant(images)))
    np.testing.assert_allclose(features, expected, atol=1e-5)
    kernels = [is_trained for _, shape, is_trained in facts["constants"] if len(shape) == 4]
    statistics = [is_trained for _, shape, is_trained in facts["constants"] if shape == [20]]
    assert len(statistics) in (0, 4)  # of the second BatchNormalization; nothing of an output that is not used
    assert not any(statistics)
    assert kernels == [not kind.startswith("TF1")] * len(kernels)


def _classifier(kind: str, folder: Path) -> Any:
    """Save a classifier, and give its layers up to the features as a model."""
    import keras

    layers, pooling = keras.layers, keras.layers.GlobalAveragePooling2D
    tops = {
        "softmax": [pooling(), layers.Dense(2, activation="softmax")],
        "sigmoid": [pooling(), layers.Dense(1, activation="sigmoid")],
        "a few logits": [pooling(), layers.Dense(5)],
        "logits of ImageNet": [pooling(), layers.Dense(1001)],
        "a name": [pooling(), layers.Dense(20, name="predictions")],
        "labels": [pooling(), layers.Dense(30)],
        "two layers": [layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(3, activation="softmax")],
        "convolution": [layers.Conv2D(4, 1, activation="relu"), pooling(), layers.Softmax()],
    }
    network = _network(*tops[kind])
    network.export(folder, verbose=False)
    if kind == "labels":
        (folder / "assets" / "labels.txt").write_text("\n".join(f"class {i}" for i in range(30)))
    below = 5 if kind in ("two layers", "convolution") else 6
    return keras.Model(network.inputs[0], network.layers[below].output)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("softmax", "it ends in softmax"),
        ("sigmoid", "it ends in a sigmoid"),
        ("a few logits", "it ends in a dense layer of 5 values"),
        ("logits of ImageNet", "it ends in a dense layer of 1001 values"),
        ("a name", "its last layer is called predictions"),
        ("labels", "it has as many labels"),
        ("two layers", "it ends in softmax"),
        ("convolution", "it ends in softmax"),
    ],
)
def test_a_classifier_is_used_up_to_its_top(
    kind: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    below = _classifier(kind, tmp_path / "module")
    images, features, _ = _features(tmp_path / "module", tmp_path)
    np.testing.assert_allclose(features, below(images), atol=1e-5)
    assert f"is a whole classifier ({reason})" in caplog.text


def test_a_classifier_of_tf1_is_used_up_to_its_top(tmp_path: Path) -> None:
    import tensorflow as tf

    _save_tf1(tmp_path / "module", classifies=True)
    images, features, _ = _features(tmp_path / "module", tmp_path)
    pooled = tf.saved_model.load(str(tmp_path / "module"), []).signatures["default"](tf.constant(images))["a"]
    np.testing.assert_allclose(features, pooled, atol=1e-5)


def test_a_classifier_without_dense_layers_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    network, module = _network(), tf.Module()
    module.weights = [variable.value for variable in network.variables]

    def shares(images: Any) -> Any:
        powers = tf.exp(network(images))
        return powers / tf.reduce_sum(powers, -1, keepdims=True)

    images = tf.TensorSpec([None, SIZE, SIZE, 3], name="images")
    tf.saved_model.save(module, tmp_path / "module", tf.function(shares, [images]))
    with pytest.raises(InputError, match=r"is a whole classifier \(its outputs are positive and sum to 1\)"):
        _features(tmp_path / "module", tmp_path)


def test_a_run_on_a_classifier_has_the_features_below_its_top(photos: Path, tmp_path: Path) -> None:
    _classifier("softmax", tmp_path / "module")
    base = hs.load_base(f"tfhub:{tmp_path}/module")
    assert base.feature_dim == 20
    assert hs.train(photos, base=base.handle, fine_tune="none", runs=tmp_path / "runs").metrics["accuracy"] > 0.8


def test_a_fine_tuned_run_contains_the_module(tf2: Path, photos: Path, tmp_path: Path) -> None:
    module = Path(shutil.copytree(tf2, tmp_path / "module"))
    ways = hs.FineTuneConfig(fine_tune_epochs=1, keep="fine-tuned")
    run = hs.train(photos, base=f"tfhub:{module}", fine_tune="all", config=ways, runs=tmp_path / "runs")
    assert run.facts.freeze_proof.trained == 3  # two kernels and a bias
    shutil.rmtree(module)
    answer = hs.load(run.folder).predict(photos / "china/07.jpg")

    import keras

    import headstart.bases.graph_layer  # noqa: F401 - registers the layer with Keras

    model = keras.models.load_model(run.folder / "model.keras")
    with np.load(run.folder / "golden.npz") as golden:
        np.testing.assert_allclose(model.predict(golden["inputs"], verbose=0), golden["probabilities"], atol=1e-4)
    assert answer.predicted in run.classes
    original = _network()
    after = [np.asarray(weight) for weight in model.weights]
    for layer in original.layers:
        for before in layer.get_weights():  # BatchNormalization has not moved, everything else has
            is_unchanged = any(np.array_equal(before, value) for value in after)
            assert is_unchanged == ("norm" in layer.name), layer.name
    (export,) = hs.export(run, "saved-model", out=tmp_path / "exports")
    assert export.replay.difference <= 1e-4


def test_a_module_of_tf1_stays_frozen(tf1: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stays frozen: the module has no trainable weights"):
        hs.train(photos, base=f"tfhub:{tf1}", fine_tune="all", runs=tmp_path)


def test_a_module_that_scales_pixels_itself_receives_raw_pixels(tmp_path: Path) -> None:
    _network(rescaling=True).export(tmp_path / "scaling", verbose=False)
    assert hs.load_base(f"tfhub:{tmp_path}/scaling").input_facts()["preprocessing"]["name"] == "built in"


@pytest.mark.parametrize(
    ("name", "scale", "takes"),
    [
        ("raw", lambda x: (x - np.float32([123, 116, 103])) / 50, "built in"),
        ("unit", lambda x: (x * 255 - np.float32([123, 116, 103])) / 50, "[0, 1]"),
    ],
)
def test_the_first_step_tells_the_range_of_pixels(name: str, scale: Any, takes: str, tmp_path: Path) -> None:
    """Of two signatures, the one with the name of features is used."""
    import tensorflow as tf

    module = tf.Module()
    module.kernel = tf.Variable(tf.random.stateless_normal((3, 3, 3, 24), (1, 2)))
    embed = lambda x: tf.reduce_mean(tf.tanh(tf.nn.conv2d(scale(x), module.kernel, 2, "SAME")), [1, 2])  # noqa: E731
    images = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, "images")
    module.embed = tf.function(lambda images: {"out": embed(images)}, [images])
    module.score = tf.function(lambda images: {"out": tf.nn.softmax(embed(images)[:, :5])}, [images])
    tf.saved_model.save(module, tmp_path / name, {"score": module.score, "embed": module.embed})
    base = hs.load_base(f"tfhub:{tmp_path}/{name}")
    assert base.input_facts()["preprocessing"]["name"] == takes
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    expected = embed(pixels.astype(np.float32) / (255 if name == "unit" else 1))
    np.testing.assert_allclose(base.model()(pixels), expected, rtol=1e-4, atol=1e-5)


def _plain_module(*, conditional: bool) -> Any:
    """A module of variables without scopes; ``training`` may be a tensor, on which an update depends."""
    import tensorflow as tf

    module = tf.Module()
    module.kernel = tf.Variable(tf.random.stateless_normal((3, 3, 3, 8), (1, 2)), name="kernel")
    module.gamma = tf.Variable(tf.fill((8,), 0.7), name="gamma")
    module.mean = tf.Variable(tf.fill((8,), 0.3), trainable=False, name="moving_mean")
    module.top = tf.Variable(tf.random.stateless_normal((1, 1, 8, 16), (3, 4)), name="top")

    def call(images: Any, training: Any = False) -> Any:
        x = tf.nn.conv2d(images, module.kernel, 2, "SAME")
        if conditional:
            tf.cond(
                training, lambda: module.mean.assign(tf.reduce_mean(x, (0, 1, 2))), lambda: tf.identity(module.mean)
            )
        x = tf.nn.relu((x - module.mean) * module.gamma)
        return tf.reduce_mean(tf.nn.conv2d(x, module.top, 2, "SAME"), (1, 2))

    images, flag = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32), tf.TensorSpec([], tf.bool)
    module.__call__ = tf.function(call, input_signature=[images, flag]) if conditional else tf.function(call)
    module.__call__.get_concrete_function(*([] if conditional else [images]))
    return module


def test_variables_without_scopes_are_trained_beside_statistics(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(_plain_module(conditional=False), tmp_path / "plain")
    base = hs.load_base(f"tfhub:{tmp_path}/plain")
    assert not base.frozen_reason
    network = base.build(False)
    network.trainable = True
    assert sorted(tuple(weight.shape) for weight in network.trainable_weights) == [(1, 1, 8, 16), (3, 3, 3, 8)]


def test_updates_that_depend_on_a_tensor_are_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(_plain_module(conditional=True), tmp_path / "conditional")
    with pytest.raises(InputError, match=r"TensorFlow cannot freeze the variables of tfhub:.*/conditional"):
        hs.load_base(f"tfhub:{tmp_path}/conditional")


@pytest.mark.parametrize("writer", ["keras", "tf_keras"])
@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_the_users_own_opens_as_a_file(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``export()`` of Keras 3 and ``save()`` of Keras 2: a classifier, whose top is removed, on raw pixels."""
    keras = pytest.importorskip(writer)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(20, 3, 2)(inputs))
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(5, activation="softmax")(keras.layers.Dropout(0.3)(pooled))
    model = keras.Model(inputs, outputs)
    if writer == "keras":
        model.export(tmp_path / "model", verbose=False)
    else:
        model.save(tmp_path / "model", save_format="tf")
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    expected = np.asarray(keras.Model(inputs, pooled)(pixels.astype("float32")))
    monkeypatch.chdir(tmp_path)
    base = hs.load_base("file:model")
    assert base.handle == f"file:{tmp_path}/model"
    assert "raw pixels from 0 to 255" in caplog.text
    np.testing.assert_allclose(base.model()(pixels), expected, rtol=1e-5, atol=1e-4)
    if writer == "keras":
        hs.fetch(["file:model"], to="bundle")
        shutil.rmtree("model")
        monkeypatch.setenv("HEADSTART_BUNDLE", "bundle")
        np.testing.assert_allclose(hs.load_base("file:model").model()(pixels), expected, rtol=1e-5, atol=1e-4)
        with pytest.raises(InputError, match="in which layers have no names: leave out feature_layer"):
            hs.load_base("file:model", feature_layer="conv2d")


def test_a_tensor_that_switches_training_on_is_false(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.kernel = tf.Variable(tf.random.stateless_normal((3, 3, 3, 24), (1, 2)))
    flag = tf.TensorSpec([], tf.bool)

    def call(images: Any, is_training: Any) -> Any:
        return tf.reduce_mean(tf.nn.conv2d(images, module.kernel, 2, "SAME"), [1, 2]) + 5 * tf.cast(
            is_training, "float32"
        )

    module.__call__ = tf.function(call, [tf.TensorSpec([None, SIZE, SIZE, 3]), flag])
    tf.saved_model.save(module, tmp_path / "flag")
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    expected = call(pixels.astype(np.float32) / 255, False)
    np.testing.assert_allclose(hs.load_base(f"tfhub:{tmp_path}/flag").model()(pixels), expected, atol=1e-5)


def test_other_backends_of_keras_are_refused_by_name() -> None:
    program = "from headstart.bases.graph_layer import GraphLayer; GraphLayer('', 'x', 'y', [])"
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "graph of TensorFlow, which Keras on numpy cannot compute: set KERAS_BACKEND=tensorflow" in done.stderr


def test_other_modules_and_folders_are_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.__call__ = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, tmp_path / "texts", signatures=module.__call__)
    with pytest.raises(InputError, match=r"has inputs of shape \(None,\): expected one input of images"):
        hs.load_base(f"tfhub:{tmp_path}/texts")
    with pytest.raises(InputError, match=r"is not a SavedModel: expected a folder with saved_model\.pb"):
        hs.load_base(f"tfhub:{tmp_path}")


@pytest.fixture
def hub(tf2: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A local hub server: ``/whole``, ``/truncated`` (the connection breaks) and ``/page`` (not an archive)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(tf2, arcname=".")
    content = buffer.getvalue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.partition("?")[0]
            body = b"<html>Sign in</html>" if name == "/page" else content
            self.send_response(200 if name in ("/whole", "/truncated", "/page") else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if name == "/truncated" else body)

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    monkeypatch.setenv("HEADSTART_OFFLINE", "0")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_module_is_downloaded_once_and_then_needs_no_network(
    hub: str, tf2: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = hs.load_base(f"tfhub:{hub}/whole")
    hs.fetch([f"tfhub:{hub}/whole"], to=tmp_path / "bundle")
    with monkeypatch.context() as environment:
        environment.setenv("TFHUB_CACHE_DIR", str(tmp_path / "empty"))
        environment.setenv("HEADSTART_BUNDLE", str(tmp_path / "bundle"))
        assert hs.load_base(f"tfhub:{hub}/whole").digest == base.digest
    assert base.weights_sha256 == hs.load_base(f"tfhub:{tf2}").weights_sha256
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    assert hs.load_base(f"tfhub:{hub}/whole").weights_sha256 == base.weights_sha256
    with pytest.raises(
        UnavailableError, match=r"other is not on this machine .*downloads are disabled.*unpack it into"
    ):
        hs.load_base(f"tfhub:{hub}/other")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("truncated", UnavailableError, r"/truncated is not on this machine and cannot be downloaded .*more expected"),
        ("page", IntegrityError, "is not a complete archive"),
        ("absent", UnavailableError, "404"),
    ],
)
def test_a_download_that_fails_leaves_nothing(
    hub: str, name: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(error, match=message):
            hs.load_base(f"tfhub:{hub}/{name}")
    assert not [path for path in (tmp_path / "hub").iterdir() if path.is_dir()]
