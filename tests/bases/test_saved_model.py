"""The source ``tfhub:`` with modules that TensorFlow writes, in both formats, and with a local hub server."""

import http.server
import io
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import InputError, IntegrityError, UnavailableError

pytestmark = pytest.mark.slow

SIZE = 32


def _network(*, rescaling: bool = False) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Conv2D(8, 3, 2, name="conv"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling2D(),
    ]
    preprocessing = [keras.layers.Rescaling(1 / 127.5, -1)] if rescaling else []
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *preprocessing, *layers])
    statistics = network.get_layer(index=len(preprocessing) + 1)
    statistics.moving_mean.assign(np.full(8, 0.1))
    return network


@pytest.fixture(scope="session")
def tf2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reusable module in TF2's format: callable, with ``training`` and its variables."""
    import tensorflow as tf

    network = _network()
    module = tf.train.Checkpoint()
    module.variables = [variable.value for variable in network.variables]
    module.trainable_variables = [variable.value for variable in network.trainable_variables]
    module.regularization_losses = []
    module.__call__ = tf.function(lambda x, training=False: network(x, training=training))
    for training in (True, False):
        module.__call__.get_concrete_function(tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32), training=training)
    folder = tmp_path_factory.mktemp("modules") / "tf2"
    tf.saved_model.save(module, folder)
    return folder


@pytest.fixture(scope="session")
def tf1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module in TF1's format: a graph without tags, and a signature with the name ``default``."""
    import tensorflow as tf

    v1 = tf.compat.v1
    folder = tmp_path_factory.mktemp("modules") / "tf1"
    with tf.Graph().as_default(), v1.Session() as session:
        v1.disable_resource_variables()
        images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], "images")
        kernel = v1.get_variable("kernel", [3, 3, 3, 8], initializer=v1.random_normal_initializer(seed=1))
        features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, kernel, 2, "VALID")), [1, 2])
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"images": images}, {"default": features})
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
        v1.enable_resource_variables()
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


def test_a_fine_tuned_run_contains_the_module(tf2: Path, photos: Path, tmp_path: Path) -> None:
    module = Path(shutil.copytree(tf2, tmp_path / "module"))
    ways = hs.FineTuneConfig(fine_tune_epochs=1, keep="fine-tuned")
    run = hs.train(photos, base=f"tfhub:{module}", fine_tune="all", config=ways, runs=tmp_path / "runs")
    assert run.facts.freeze_proof.trained > 0
    shutil.rmtree(module)
    answer = hs.load(run.folder).predict(photos / "china/07.jpg")

    import keras

    import headstart.bases.graph_layer  # noqa: F401 - registers the layer with Keras

    model = keras.models.load_model(run.folder / "model.keras")
    with np.load(run.folder / "golden.npz") as golden:
        np.testing.assert_allclose(model.predict(golden["inputs"], verbose=0), golden["probabilities"], atol=1e-4)
    assert answer.predicted in run.classes


def test_a_module_of_tf1_stays_frozen(tf1: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stays frozen: the module has no trainable weights"):
        hs.train(photos, base=f"tfhub:{tf1}", fine_tune="all", runs=tmp_path)


def test_a_module_that_scales_pixels_itself_receives_raw_pixels(tmp_path: Path) -> None:
    _network(rescaling=True).export(tmp_path / "scaling", verbose=False)
    assert hs.load_base(f"tfhub:{tmp_path}/scaling").input_facts()["preprocessing"]["name"] == "built in"


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
