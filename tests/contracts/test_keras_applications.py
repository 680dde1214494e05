"""The source ``keras:`` compared with the installed Keras: facts, preprocessing, weights files, errors."""

import hashlib
import http.server
import inspect
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from headstart.bases import BaseSpec, load_base
from headstart.bases.keras_applications import find, load, names, published_weights
from headstart.bases.keras_table import MODELS, OPTIONS, Model
from headstart.bases.keras_weights import Published, fetch, find_or_fetch
from headstart.errors import InputError, IntegrityError, UnavailableError
from headstart.system.progress import NoProgress

pytestmark = pytest.mark.slow

SMALL = "keras:MobileNet?alpha=0.25"
all_models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


@pytest.fixture
def keras_models(tmp_path, monkeypatch) -> Path:
    """Keras's weights folder, empty, with downloads disabled."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def server(tmp_path):
    """A local HTTP server for a folder: (folder, address)."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def send_header(self, keyword, value):  # the connection ends early for a file with the name "broken"
        if keyword == "Content-Length" and "broken" in self.path:
            value = str(int(value) + 1000)
        super().send_header(keyword, value)


def untrained(handle: str, size: int, include_top: bool = False):
    return load(BaseSpec(handle, "none", (size, size))).build(include_top)


def module_of(keras, model: Model):
    modules = [
        module
        for _, module in inspect.getmembers(keras.applications, inspect.ismodule)
        if hasattr(module, model.name) and hasattr(module, "preprocess_input")
    ]
    if modules:
        return modules[0]
    return keras.applications.mobilenet_v3  # it exports its functions only one level up


def defining_module(keras, name: str):
    return inspect.getmodule(inspect.unwrap(getattr(keras.applications, name)))


def write_published_form(network, path: Path) -> Path:
    """Write the old HDF5 format in which Keras publishes weights."""
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return path


# --- facts ---------------------------------------------------------------------------------------------------------


def test_the_table_contains_every_model_of_keras(keras):
    assert sorted(names()) == sorted(name for name in dir(keras.applications) if name[0].isupper())
    assert len(names()) == 40


@all_models
def test_preprocessing_equals_keras(keras, model):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    expected = module_of(keras, model).preprocess_input(pixels.astype(np.float32), data_format="channels_last")
    np.testing.assert_allclose(model.preprocessing.array(pixels), expected, rtol=1e-5, atol=2e-5)


@all_models
def test_smallest_size_equals_keras(keras, model):
    side = model.min_size - 1
    with pytest.raises(ValueError, match=f"at least {model.min_size}"):  # Keras's own check
        getattr(keras.applications, model.name)(include_top=False, weights=None, input_shape=(side, side, 3))
    with pytest.raises(InputError, match=f"{side}x{side} is too small for keras:{model.name}"):
        load_base(f"keras:{model.name}", weights="none", input_size=side)


@all_models
def test_default_size_equals_keras(keras, model):
    if model.name.startswith("MobileNetV3"):
        assert model.default_size == 224  # Keras does not check it; its documentation says 224
        return
    with pytest.raises(ValueError, match=rf"should be \({model.default_size}, {model.default_size}, 3\)"):
        getattr(keras.applications, model.name)(weights="imagenet", input_shape=(97, 98, 3))


@all_models
def test_files_and_digests_equal_keras(keras, model):
    size = (model.default_size, model.default_size)
    files = [published_weights(model, OPTIONS.get(model.name, {}), size, include_top=top) for top in (True, False)]
    source = inspect.getsource(defining_module(keras, model.name.removesuffix("V2" * (model.name[:6] == "ResNet"))))
    source = re.sub(r'"\s+f?"', "", source)  # join implicitly concatenated strings
    assert files[0].url.rpartition("/")[0] + "/" in source
    if model.name in ("MobileNet", "MobileNetV2"):
        assert [file.digest for file in files] == ["", ""]
        assert "file_hash" not in source
    else:
        assert 0 < source.find(files[0].digest) < source.find(files[1].digest)


def test_weights_files_of_options_and_sizes():
    v1, v2, v3 = find("MobileNet"), find("MobileNetV2"), find("MobileNetV3Large")
    file = partial(published_weights, include_top=False)
    assert file(v1, {"alpha": 0.25}, (160, 160)).file == "mobilenet_2_5_160_tf_no_top.h5"
    assert file(v1, {"alpha": 1.0}, (100, 160)).file == "mobilenet_1_0_224_tf_no_top.h5"
    assert file(v2, {"alpha": 1.4}, (96, 96)).file == "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_96_no_top.h5"
    minimalistic = file(v3, {"alpha": 1.0, "minimalistic": True}, (224, 224))
    assert minimalistic.file == "weights_mobilenet_v3_large_minimalistic_224_1.0_float_no_top_v2.h5"
    assert minimalistic.digest == "ec5221f64a2f6d1ef965a614bdae7973"
    nasnet = published_weights(find("NASNetMobile"), {}, (224, 224), include_top=False)
    assert (nasnet.file, nasnet.url.rpartition("/")[2]) == ("nasnet_mobile_no_top.h5", "NASNet-mobile-no-top.h5")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("MobileNet", {"alpha": 0.25}, 128),
        ("MobileNetV2", {"alpha": 0.5}, 192),
        ("MobileNetV3Small", {"alpha": 1.0, "minimalistic": True}, 64),
        ("MobileNetV3Large", {"alpha": 0.75, "minimalistic": False}, 224),
        ("EfficientNetB0", {}, 64),
        ("EfficientNetV2B0", {}, 64),
        ("ConvNeXtTiny", {}, 64),
        ("ResNet50V2", {}, 64),
        ("InceptionV3", {}, 75),
        ("Xception", {}, 71),
    ],
)
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square")  # MobileNet, for sizes such as 64
def test_keras_itself_requests_the_same_file(keras, monkeypatch, name, options, size):
    class FileRequest(Exception):  # noqa: N818
        pass

    def get_file(fname, origin, file_hash=None, **_):
        raise FileRequest(fname, origin, file_hash or "")

    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(FileRequest) as caught:
        getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=(size, size, 3), **options)
    assert caught.value.args == published_weights(find(name), options, (size, size), include_top=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "handle",
    [
        *("keras:MobileNetV3Small", "keras:MobileNetV2", "keras:EfficientNetB0"),
        *("keras:ResNet50V2", "keras:VGG16", "keras:ConvNeXtTiny", "keras:DenseNet121", "keras:MobileNet"),
    ],
)
def test_params_and_feature_dim(keras, handle):
    model = find(handle.partition(":")[2])
    network = untrained(handle, 64)
    assert network.count_params() == model.params
    assert network.output_shape[-1] == model.feature_dim
    keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("handle", "dim"),
    [
        ("keras:MobileNet?alpha=0.25", 256),
        ("keras:MobileNetV2?alpha=0.35", 1280),
        ("keras:MobileNetV2?alpha=1.3", 1664),
        ("keras:MobileNetV2?alpha=1.4", 1792),
        ("keras:MobileNetV3Small?alpha=0.75", 432),
        ("keras:MobileNetV3Large?alpha=0.75", 720),
        ("keras:MobileNetV3Large?minimalistic=True", 960),
    ],
)
def test_feature_dim_of_options(keras, handle, dim):
    base = load(BaseSpec(handle, "none", (64, 64)))
    assert base.feature_dim == dim == base.build(False).output_shape[-1]
    keras.backend.clear_session()


# --- handles and options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handle", "canonical"),
    [
        ("keras:xception", "keras:Xception"),
        ("keras:RESNET50V2", "keras:ResNet50V2"),
        ("keras:mobilenetv2?alpha=1", "keras:MobileNetV2"),
        ("keras:MobileNetV2?alpha=0.50", "keras:MobileNetV2?alpha=0.5"),
        ("keras:MobileNetV3Small?minimalistic=true&alpha=0.75", "keras:MobileNetV3Small?alpha=0.75&minimalistic=True"),
    ],
)
def test_handles_become_canonical(handle, canonical):
    assert load_base(handle, weights="none").handle == canonical


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        ("keras:Xceptoin", "no model 'Xceptoin'.*Did you mean 'Xception'"),
        ("keras:Xception?alpha=0.5", "unknown option 'alpha' in 'keras:Xception.alpha=0.5': it has no options"),
        ("keras:MobileNetV3Small?alfa=1", "unknown option 'alfa'.*alpha, minimalistic.*Did you mean 'alpha'"),
        ("keras:MobileNetV2?alpha=wide", "alpha=wide.*a number above 0"),
        ("keras:MobileNetV2?alpha=0", "alpha=0.*a number above 0"),
        ("keras:MobileNetV3Large?minimalistic=maybe", "minimalistic=maybe.*true or false"),
    ],
)
def test_invalid_handles_are_refused(handle, message):
    with pytest.raises(InputError, match=message):
        load_base(handle, weights="none")


def test_unpublished_alpha(keras_models):
    with pytest.raises(InputError, match=r"alpha=0.6: expected alpha of 0.35, 0.5, 0.75, 1.0, 1.3, 1.4"):
        load_base("keras:MobileNetV2?alpha=0.6")
    with pytest.raises(InputError, match=r"alpha=0.75 and minimalistic=True: expected alpha of 1.0"):
        load_base("keras:MobileNetV3Large?alpha=0.75&minimalistic=True")


@pytest.mark.parametrize("handle", [SMALL, "embedded:efficientnet-lite0"])
def test_random_weights_give_a_warning_and_are_reproducible(handle, caplog):
    base = load_base(handle, weights="none", input_size=32)
    assert "this is not transfer learning" in caplog.text
    assert (base.weights_sha256, base.weights_path) == ("random", None)
    first, second = (base.model().get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert sum(bool(np.ptp(a)) for a in first) > 20  # the kernels


# --- local files and downloads -------------------------------------------------------------------------------------


def test_offline_error_says_what_to_do(keras_models):
    file = "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with pytest.raises(UnavailableError, match=f"keras:Xception .*HEADSTART_OFFLINE.*{file}") as caught:
        load_base("keras:xception")
    for part in (str(keras_models), "weights='PATH'", "embedded:efficientnet-lite0", "file:PATH"):
        assert part in str(caught.value)
    with pytest.raises(UnavailableError, match=r"NASNet-large-no-top\.h5 .*under the name nasnet_large_no_top\.h5"):
        load_base("keras:NASNetLarge")


def test_unreachable_server(keras_models, monkeypatch):
    monkeypatch.delenv("HEADSTART_OFFLINE")
    with pytest.raises(UnavailableError, match=r"cannot be downloaded .*refused"):
        find_or_fetch(Published("a.h5", "http://127.0.0.1:1/a.h5", ""), "keras:A")


def test_a_file_in_keras_folder_is_used(keras_models):
    path = keras_models / "mobilenet_2_5_160_tf_no_top.h5"
    path.write_bytes(b"Keras states no digest for this one")
    base = load_base(SMALL, input_size=160)
    assert base.weights_path == path
    assert base.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_damaged_file_is_refused_and_not_changed(keras_models):
    path = keras_models / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path.write_bytes(b"half a download")
    with pytest.raises(IntegrityError, match=f"{path} is not the file Keras publishes for keras:VGG16"):
        load_base("keras:VGG16")
    assert path.read_bytes() == b"half a download"
    assert list(keras_models.iterdir()) == [path]


class CountingProgress(NoProgress):
    """Records every piece of work: [label, total, unit, finished units]."""

    def __init__(self):
        self.works = []

    @contextmanager
    def start(self, label, total, unit):
        self.works.append([label, total, unit, 0])
        yield self

    def advance(self, n=1):
        self.works[-1][-1] += n


def test_download(server, keras_models, monkeypatch, caplog, capfd):
    monkeypatch.delenv("HEADSTART_OFFLINE")
    folder, address = server
    content = bytes(range(256)) * 10_000
    (folder / "w.h5").write_bytes(content)
    published = Published("here.h5", f"{address}/w.h5", hashlib.md5(content).hexdigest())
    (keras_models / "here.h5.partial").mkdir()  # left by a process that was killed
    (keras_models / "here.h5.partial/tmp").write_bytes(content[:99])
    progress = CountingProgress()
    path = find_or_fetch(published, "keras:W", progress=progress)
    assert path == keras_models / "here.h5"
    assert path.read_bytes() == content
    assert sorted(file.name for file in keras_models.iterdir()) in (["here.h5"], ["here.h5", "here.h5.lock"])
    assert f"downloading {address}/w.h5 (3 MB) into {keras_models}" in caplog.text
    assert progress.works == [["download", 2, "MB", 2]]
    assert capfd.readouterr() == ("", "")  # pooch's own messages are silenced
    (folder / "w.h5").unlink()
    assert find_or_fetch(published, "keras:W") == path  # the second time from the folder


def test_download_of_another_file(server, keras_models, monkeypatch):
    monkeypatch.delenv("HEADSTART_OFFLINE")
    folder, address = server
    (folder / "w.h5").write_bytes(b"<html>please log in</html>")
    with pytest.raises(
        IntegrityError, match=r"w.h5 is not the file Keras publishes for keras:W: its digest is not 0{64}"
    ):
        find_or_fetch(Published("w.h5", f"{address}/w.h5", "0" * 64), "keras:W")
    assert not list(keras_models.glob("w.h5")) + list(keras_models.glob("*.partial"))


def test_interrupted_download(server, keras_models, monkeypatch):
    monkeypatch.delenv("HEADSTART_OFFLINE")
    folder, address = server
    (folder / "broken.h5").write_bytes(b"x" * 5000)
    with pytest.raises(UnavailableError, match="5000 bytes read, 1000 more expected"):
        fetch(Published("b.h5", f"{address}/broken.h5", ""), keras_models / "b.h5", "keras:B")
    assert not list(keras_models.glob("b.h5")) + list(keras_models.glob("*.partial"))


def test_missing_weights_path(tmp_path):
    with pytest.raises(InputError, match=f"no weights file at {tmp_path}/w.h5.*keras:MobileNetV2"):
        load_base("keras:MobileNetV2", weights=tmp_path / "w.h5")


def test_weights_paths_become_absolute(tmp_path, monkeypatch):
    (tmp_path / "w.h5").write_bytes(b"w")
    monkeypatch.chdir(tmp_path)
    base = load_base("keras:MobileNetV2", weights="w.h5")
    assert base.spec.weights == str(base.weights_path) == str(tmp_path / "w.h5")


def test_listing_needs_no_keras():
    code = (
        "import sys; from headstart.bases.catalog import entries; from headstart.bases import load_base; "
        "assert len(entries()) == 41; load_base('keras:Xception', weights='none'); "
        "sys.exit(bool({'keras', 'tensorflow', 'h5py', 'openvino', 'pooch', 'requests'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False).returncode == 0


# --- weights in a network ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(keras):
    """A network with a top and unique weights, in place of the published one."""
    network = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(64, 64, 3))
    rng = np.random.default_rng(7)
    for variable in network.weights:
        variable.assign(rng.uniform(0.1, 1, variable.shape))
    return network


def same_weights(network, other) -> bool:
    return all(
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(network.weights, other.weights, strict=False)
    )


@pytest.mark.parametrize(
    ("file", "data_format"),
    [
        ("w.h5", "channels_last"),
        ("w.h5", "channels_first"),
        ("whole.h5", "channels_last"),
        ("w.weights.h5", "channels_first"),
        ("w.keras", "channels_last"),
    ],
)
def test_weights_with_a_top_load_in_both_channel_orders(keras, trained, tmp_path, file, data_format):
    path = tmp_path / file
    if file == "w.h5":
        write_published_form(trained, path)
    elif file == "w.weights.h5":
        trained.save_weights(path)
    else:
        trained.save(path)
    base = load_base(SMALL, weights=path, input_size=64)
    keras.config.set_image_data_format(data_format)
    try:
        network = base.build(False)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert network.output_shape[1 if data_format == "channels_first" else -1] == 256
    assert same_weights(network, trained)


def test_the_top_is_loaded_on_request(keras, trained, tmp_path):
    path = write_published_form(trained, tmp_path / "top.h5")
    classifier = load_base(SMALL, weights=path, input_size=64).build(True)
    assert classifier.output_shape == (None, 1000)
    assert same_weights(classifier, trained)
    no_top = write_published_form(untrained(SMALL, 64), tmp_path / "no_top.h5")
    with pytest.raises(InputError, match=r"no_top.h5 does not match keras:MobileNet.alpha=0.25: it has 54 layers.*55"):
        load_base(SMALL, weights=no_top, input_size=64).build(True)


@pytest.mark.parametrize("file", ["w.h5", "w.weights.h5"])
def test_weights_of_another_width(keras, trained, tmp_path, file):
    path = tmp_path / file
    trained.save_weights(path) if "weights" in file else write_published_form(trained, path)
    with pytest.raises(InputError, match=f"{file} does not match keras:MobileNet.alpha=0.5: .*shape"):
        load_base("keras:MobileNet?alpha=0.5", weights=path, input_size=64).build(False)


def test_files_without_weights(keras, tmp_path):
    for file in ("junk.h5", "junk.keras"):
        (tmp_path / file).write_bytes(b"not a weights file")
        with pytest.raises(InputError, match=f"{file} does not match keras:MobileNet"):
            load_base(SMALL, weights=tmp_path / file, input_size=64).build(False)


def test_a_model_of_another_kind(keras, tmp_path):
    other = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Conv2D(8, 3), keras.layers.Dense(3)])
    other.save(tmp_path / "other.keras")
    with pytest.raises(InputError, match=r"other\.keras does not match keras:MobileNet"):
        load_base(SMALL, weights=tmp_path / "other.keras", input_size=64).build(False)


def test_new_format_with_an_old_name(keras, trained, tmp_path):
    trained.save_weights(tmp_path / "w.weights.h5")
    (tmp_path / "w.weights.h5").rename(tmp_path / "w.h5")
    with pytest.raises(InputError, match=r"w\.h5 does not match .*must then end in '.weights.h5'"):
        load_base(SMALL, weights=tmp_path / "w.h5", input_size=64).build(False)


def test_random_state_is_not_changed(keras):
    import random

    random.seed(5), np.random.seed(5)
    state = np.random.get_state()[1].copy()
    first, second = untrained(SMALL, 32), untrained(SMALL, 32)
    assert same_weights(first, second)
    assert np.array_equal(np.random.get_state()[1], state)


def test_top_with_random_weights(keras):
    probabilities = untrained(SMALL, 32, include_top=True)(np.zeros((1, 32, 32, 3), np.float32))
    assert probabilities.shape == (1, 1000)


@pytest.mark.slow
def test_efficientnet_b_divides_by_its_standard_deviation_once(keras, tmp_path, monkeypatch):
    """In Keras the same file gives other features when it is loaded by its path; in headstart it does not."""
    network = untrained("keras:EfficientNetB0", 64)
    for layer in network.layers:
        if type(layer).__name__ == "Normalization":  # as in the published file
            layer.adapt_mean.assign([0.485, 0.456, 0.406])
            layer.adapt_variance.assign([0.229, 0.224, 0.225])
    path = write_published_form(network, tmp_path / "efficientnetb0_notop.h5")
    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: str(path))
    original = keras.applications.EfficientNetB0(include_top=False, weights="imagenet", input_shape=(64, 64, 3))
    by_path = keras.applications.EfficientNetB0(include_top=False, weights=str(path), input_shape=(64, 64, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    network = load_base("keras:EfficientNetB0", weights=path, input_size=64).build(False)
    expected = np.asarray(original(pixels))
    assert np.linalg.norm(np.asarray(network(pixels)) - expected) < 1e-4 * np.linalg.norm(expected)
    assert np.linalg.norm(np.asarray(by_path(pixels)) - expected) > 1e-2 * np.linalg.norm(expected)


@pytest.mark.slow
def test_channels_first_for_models_that_keras_refuses(keras):
    """DenseNet and NASNet are converted layer by layer, for engines that need channels first."""
    last = untrained("keras:DenseNet121", 64)
    keras.config.set_image_data_format("channels_first")
    try:
        first = untrained("keras:DenseNet121", 64)
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")
    assert (first.output_shape, last.output_shape) == ((None, 1024, 2, 2), (None, 2, 2, 1024))
    assert same_weights(first, last)


@pytest.mark.slow
def test_engine_in_another_process_agrees(keras, tmp_path):
    """A child process converts the model on another backend: the random weights are the same there."""
    from headstart.features.engines import OpenVINOEngine, prepare

    base = load(BaseSpec("keras:EfficientNetB0", "none", (64, 64)))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    prepared = prepare(base, tmp_path, pixels)
    assert prepared.facts["by"] == "openvino", prepared.facts  # direct conversion, impossible with a Reshape layer
    features = np.asarray(base.model()(pixels))
    engine = OpenVINOEngine(prepared.xml, "float32")(pixels)
    assert np.linalg.norm(engine - features) < 1e-4 * np.linalg.norm(features)
