#!/bin/sh
# keras 3.15.1: the layer RandomCrop does nothing at inference; in Keras 2 it resized and cropped.
#
# Expected: "At inference time, and during training if an input image is smaller than the target size, the input will be
#   resized and cropped so as to return the largest possible window in the image that matches the target aspect ratio"
#   (docstring of keras.layers.RandomCrop in 3.15.1, word for word that of Keras 2, where it is true).
# Seen: with training=False the image comes back whole, in its own size; the symbolic shape (compute_output_shape) says
#   the target size. With training=True the size is the target's.
# Why it matters: a model that was trained on crops is evaluated on whole images of another size. In a fully
#   convolutional network nothing fails, the predictions are just others; a model of Keras 2 that is moved to Keras 3
#   gives other answers (here the size; in a network with global pooling, other probabilities). Resizing with
#   crop_to_aspect_ratio=True is what the docstring describes.
# Source: https://keras.io/api/layers/preprocessing_layers/image_preprocessing/random_crop/
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# The NumPy backend of Keras needs SciPy and JAX.
"$work/venv/bin/python" -m pip install --quiet keras==3.15.1 numpy==2.4.6 scipy==1.17.1 jax==0.10.2
cd "$work"
KERAS_BACKEND=numpy HOME="$work" "$work/venv/bin/python" - <<'PYTHON'
import keras
import numpy as np

image = np.random.default_rng(0).uniform(0, 255, (1, 40, 36, 3)).astype("float32")
crop = keras.layers.RandomCrop(24, 24)
promised = tuple(crop.compute_output_shape(image.shape))
training, inference = (np.asarray(crop(image, training=flag)) for flag in (True, False))
described = np.asarray(keras.layers.Resizing(24, 24, crop_to_aspect_ratio=True)(image))
print("compute_output_shape:", promised)
print("training=True:       ", training.shape)
print("training=False:      ", inference.shape, "unchanged" if np.array_equal(inference, image) else "changed")
print("as documented:       ", described.shape)
assert promised == training.shape == described.shape == (1, 24, 24, 3)
assert np.array_equal(inference, image)
PYTHON
