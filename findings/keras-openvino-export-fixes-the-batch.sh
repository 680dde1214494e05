#!/bin/sh
# Keras 3.15.1 on its OpenVINO backend exports Flatten and Reshape for one example at a time.
#
# Versions: keras 3.15.1, openvino 2026.4.1, on CPUs.
# Expected: model.export(..., format="openvino") of a model whose batch size is open gives a graph for any batch size. The
#   exported graph says so itself: its input is [?,2,2,3].
# Seen: behind Flatten or Reshape the output is [1,12]. One example is right; with four examples the graph fails when it
#   runs, in the plugin of the CPU. keras.ops.reshape(x, (-1, 12)) in place of the layer works for any number, and so does
#   an export of the same model from the TensorFlow backend. Keras's own predict() works for any number.
# Why it matters: the usual check of an export, one example through both, passes. The error comes in production with the
#   first batch, and its text names a reshape in OpenVINO, neither the layer nor Keras.
# Source: measured here. The layers ask for the current number of examples, which is 1 when the backend traces the graph.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet openvino==2026.4.1 keras==3.15.1 scipy==1.16.3
cd "$work"
HOME="$work" KERAS_BACKEND=openvino "$work/venv/bin/python" - <<'PYTHON' 2>"$work/log" || { cat "$work/log"; exit 1; }
import keras
import numpy as np
import openvino

x = np.random.default_rng(0).normal(size=(4, 2, 2, 3)).astype(np.float32)
cases = {
    "Flatten": keras.layers.Flatten(),
    "Reshape": keras.layers.Reshape((12,)),
    "ops.reshape with -1": lambda tensor: keras.ops.reshape(tensor, (-1, 12)),
}
works_for_four = {}
for name, flatten in cases.items():
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, flatten(inputs))
    model.export("model.xml", format="openvino", verbose=False)
    compiled = openvino.Core().compile_model("model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert model.predict(x, verbose=0).shape == (4, 12)
    assert np.allclose(compiled(x[:1])[0], x[:1].reshape(1, 12))
    try:
        works_for_four[name] = np.allclose(compiled(x)[0], x.reshape(4, 12))
    except RuntimeError:
        works_for_four[name] = False
    shapes = compiled.inputs[0].partial_shape, compiled.outputs[0].partial_shape
    print(f"{name:20} {shapes[0]} -> {shapes[1]}; four examples: {'right' if works_for_four[name] else 'an error'}")
assert works_for_four == {"Flatten": False, "Reshape": False, "ops.reshape with -1": True}, works_for_four
PYTHON
