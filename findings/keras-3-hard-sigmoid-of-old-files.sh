#!/bin/sh
# keras 3.15.1: a file of Keras 2 with the activation hard_sigmoid opens without a warning and computes another function.
#
# Expected: keras.models.load_model opens an .h5 of Keras 2, whose keras_version it can read, and the model computes what
#   it computed in Keras 2, or loading fails.
# Seen: the name hard_sigmoid stands for another function now. Keras 2: clip(0.2 * x + 0.5, 0, 1). Keras 3:
#   clip(x / 6 + 0.5, 0, 1). The difference reaches 1/12 (at x = -2.5 and 2.5). No message is given.
# Why it matters: hard_sigmoid was the default recurrent_activation of LSTM and GRU up to Keras 2.2 and of ConvLSTM2D to
#   the end of Keras 2, and gates in small networks use it. Such models lose accuracy after the move, and nothing says
#   why. To keep the old function, multiply what goes in by 1.2.
# Source: https://github.com/keras-team/tf-keras/blob/master/tf_keras/activations.py (hard_sigmoid) and
#   https://keras.io/api/layers/activations/#hard_sigmoid-function
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# The NumPy backend of Keras needs SciPy and JAX.
"$work/venv/bin/python" -m pip install --quiet keras==3.15.1 h5py==3.14.0 numpy==2.4.6 scipy==1.17.1 jax==0.10.2
cd "$work"
KERAS_BACKEND=numpy HOME="$work" "$work/venv/bin/python" -W error::UserWarning - <<'PYTHON'
import json

import h5py
import keras
import numpy as np

# What TensorFlow 2.11 writes for Sequential([Input((5,)), Activation("hard_sigmoid")]).save("old.h5").
layers = [
    {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 5], "dtype": "float32", "sparse": False,
                                            "ragged": False, "name": "input_1"}},
    {"class_name": "Activation", "config": {"name": "activation", "trainable": True, "dtype": "float32",
                                            "activation": "hard_sigmoid"}},
]
with h5py.File("old.h5", "w") as file:
    file.attrs.update(keras_version="2.11.0", backend="tensorflow")
    file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "old", "layers": layers}})
    weights = file.create_group("model_weights")
    weights.attrs.update(keras_version="2.11.0", backend="tensorflow", layer_names=["activation"])
    weights.create_group("activation").attrs["weight_names"] = np.array([], dtype="S1")

x = np.array([[-2.5, -1.0, 0.0, 1.0, 2.5]], "float32")
old = np.clip(0.2 * x + 0.5, 0, 1)
new = np.asarray(keras.models.load_model("old.h5", compile=False)(x))
print("x:      ", x[0])
print("Keras 2:", old[0].round(3))
print("Keras 3:", new[0].round(3))
assert np.allclose(new, np.clip(x / 6 + 0.5, 0, 1), atol=1e-6)
assert abs(new - old).max() > 0.08
PYTHON
