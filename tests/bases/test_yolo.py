"""The source ``yolo:``: equal to Darknet's definitions, as a second implementation in NumPy computes them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.bases import load_base
from headstart.bases.base import BaseSpec
from headstart.bases.blocks import find_blocks
from headstart.bases.darknet.build import build_network
from headstart.bases.darknet.network import read_network
from headstart.bases.darknet.weights import read_weights
from headstart.bases.yolo import detection_model
from headstart.errors import InputError
from headstart.runs.predictor import Predictor
from tests.bases.darknet_numpy import Darknet
from tests.lazy import Lazy

keras = Lazy("keras")
pytestmark = pytest.mark.slow

Write = Callable[..., Path]
Layers = list[str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a cfg with random weights beside it, and returns its path."""

    def write_model(layers: Layers, size: tuple[int, int] = (32, 32), version=(0, 2, 5), name: str = "m") -> Path:
        path = tmp_path / f"{name}.cfg"
        path.write_text(cfg_text(layers, size))
        reference = Darknet(path, None, version)
        reference.run(np.zeros((3, *size), np.float32))
        path.with_suffix(".weights").write_bytes(reference.bytes)
        return path

    return write_model


def cfg_text(layers: Layers, size: tuple[int, int] = (32, 32)) -> str:
    """``conv filters=8 size=3`` becomes a section; ``conv`` stands for a usual convolution."""
    usual = {"conv": "convolutional batch_normalize=1 size=3 pad=1 activation=leaky"}
    lines = ["# a comment", "[net]", f"height={size[0]} # pixels", f"width = {size[1]}", "momentum=0.9", "steps=1,2"]
    for layer in layers:
        first, *options = layer.split()
        kind, *defaults = usual.get(first, first).split()
        merged = dict(option.split("=") for option in (*defaults, *options))
        lines += ["", f"[{kind}]", *(f"{name} = {value}" for name, value in merged.items())]
    return "\n".join(lines) + "\n"


LAYERS = {
    "convolutions": (
        (33, 30),
        [
            "conv filters=8 stride=2",
            "conv filters=12 size=5 groups=4 activation=relu",
            "conv filters=24 groups=12 activation=relu6",
            "conv filters=24 groups=24 stride=2 batch_normalize=0 activation=mish",
            "conv filters=10 size=1 pad=0 activation=swish stride=1",
            "convolutional filters=6 size=2 padding=1 stride=2",
            "convolutional filters=5 size=3 activation=linear",
        ],
    ),
    "pools": (
        (27, 30),
        [
            "conv filters=4 activation=linear",
            *("maxpool size=2 stride=2", "maxpool size=2 stride=1", "maxpool size=3 stride=2", "maxpool size=5"),
            *("upsample stride=2", "maxpool size=3 stride=2", "maxpool stride=2 padding=0", "maxpool size=3 stride=3"),
        ],
    ),
    "branches": (
        (16, 24),
        [
            *("conv filters=8", "conv filters=8", "route layers=-1 groups=2 group_id=1", "conv filters=8"),
            *("shortcut from=-3 activation=leaky", "shortcut from=0,-1 activation=linear", "dropout probability=.5"),
            *("route layers=-1,1,4", "conv filters=16 size=1", "maxpool size=2 stride=2", "conv filters=8"),
            *("conv filters=5", "shortcut from=-2", "conv filters=10", "shortcut from=-2,-3 activation=relu"),
            *("route layers=8", "reorg stride=2", "route layers=-1,-3", "upsample", "route layers=-1,8"),
        ],
    ),
    "a connected classifier": (
        (8, 12),
        [
            *("conv filters=4", "maxpool size=2 stride=2", "connected output=9 batch_normalize=1 activation=leaky"),
            *("dropout probability=.5", "connected output=5 activation=linear", "softmax groups=1", "cost type=sse"),
        ],
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_equals_darknet(write: Write, name: str) -> None:
    size, layers = LAYERS[name]
    path = write(layers, size)
    reference = Darknet(path, path.with_suffix(".weights"))
    x = np.random.default_rng(1).uniform(-1, 1, (3, *size)).astype(np.float32)
    reference.run(x)
    network = read_network(path)
    weights = read_weights(path.with_suffix(".weights"), network)
    outputs = build_network(network, weights, network.layers)(x.transpose(1, 2, 0)[None])
    for layer, output, expected in zip(network.layers, outputs, reference.outputs, strict=True):
        assert layer.shape == output.shape[1:]
        np.testing.assert_allclose(
            np.asarray(output)[0].transpose(2, 0, 1), expected, rtol=1e-4, atol=1e-5, err_msg=layer.name
        )
    assert np.std(reference.outputs[-1]) > 0


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0), (0, 2, 5), (1, 0, 0), (2000, 0, 0)])
def test_headers_of_every_version(write: Write, version: tuple[int, int, int]) -> None:
    """int32 or int64 for the images seen; matrices of the first Darknet are transposed."""
    path = write(["conv filters=3", "connected output=4 activation=linear", "softmax"], (6, 6), version)
    base = load_base(f"yolo:{path}")
    pixels = np.random.default_rng(1).integers(0, 256, (1, 6, 6, 3), np.uint8)
    reference = Darknet(path, path.with_suffix(".weights"))
    expected = reference.run((pixels[0].transpose(2, 0, 1) / 255).astype(np.float32))
    probabilities = np.asarray(base.model(include_top=True)(pixels))
    np.testing.assert_allclose(probabilities[0], expected.ravel(), atol=1e-5)


YOLO = "yolo mask={} anchors=4,6,10,8,20,14,9,30 classes=3 num=4"
DETECTORS = {
    "yolo": [
        *("conv filters=8 stride=4", "conv filters=16 stride=2", "conv filters=8 size=1"),
        *("convolutional filters=16 size=1 activation=linear", YOLO.format("2,3") + " scale_x_y=1.2"),
        *(
            "route layers=2",
            "upsample stride=2",
            "route layers=-1,0",
            "convolutional filters=16 size=1 activation=linear",
        ),
        YOLO.format("0,1"),
    ],
    "new_coords": [
        *("conv filters=8 stride=4", "convolutional filters=32 size=1 activation=logistic"),
        "yolo anchors=4,6,10,8,20,14,9,30 classes=3 num=4 scale_x_y=2 new_coords=1",
    ],
    "region": [
        *("conv filters=8 stride=8", "convolutional filters=14 size=1 activation=linear"),
        "region anchors=0.5,1,2.5,1.5 classes=2 num=2 coords=4 softmax=1 bias_match=1 thresh=.6",
    ],
    "region without softmax": [
        *("conv filters=8 stride=8", "convolutional filters=14 size=1 activation=linear"),
        "region anchors=0.5,1,2.5,1.5 classes=2 num=2",
    ],
}


@pytest.mark.parametrize("name", DETECTORS)
def test_boxes_and_scores_equal_darknet(write: Write, name: str) -> None:
    size = (32, 48)
    path = write(DETECTORS[name], size)
    pixels = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    boxes, scores = map(np.asarray, detection_model(load_base(f"yolo:{path}").for_images())(pixels))
    for i in range(2):
        reference = Darknet(path, path.with_suffix(".weights"))
        reference.run((pixels[i].transpose(2, 0, 1) / 255).astype(np.float32))
        expected_boxes, expected_scores = reference.detections()
        np.testing.assert_allclose(boxes[i], expected_boxes, atol=1e-5)
        np.testing.assert_allclose(scores[i], expected_scores, atol=1e-5)
    assert scores.std() > 0


def test_a_detector_is_adopted_as_a_run(write: Write, tmp_path: Path) -> None:
    """What a run predicts is what Darknet's arithmetic gives for the pixels of the image, in pixels of the image."""
    path = write(DETECTORS["yolo"], (32, 48))
    labels = tmp_path / "names.txt"
    labels.write_text("ant\nbee\nwasp\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"has 3 classes, whose names are not in its files"):
        hs.adopt(path, runs=tmp_path)
    run = hs.adopt(path, labels=labels, runs=tmp_path)
    assert run.name == "m"
    assert run.classes == ["ant", "bee", "wasp"]
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)).save(photo)
    predictor = Predictor(run.folder)
    (output,) = predictor.compute([predictor.read(photo.read_bytes())])
    reference = Darknet(path, path.with_suffix(".weights"))
    reference.run((predictor.reader.read(photo).transpose(2, 0, 1) / 255).astype(np.float32))
    boxes, scores = reference.detections()
    best = np.unravel_index(scores.argmax(), scores.shape)
    assert output.value.classes[0] == best[1]
    np.testing.assert_allclose(output.value.scores[0], scores.max(), atol=1e-4)
    expected = np.clip(boxes[best[0]] * [96, 64, 96, 64], 0, [96, 64, 96, 64])
    np.testing.assert_allclose(output.value.coordinates[0], expected, atol=0.05)


def test_a_classifier_of_darknet_is_not_adopted(write: Write, tmp_path: Path) -> None:
    path = write([*_BACKBONE, "conv filters=5", "avgpool", "softmax"])
    with pytest.raises(InputError, match="not a detector"):
        hs.adopt(f"yolo:{path}", runs=tmp_path)


# --- the feature layer -----------------------------------------------------------------------------------------------

_BACKBONE = ["conv filters=8 stride=2", "conv filters=12 stride=4", "conv filters=16 stride=4", "conv filters=8"]
_HEAD = ["convolutional filters=16 size=1 activation=linear", YOLO.format("0,1")]
FEATURES = {
    "one detection": ([*_BACKBONE, *_HEAD], "convolutional_2"),
    "two detections": (
        [
            *_BACKBONE,
            *("conv filters=64", *_HEAD),
            *("route layers=-4", "conv filters=8 size=1", "upsample stride=4", "route layers=-1,1", *_HEAD),
        ],
        "convolutional_2",
    ),
    "the widest map that is common": (
        [
            *_BACKBONE,
            *("maxpool size=5", "route layers=-1,-2,-3", "conv filters=8 size=1"),  # spatial pyramid pooling
            *("upsample stride=4", "route layers=-1,1", "conv filters=24", *_HEAD),
            *("route layers=-3", "conv filters=8 stride=4", "route layers=-1,6", "conv filters=99", *_HEAD),
        ],
        "route_5",
    ),
    "inside a residual block": (
        [*_BACKBONE, "conv filters=40 size=1", "conv filters=8", "shortcut from=-3 activation=linear", *_HEAD],
        "convolutional_2",
    ),
    "a classifier": ([*_BACKBONE, "conv filters=5", "avgpool", "softmax"], "convolutional_3"),
    "a pooled classifier": ([*_BACKBONE, "avgpool", "conv filters=5", "softmax", "cost type=sse"], "convolutional_3"),
    "connected layers": (
        [*_BACKBONE, "maxpool size=2", "connected output=7", "dropout", "connected output=5", "softmax"],
        "maxpool_4",
    ),
    "without a top": (_BACKBONE, "convolutional_3"),
}


@pytest.mark.parametrize("name", FEATURES)
def test_the_feature_layer(write: Write, name: str) -> None:
    layers, expected = FEATURES[name]
    path = write(layers, (64, 96))
    assert read_network(path).feature_layer.name == expected
    base = load_base(f"yolo:{path}", weights="none")
    assert base.feature_dim == read_network(path).find(expected).shape[2]


def test_features_and_blocks(write: Write) -> None:
    path = write([*_BACKBONE, "conv filters=24 size=1", "conv filters=8", "shortcut from=-3", *_HEAD], (64, 64))
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    reference = Darknet(path, path.with_suffix(".weights"))
    reference.run((pixels[0].transpose(2, 0, 1) / 255).astype(np.float32))
    base = load_base(f"yolo:{path}", feature_layer="shortcut_6")
    np.testing.assert_allclose(np.asarray(base.model()(pixels))[0], reference.outputs[6].mean((1, 2)), atol=1e-5)
    names = [block.name for block in find_blocks(base.build(False))]
    assert names == ["convolutional_0", "convolutional_1", "convolutional_2", "convolutional_3", "shortcut_6"]
    with pytest.raises(InputError, match=r"feature_layer: .*no layer 'shortcut_7'\. Did you mean 'shortcut_6'\?"):
        load_base(f"yolo:{path}", feature_layer="shortcut_7")
    with pytest.raises(InputError, match="is a detector: its top gives boxes"):
        base.build(True)


# --- the source ------------------------------------------------------------------------------------------------------


def test_where_the_files_are(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(_BACKBONE, (64, 64))
    base = load_base(f"yolo:{path}")
    assert sorted(base.files) == ["m.cfg", "m.weights"]
    assert "public domain" in base.licence
    monkeypatch.chdir(tmp_path)
    for other in ("m.cfg", ".", str(tmp_path)):
        again = load_base(f"yolo:{other}")
        assert (again.handle, again.digest) == (base.handle, base.digest)
    moved = path.with_suffix(".weights").rename(tmp_path / "last.weights")
    assert load_base("yolo:.").digest == load_base("yolo:m.cfg", weights="last.weights").digest
    with pytest.raises(InputError, match=r"no weights file at .*m\.weights: .*or set weights to its path"):
        load_base("yolo:m.cfg")
    (tmp_path / "more.weights").write_bytes(moved.read_bytes())
    with pytest.raises(InputError, match=r"expected one \.weights file in .*found last\.weights, more\.weights"):
        load_base("yolo:.")
    with pytest.raises(InputError, match=r"expected a Darknet \.cfg file"):
        load_base("yolo:last.weights")
    with pytest.raises(InputError, match=r"no file at .*none\.cfg"):
        load_base("yolo:none.cfg")


def test_another_cfg_is_another_base(write: Write, tmp_path: Path) -> None:
    """The same weights fit both; the digest, by which features are cached, must not be the same."""
    first = load_base(f"yolo:{write(_BACKBONE, name='a')}")
    write([layer.replace("conv ", "conv activation=relu ") for layer in _BACKBONE], name="b")
    second = load_base(BaseSpec(first.handle, folder=str(_only_files(tmp_path / "folder", tmp_path, "b"))))
    assert first.digest != second.digest


def _only_files(folder: Path, source: Path, stem: str) -> Path:
    folder.mkdir()
    for suffix in (".cfg", ".weights"):
        (folder / f"a{suffix}").write_bytes((source / f"{stem}{suffix}").read_bytes())
    return folder


def test_input_sizes(write: Write) -> None:
    layers = ["conv filters=4 stride=4", "conv filters=4 stride=2", "upsample", "route layers=-1,0", *_HEAD]
    path = write(layers, (64, 32))
    assert load_base(f"yolo:{path}").for_images().input_size == (64, 32)
    assert load_base(f"yolo:{path}", input_size=96).build(False).output_shape[1:3] == (12, 12)
    with pytest.raises(InputError, match=r"input_size: 52x52 cannot be used .*made for 64x32; a multiple of 32"):
        load_base(f"yolo:{path}", input_size=52)


@pytest.mark.parametrize(
    ("layers", "resize"),
    [
        (DETECTORS["region"], "pad"),
        (DETECTORS["yolo"], "stretch"),
        ([*_BACKBONE, *_HEAD], "pad"),
        ([*_BACKBONE, "avgpool", "conv filters=5", "softmax"], "crop"),
    ],
)
def test_images_are_resized_as_by_darknet(write: Write, layers: Layers, resize: str, tmp_path: Path) -> None:
    path = write(layers, (64, 96))
    base = load_base(f"yolo:{path}").for_images()
    assert base.resize == resize
    rows, columns = np.mgrid[:90, :200] / 200
    smooth = np.stack([rows, columns, np.sin(6 * rows) * np.cos(9 * columns) / 2 + 0.5], -1)
    pixels = np.rint(smooth * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    expected = _darknet_resized(pixels.transpose(2, 0, 1) / np.float32(255), (64, 96), resize)
    difference = np.abs(base.reader().read(tmp_path / "image.png") / 255.0 - expected.transpose(1, 2, 0))
    assert difference.mean() < 0.005
    assert base.resize_rule.bars == 127


def _darknet_resized(x: np.ndarray, size: tuple[int, int], resize: str) -> np.ndarray:
    """``resize_image``, ``letterbox_image``, and ``resize_min`` with ``crop_image``."""
    (h, w), (_, full_h, full_w) = size, x.shape
    if resize == "stretch":
        return _bilinear(x, h, w)
    wide = w / full_w < h / full_h
    if resize == "crop":
        y = _bilinear(x, h, full_w * h // full_h) if wide else _bilinear(x, full_h * w // full_w, w)
        top, left = (y.shape[1] - h) // 2, (y.shape[2] - w) // 2
        return y[:, top : top + h, left : left + w]
    y = _bilinear(x, full_h * w // full_w, w) if wide else _bilinear(x, h, full_w * h // full_h)
    canvas = np.full((3, h, w), 0.5, np.float32)
    top, left = (h - y.shape[1]) // 2, (w - y.shape[2]) // 2
    canvas[:, top : top + y.shape[1], left : left + y.shape[2]] = y
    return canvas


def _bilinear(x: np.ndarray, h: int, w: int) -> np.ndarray:
    """Darknet's corners are aligned: the first and the last pixels stay what they are."""
    for axis, n in ((1, h), (2, w)):
        place = np.arange(n) * (x.shape[axis] - 1) / (n - 1)
        low = np.minimum(place.astype(int), x.shape[axis] - 2)
        part = (place - low).reshape((-1, 1) if axis == 1 else -1)
        x = np.take(x, low, axis) * (1 - part) + np.take(x, low + 1, axis) * part
    return x


@pytest.mark.slow
def test_a_run_is_trained_fine_tuned_and_exported(write: Write, photos: Path, tmp_path: Path) -> None:
    """The network has a layer of every kind that needs more than one layer of Keras."""
    layers = [
        *("conv filters=8 stride=2", "maxpool size=3 stride=2", "conv filters=16 activation=mish"),
        *("route layers=-1 groups=2 group_id=1", "reorg stride=2", "conv filters=24 size=1 activation=swish"),
        *("conv filters=30", "shortcut from=-2,-3 activation=linear", "maxpool size=2 stride=1"),
        *("convolutional filters=8 size=1 activation=linear", YOLO.format("0")),
    ]
    path = write(layers, (32, 32))
    run = hs.train(photos, base=f"yolo:{path}", fine_tune="last:2", runs=tmp_path / "runs")
    assert run.facts.fine_tuning
    path.with_suffix(".weights").unlink()
    path.unlink()
    assert 0 < run.predict(photos / "china/07.jpg").probabilities["china"] < 1
    with np.load(run.folder / "golden.npz") as golden:
        found = keras.models.load_model(run.folder / "model.keras").predict(golden["inputs"], verbose=0)
        np.testing.assert_allclose(found, golden["probabilities"], atol=1e-5)
    exports = hs.export(run, "onnx,litert", out=tmp_path / "exports")
    assert [export.format for export in exports] == ["onnx", "litert"]  # each compared with the run


def test_bundles(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(_BACKBONE, (64, 64))
    digests = {handle: load_base(handle).weights_sha256 for handle in (f"yolo:{path}", f"yolo:{tmp_path}")}
    hs.fetch(list(digests), to=tmp_path / "bundle")
    path.unlink()
    monkeypatch.setenv("HEADSTART_BUNDLE", str(tmp_path / "bundle"))
    for handle, digest in digests.items():
        assert load_base(handle).weights_sha256 == digest


# --- refused files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-4], r"has 1,884 bytes, and the cfg needs exactly 1,888\. It ends within layer 1 \[conv"),
        (
            lambda data: data[:1012],
            r"exactly the weights of the layers before layer 1 \[convolutional\].* a copy of the cfg",
        ),
        (lambda data: data[:200], r"It ends within layer 0 \[convolutional\] of 2 layers"),
        (lambda data: data + bytes(4), r"has 1,892 bytes, .*exactly 1,888\. Another number of classes"),
        (lambda data: data[:10], r"has 10 bytes: expected a Darknet \.weights file"),
        (lambda data: b"", r"has 0 bytes"),
        (lambda data: b"\xff" * 12 + data[12:], r"is not a Darknet \.weights file: it has version -1\.-1"),
        (
            lambda data: data[:-4] + b"\x00\x00\xc0\x7f",
            r"damaged.* the kernel of layer 1 \[convolutional\] are not all",
        ),
        (lambda data: data[:116] + b"\x00\x00\x80\xbf" + data[120:], r"the variances of layer 0 .* of at least 0"),
    ],
)
def test_weights_that_do_not_fit(write: Write, change: Callable[[bytes], bytes], message: str) -> None:
    path = write(["conv filters=8", "convolutional filters=3 size=3 activation=linear"], (8, 8))
    weights = path.with_suffix(".weights")
    weights.write_bytes(change(weights.read_bytes()))
    with pytest.raises(InputError, match=message):
        load_base(f"yolo:{path}")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["conv filters=8", "lstm output=3"], r"m\.cfg, line 15, \[lstm\]: headstart does not know this kind of layer"),
        (["conv filters=8 dilation=2"], r"\[convolutional\]: headstart does not know the option dilation=2"),
        (["conv filters=8 strid=2"], r"option strid=2\. Did you mean 'stride'\?"),
        (["conv filters=8 activation=gelu"], "activation=gelu: expected one of linear, leaky"),
        (["conv filters=eight"], "filters=eight: expected numbers"),
        (["conv filters=-8"], "filters=-8: expected a whole number from 1 to 65536"),
        (["conv filters=1e99"], "filters=1e99: expected"),
        (["conv filters=nan"], "filters=nan: expected"),
        (["conv filters=8 size=0"], "size=0: expected a whole number"),
        (["conv filters=8 groups=2"], "groups=2: expected a divisor of the 3 channels"),
        (["conv filters=8 stride=0"], "stride=0: expected a whole number from 1"),
        (["conv filters=8 stride_x=2"], "stride_y=1 and stride_x=2: expected one stride"),
        (["convolutional filters=8 size=99"], "layer 0 would have an output of -66x-66x8 values"),
        (["conv filters=8 size=65535", "connected output=60000"], "needs .* weights: expected at most"),
        (["upsample stride=99"] * 3, "layer 1 would have an output of .* values: expected 1 to"),
        (["conv filters=8", "route layers=-2"], r"layers=-2: expected layers before layer 1"),
        (["conv filters=8", "route layers=1"], r"layers=1: expected layers before layer 1"),
        (["conv filters=8", "route"], r"layers=: expected layers"),
        (
            ["conv filters=8", "maxpool size=2 stride=2", "route layers=0,1"],
            "cannot concatenate maps of 32x32x8, 16x16",
        ),
        (["conv filters=8", "route layers=0 groups=2 group_id=2"], "groups=2, group_id=2"),
        (["conv filters=8", "conv filters=4 stride=2", "shortcut from=0"], "cannot add maps of 16x16x4, 32x32x8"),
        (["conv filters=8", "reorg stride=3"], "stride=3 does not divide the map of 32x32x8"),
        (["conv filters=8", "softmax"], "expected groups=1, temperature=1 and one vector"),
        (["conv filters=9", YOLO.format("0")], "its input has 9 channels: expected 8, anchors times"),
        (["softmax"], "expected groups=1"),
    ],
)
def test_cfgs_that_cannot_be_built(tmp_path: Path, layers: Layers, message: str) -> None:
    path = tmp_path / "m.cfg"
    path.write_text(cfg_text(layers))
    with pytest.raises(InputError, match=message):
        load_base(f"yolo:{path}", weights="none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is not the cfg of a Darknet model: expected \[net\] first, found nothing"),
        ("[convolutional]\n", r"expected \[net\] first, found \[convolutional\]"),
        ("height=32\n", r"line 1: expected \[kind\], name=value or a comment, found 'height=32'"),
        ("[net]\nheight=32\nwidth=32\n", "has 1 sections"),
        ("[net]\nheight=32\nwidth=32\nsome text\n", "line 4: expected"),
        ("[net]\nwidth=32\n[avgpool]\n", "height=0: expected a whole number from 1 to 8192"),
        ("[net]\nheight=32\nwidth=32\nchannels=1\n[avgpool]\n", "channels=1: expected 3, RGB"),
        ("[net]\n" + "[avgpool]\n" * 2001, "has 2002 sections"),
        ("#" * (1 << 20) + "\n[net]\n", "has 1,048,583 bytes: expected a .cfg of at most"),
    ],
)
def test_files_that_are_no_cfg(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.cfg").write_text(text)
    with pytest.raises(InputError, match=message):
        load_base(f"yolo:{tmp_path / 'm.cfg'}", weights="none")
