"""The embedded base: its network, and a reader of checkpoints that never executes code."""

import io
import pickle
import struct
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from headstart.bases import load_base
from headstart.bases.torch_checkpoint import read_torch_checkpoint
from headstart.errors import InputError, IntegrityError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


@pytest.fixture(scope="module")
def base():
    return load_base("embedded:efficientnet-lite0", input_size=64)


@pytest.fixture(scope="module")
def model(base):
    return base.model()


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)


# --- the network ---------------------------------------------------------------------------------------------------


def test_shape_of_the_network(base, model, pixels):
    assert model.count_params() == 3_413_024  # 4,694,024 with the published top of 1,000 classes
    assert not model.trainable_weights
    features = np.asarray(model(pixels))
    assert features.shape == (4, base.feature_dim)
    assert features.min() >= 0  # the last layer is a ReLU6
    assert features.max() <= 6


def test_inference_mode_for_every_value_of_training(model, pixels):
    """``trainable = False`` on every layer freezes BatchNormalization; ``training=False`` alone does not."""
    before = [np.asarray(variable).copy() for variable in model.weights]
    training, inference = np.asarray(model(pixels, training=True)), np.asarray(model(pixels, training=False))
    np.testing.assert_allclose(training, inference, rtol=1e-5, atol=1e-6)
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, model.weights, strict=True))


def test_original_classifier():
    base = load_base("embedded:efficientnet-lite0")
    network = base.build(True)
    assert network.count_params() == 4_694_024
    plain = np.full((1, 224, 224, 3), 127, np.uint8)
    probabilities = np.asarray(network(base.preprocessing.array(plain)))
    assert probabilities.shape == (1, 1000)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_weights_and_size_are_part_of_the_digest(base):
    assert base.weights_path is not None
    assert base.weights_path.name == "efficientnet-lite0-57934424.pth"
    assert len(base.weights_sha256) == 64
    assert load_base("embedded:efficientnet-lite0", input_size=96).digest != base.digest


@pytest.mark.slow
def test_channels_first_in_a_child_process_equals_channels_last(base, model, pixels, tmp_path):
    from headstart.features.engines import OpenVINOEngine, prepare

    prepared = prepare(base, tmp_path, pixels)
    assert (prepared.facts["by"], prepared.facts["optimised"]) == ("openvino", True)  # built with channels first
    assert prepared.facts["difference"] < 1e-5
    features, expected = OpenVINOEngine(prepared.xml, "float32")(pixels), np.asarray(model(pixels))
    assert np.linalg.norm(features - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("handle", "arguments", "message"),
    [
        ("embedded:efficientnet-lite1", {}, r"'embedded:efficientnet-lite1'.*Did you mean 'efficientnet-lite0'"),
        ("embedded:efficientnet-lite0?alpha=2", {}, r"unknown embedded base .*alpha=2"),
        ("embedded:efficientnet-lite0", {"input_size": 31}, "31x31 is too small .*at least 32"),
        ("embedded:efficientnet-lite0", {"weights": "/none/w.pth"}, "no weights file at /none/w.pth"),
    ],
)
def test_invalid_arguments_are_refused(handle, arguments, message):
    with pytest.raises(InputError, match=message):
        load_base(handle, **arguments)


# --- the checkpoint reader -----------------------------------------------------------------------------------------


class _Stored:
    """Stands for a storage while pickling: torch writes a storage as a persistent id."""

    def __init__(self, key: str, count: int, kind: object) -> None:
        self.id = ("storage", kind, key, "cpu", count, None)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.id if isinstance(obj, _Stored) else None


class _Reduced:
    """Pickles as a call of ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture
def torch_names(monkeypatch):
    """Modules with torch's names, so that pickles can refer to them without torch."""

    def _rebuild_tensor_v2():
        raise AssertionError("the reader must not call into torch")

    class FloatStorage:
        pass

    class LongStorage:
        pass

    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage, torch.LongStorage, utils._rebuild_tensor_v2 = FloatStorage, LongStorage, _rebuild_tensor_v2
    for definition, module in ((FloatStorage, torch), (LongStorage, torch), (_rebuild_tensor_v2, utils)):
        definition.__module__, definition.__qualname__ = module.__name__, definition.__name__
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return types.SimpleNamespace(rebuild=_rebuild_tensor_v2, float=FloatStorage, long=LongStorage)


def write_checkpoint(path: Path, content: object, storages: dict[str, np.ndarray], magic: int = MAGIC) -> Path:
    file = io.BytesIO()
    for value in (magic, PROTOCOL, {"little_endian": True}):
        pickle.dump(value, file, protocol=2)
    _Pickler(file, protocol=2).dump(content)
    pickle.dump(list(storages), file, protocol=2)
    for values in storages.values():
        file.write(struct.pack("<q", values.size) + values.tobytes())
    path.write_bytes(file.getvalue())
    return path


def tensor(torch_names, key, values, *, offset=0, shape, stride):
    kind = torch_names.float if values.dtype == np.float32 else torch_names.long
    storage = _Stored(key, values.size, kind)
    return _Reduced(torch_names.rebuild, storage, offset, shape, stride, False, OrderedDict())


def test_reads_arrays_with_offsets_and_strides(torch_names, tmp_path):
    values, counts = np.arange(12, dtype="<f4"), np.array([7], "<i8")
    content = OrderedDict(
        plain=tensor(torch_names, "0", values, shape=(3, 4), stride=(4, 1)),
        transposed=tensor(torch_names, "0", values, shape=(4, 3), stride=(1, 4)),
        part=tensor(torch_names, "0", values, offset=5, shape=(2,), stride=(3,)),
        scalar=tensor(torch_names, "1", counts, shape=(), stride=()),
    )
    arrays = read_torch_checkpoint(write_checkpoint(tmp_path / "c.pth", content, {"0": values, "1": counts}))
    assert list(arrays) == list(content)
    np.testing.assert_array_equal(arrays["plain"], values.reshape(3, 4))
    np.testing.assert_array_equal(arrays["transposed"], values.reshape(3, 4).T)
    np.testing.assert_array_equal(arrays["part"], [5, 8])
    assert arrays["scalar"].item() == 7


@pytest.mark.parametrize(
    ("function", "name"),
    [(exec, r"__builtin__\.exec"), (eval, r"__builtin__\.eval"), (Path, "pathlib"), (np.zeros, "numpy")],
)
def test_a_checkpoint_with_code_is_refused(tmp_path, function, name):
    created_by_code = tmp_path / "created"
    content = OrderedDict(w=_Reduced(function, f"open({str(created_by_code)!r}, 'w').close()"))
    path = write_checkpoint(tmp_path / "evil.pth", content, {})
    with pytest.raises(IntegrityError, match=rf"{path}.*needs {name}.*, which is not part of a file of arrays"):
        read_torch_checkpoint(path)
    assert not created_by_code.exists()


def test_code_in_any_of_the_pickles_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(_Reduced(exec, "raise SystemExit"), protocol=2))
    with pytest.raises(IntegrityError, match=r"evil\.pth.*__builtin__\.exec"):
        read_torch_checkpoint(path)


def test_damaged_checkpoints(torch_names, tmp_path):
    values = np.arange(12, dtype="<f4")
    content = OrderedDict(w=tensor(torch_names, "0", values, shape=(12,), stride=(1,)))
    path = write_checkpoint(tmp_path / "c.pth", content, {"0": values})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(IntegrityError, match=r"c\.pth"):
        read_torch_checkpoint(path)
    with pytest.raises(IntegrityError, match=r"m\.pth: wrong magic number"):
        read_torch_checkpoint(write_checkpoint(tmp_path / "m.pth", content, {"0": values}, magic=42))
    (tmp_path / "zip.pth").write_bytes(b"PK\x03\x04 the newer container")
    with pytest.raises(IntegrityError, match=r"zip\.pth"):
        read_torch_checkpoint(tmp_path / "zip.pth")


@pytest.mark.parametrize("array", [np.arange(12, dtype=">f4").reshape(3, 4), np.asfortranarray([[1.0, 2], [3, 4]])])
def test_a_numpy_array_in_a_checkpoint_is_read(tmp_path, array):
    """Stanza 1.0 to 1.8 saved its word vectors in this form."""
    read = read_torch_checkpoint(write_checkpoint(tmp_path / "c.pt", {"emb": array, "words": ["a"]}, {}))
    np.testing.assert_array_equal(read["emb"], array)
    objects = np.array([{"a": 1}], object)
    with pytest.raises(IntegrityError, match=r"an array has the dtype 'O8': expected numbers"):
        read_torch_checkpoint(write_checkpoint(tmp_path / "c.pt", {"emb": objects}, {}))


def test_torch_s_current_container_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    values = torch.arange(12.0).reshape(3, 4)
    torch.save({"a": values.T, "part": values[1:, :2], "n": [1, "text"]}, tmp_path / "c.pt")
    read = read_torch_checkpoint(tmp_path / "c.pt")
    np.testing.assert_array_equal(read["a"], values.numpy().T)
    np.testing.assert_array_equal(read["part"], values.numpy()[1:, :2])
    assert read["n"] == [1, "text"]


@pytest.mark.parametrize(
    "view",
    [
        {"shape": (13,), "stride": (1,)},
        {"shape": (3, 4), "stride": (5, 1)},
        {"shape": (2,), "stride": (1,), "offset": 11},
        {"shape": (2,), "stride": (1,), "offset": -1},
        {"shape": (2,), "stride": (-1,)},
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(torch_names, tmp_path, view):
    values = np.arange(12, dtype="<f4")
    content = OrderedDict(w=tensor(torch_names, "0", values, **view))
    with pytest.raises(IntegrityError, match="needs more than its 12 stored values"):
        read_torch_checkpoint(write_checkpoint(tmp_path / "c.pth", content, {"0": values}))


def test_the_size_may_be_a_text():
    assert load_base("embedded:efficientnet-lite0", input_size="64x96").input_size == (64, 96)
    with pytest.raises(InputError, match=r"input_size.* expected pixels such as 224 or 192x256, got 'big'"):
        load_base("embedded:efficientnet-lite0", input_size="big")
