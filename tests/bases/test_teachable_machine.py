"""Exports of Teachable Machine: small files in the format that Keras 2 wrote."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image, ImageOps

import headstart as hs
from headstart.bases import load_base
from headstart.errors import InputError
from tests.conftest import Command


def _layer(kind: str, name: str, input_name: str = "", **config: Any) -> dict[str, Any]:
    inbound = [[[input_name, 0, 0, {}]]] if input_name else []
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, "trainable": True, **config},
        "inbound_nodes": inbound,
    }


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A network of three layers instead of MobileNetV2, with the structure and the names of such exports."""
    size = [None, 32, 32, 3]
    kernel = {"strides": [2, 2], "padding": "same", "use_bias": False, "groups": 1, "activation": "linear"}
    network = {
        "name": "model1",
        "layers": [
            _layer("InputLayer", "input_1", batch_input_shape=size),
            _layer("Conv2D", "Conv1", "input_1", filters=4, kernel_size=[3, 3], **kernel),
            _layer("DepthwiseConv2D", "deep", "Conv1", kernel_size=[3, 3], depth_multiplier=1, **kernel),
            _layer("ReLU", "out_relu", "deep", max_value=6.0),
        ],
        "input_layers": [["input_1", 0, 0]],
        "output_layers": [["out_relu", 0, 0]],
    }
    pooled = _layer("GlobalAveragePooling2D", "global_average_pooling2d_GlobalAveragePooling2D1", dtype="float32")
    below = [
        _layer("InputLayer", "model1_input", batch_input_shape=size),
        {"class_name": "Functional", "config": network},
        pooled,
    ]
    head = [
        _layer("InputLayer", "dense_Dense1_input", batch_input_shape=[None, 4]),
        _layer("Dense", "dense_Dense1", units=5, activation="relu", use_bias=True),
        _layer("Dense", "dense_Dense2", units=2, activation="softmax", use_bias=False),
    ]
    parts = [
        {"class_name": "Sequential", "config": {"name": name, "layers": layers}}
        for name, layers in (("sequential_1", below), ("sequential_3", head))
    ]
    start = _layer("InputLayer", "sequential_1_input", batch_input_shape=size)
    config = {"class_name": "Sequential", "config": {"name": "sequential_4", "layers": [start, *parts]}}
    rng = np.random.default_rng(0)
    weights = {
        "sequential_1": {"Conv1/kernel:0": (3, 3, 3, 4), "deep/depthwise_kernel:0": (3, 3, 4, 1)},
        "sequential_3": {"dense_Dense1/kernel:0": (4, 5), "dense_Dense1/bias:0": (5,), "dense_Dense2/kernel:0": (5, 2)},
    }
    path = tmp_path / "keras_model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        for name, shapes in weights.items():
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [weight.encode() for weight in shapes]
            for weight, shape in shapes.items():
                group[weight] = rng.normal(size=shape).astype(np.float32)
    return path


def test_an_export_computes_the_function_of_its_weights(export: Path) -> None:
    base = load_base(f"file:{export}")
    assert base.input_facts()["preprocessing"]["name"] == "[-1, 1]"
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    features = np.asarray(base.model()(pixels))
    probabilities = np.asarray(base.model(include_top=True)(pixels))
    with h5py.File(export) as file:
        first, bias, second = (
            np.asarray(file[f"model_weights/sequential_3/{name}:0"])
            for name in ("dense_Dense1/kernel", "dense_Dense1/bias", "dense_Dense2/kernel")
        )
    logits = np.maximum(features @ first + bias, 0) @ second
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert features.shape == (2, 4)
    assert features.std() > 0


def test_a_missing_weight_is_named(export: Path) -> None:
    with h5py.File(export, "r+") as file:
        group = file["model_weights/sequential_3"]
        group.attrs["weight_names"] = [b"dense_Dense1/kernel:0", b"dense_Dense2/kernel:0"]
    with pytest.raises(InputError, match=r"has no weight dense_Dense1/bias \(5,\) .*The file is damaged"):
        load_base(f"file:{export}").build(False)


@pytest.mark.slow
def test_an_export_becomes_a_run(export: Path, photos: Path, tmp_path: Path, headstart_here: Command) -> None:
    export.with_name("labels.txt").write_text("0 china\n1 flower\n")
    run = hs.adopt(export.parent, name="mine", runs=tmp_path / "runs")
    base = load_base(f"file:{export}")
    assert base.input_facts()["resize"] == "crop"
    for size in ((500, 333), (333, 500), (95, 64)):
        with Image.open(photos / "china/07.jpg") as image:
            image.resize(size).save(tmp_path / "image.png")
        with Image.open(tmp_path / "image.png") as image:  # as the code that comes with an export
            pixels = np.asarray(ImageOps.fit(image, base.input_size, Image.Resampling.LANCZOS))
        expected = np.asarray(base.model(include_top=True)(pixels[None]))[0]
        probabilities = run.predict(tmp_path / "image.png").probabilities
        assert [probabilities["china"], probabilities["flower"]] == pytest.approx(expected, abs=1e-4)
    assert 0 <= hs.evaluate(run.folder, photos).metrics["accuracy"] <= 1
    assert "2 classes, not yet evaluated" in repr(run)
    with pytest.raises(InputError, match="was adopted, and has no figures"):
        run.report()
    listed = headstart_here("runs", tmp_path / "runs").stdout.splitlines()[2]
    assert listed.split()[0] == "mine"
    assert "cannot be opened" not in listed
    export.with_name("labels.txt").write_text("0 china\n1 flower\n2 more\n")
    with pytest.raises(InputError, match=r"has 2 classes, and 3 names are given"):
        hs.adopt(export, runs=tmp_path / "runs")
    export.with_name("labels.txt").write_text("china\nflower\n")
    with pytest.raises(InputError, match=r"labels\.txt, line 1: expected '0 NAME'"):
        hs.adopt(export, runs=tmp_path / "runs")
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["mine"]
