"""A GPU as an engine. There is none where these tests run, so they are told of one that Keras then does not find."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.features import engines
from headstart.features.engines import KerasEngine, batch_size, choose_engine
from headstart.system import gpu, keras_worker
from headstart.system.settings import cache_folder
from tests.conftest import SIZE

_ASK = """
import sys
from pathlib import Path
from headstart.system import gpu
assert not gpu.is_usable(Path(sys.argv[1]))
assert not {"keras", "tensorflow", "torch", "jax"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def base() -> hs.Base:
    return hs.load_base(input_size=SIZE)


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "is_usable", lambda cache: True)


def _probe() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)


def test_without_a_driver_nothing_is_asked(tmp_path: Path) -> None:
    if gpu._driver_version() is not None:
        pytest.skip("NVIDIA's driver is here")
    subprocess.run([sys.executable, "-c", _ASK, str(tmp_path)], check=True, timeout=60)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_with_a_driver_the_backend_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that the answer is no, wherever this runs
    monkeypatch.setattr(gpu, "_driver_version", lambda: 13000)
    assert not gpu.is_usable(tmp_path)
    monkeypatch.setattr(keras_worker, "call", lambda *args, **kwargs: pytest.fail("asked again"))
    assert not gpu.is_usable(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("with_gpu")
def test_auto_takes_the_gpu_for_what_is_worth_its_start(base: hs.Base) -> None:
    def chosen(count: int, **asked: str) -> tuple[str, str]:
        options = {"engine": "auto", "precision": "float32", **asked}
        return choose_engine(base, cache_folder=cache_folder(), probe=_probe, count=count, **options)

    assert chosen(100) == ("auto", "float32")
    assert chosen(10**9) == ("keras", "float32")
    assert chosen(10**9, engine="openvino") == ("openvino", "float32")
    assert chosen(100, engine="keras") == ("keras", "float32")
    assert chosen(0) == ("auto", "float32")


@pytest.mark.slow
@pytest.mark.usefixtures("with_gpu")
def test_what_keras_computes_is_kept_apart(
    base: hs.Base, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = []
    for number, photo in enumerate(sorted(photos.rglob("*.jpg"))[:10]):  # pictures that no other test has computed
        files.append(tmp_path / f"{number}.png")
        with Image.open(photo) as picture:
            picture.rotate(90).save(files[-1])
    on_cpu = hs.extract(base, files, precision="float32")
    monkeypatch.setattr(engines, "_GPU_START_S", dict.fromkeys(keras_worker.TRAINING_BACKENDS, 0))
    monkeypatch.setattr(engines, "_GPU_RATE", 1e18)
    on_gpu = hs.extract(base, files, precision="float32")
    assert "with Keras on the GPU, in float32" in caplog.text
    assert (on_cpu.by_keras, on_gpu.by_keras) == (False, True)
    assert on_gpu.key != on_cpu.key
    assert on_gpu.computed == 10
    found, expected = on_gpu.rows(range(10)), on_cpu.rows(range(10))
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5


@pytest.mark.slow
def test_keras_is_given_batches_of_one_shape() -> None:
    keras = keras_worker.import_keras()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(3.0)])
    shapes = []
    model.predict_on_batch = lambda x, predict=model.predict_on_batch: (shapes.append(x.shape), predict(x))[1]
    batches = [np.arange(8.0).reshape(4, 2), np.ones((1, 2)), np.ones((3, 2))]
    for (_, found), given in zip(KerasEngine(model).stream(enumerate(batches)), batches, strict=True):
        np.testing.assert_allclose(found, 3 * given)
    assert shapes == [(4, 2)] * 3


@pytest.mark.slow
def test_float32_is_full_only_where_it_has_to_be() -> None:
    keras_worker.import_keras()
    import tensorflow

    enabled = tensorflow.config.experimental.tensor_float_32_execution_enabled
    assert enabled()
    with keras_worker.full_float32():
        assert not enabled()
    assert enabled()


def test_large_pictures_come_in_smaller_batches(base: hs.Base) -> None:
    sizes = [batch_size(hs.load_base(input_size=size), by_keras=True) for size in (64, 224, 320, 480)]
    assert sizes == [128, 128, 64, 28]
    assert batch_size(base, by_keras=False) == 16
