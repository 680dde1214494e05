#!/bin/sh
# OpenVINO 2026.4.1: a Keras model with Resizing, a convolution and BatchNormalization gives wrong values.
#
# Versions: openvino 2026.4.1, keras 3.15.1, tensorflow-cpu 2.21.0, on CPUs.
# Expected: model.export(..., format="openvino") computes what the Keras model computes, to rounding.
# Seen: after keras.layers.Resizing (bilinear) a convolution alone is right; but a convolution, depthwise or not, with
#   BatchNormalization behind it is wrong by as much as the values are large. No warning is given. With UpSampling2D(2,
#   interpolation="bilinear") in place of Resizing, which computes the same, everything is right.
# Why it matters: necks of detectors and segmenters enlarge a map and then use convolutions with BatchNormalization. Such a
#   model converts without a message and finds other objects. Compare the outputs of both after each export, with weights
#   of BatchNormalization that differ between channels (fresh ones hide it), or use UpSampling2D.
# Source: measured here; OpenVINO's TensorFlow front end turns Resizing into Interpolate in the order of channels last.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet openvino==2026.4.1 keras==3.15.1 tensorflow-cpu==2.21.0 scipy==1.16.3
cd "$work"
HOME="$work" KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - <<'PYTHON' 2>"$work/log" || { cat "$work/log"; exit 1; }
import keras
import numpy as np
import openvino
from keras import layers

x = np.random.default_rng(0).normal(size=(1, 6, 6, 16)).astype(np.float32)


def difference(enlarge, convolution, *, with_batch_normalization):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 16))
    outputs = convolution(enlarge(inputs))
    if with_batch_normalization:
        batch_normalization = layers.BatchNormalization()
        outputs = batch_normalization(outputs)
        rng = np.random.default_rng(1)
        batch_normalization.set_weights([rng.uniform(0.5, 2, 16) for _ in range(4)])
    model = keras.Model(inputs, outputs)
    model.export("model.xml", format="openvino", verbose=False)
    expected = model.predict(x, verbose=0)
    computed = openvino.Core().compile_model("model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]
    return float(abs(computed - expected).max() / abs(expected).max())


depthwise = lambda: layers.DepthwiseConv2D(3, padding="same")
ordinary = lambda: layers.Conv2D(16, 3, padding="same")
resizing, upsampling = layers.Resizing(12, 12), layers.UpSampling2D(2, interpolation="bilinear")
cases = {
    "Resizing, DepthwiseConv2D": (resizing, depthwise(), False),
    "Resizing, Conv2D": (resizing, ordinary(), False),
    "Resizing, Conv2D, BatchNormalization": (resizing, ordinary(), True),
    "Resizing, DepthwiseConv2D, BatchNormalization": (resizing, depthwise(), True),
    "UpSampling2D, DepthwiseConv2D, BatchNormalization": (upsampling, depthwise(), True),
}
relative = {}
for name, (enlarge, convolution, with_batch_normalization) in cases.items():
    relative[name] = difference(enlarge, convolution, with_batch_normalization=with_batch_normalization)
    print(f"{name:52} largest difference {relative[name]:.0e} of the largest value")
wrong = [name for name, value in relative.items() if value > 1e-3]
assert wrong == ["Resizing, Conv2D, BatchNormalization", "Resizing, DepthwiseConv2D, BatchNormalization"], wrong
PYTHON
