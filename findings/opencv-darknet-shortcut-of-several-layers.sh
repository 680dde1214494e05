#!/bin/sh
# opencv-python-headless 4.14.0.94: readNetFromDarknet leaves out all but the first of several layers of a [shortcut].
#
# Expected: `from=-2,-3` adds the outputs of two layers to that of the layer before, as Darknet defines it since 2020, or
#   reading the cfg fails, as it does for a kind of layer or an activation that OpenCV does not know.
# Seen: only the first layer of the list is added. The net is read without an error, and computes another function. In
#   the same way, a [convolutional] without `activation` computes no activation; Darknet's default is the logistic one.
# Why it matters: OpenCV is the usual way to run Darknet models without Darknet. cfgs with weighted or multi-layer
#   shortcuts (fusion as in EfficientDet) lose accuracy there, and nothing says why. Where OpenCV is the reference for
#   another reader of cfgs, a right reader seems to be wrong.
# Source: https://github.com/AlexeyAB/darknet/issues/4662 (the list of layers) and parse_convolutional in
#   https://github.com/AlexeyAB/darknet/blob/master/src/parser.c (the default)
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet opencv-python-headless==4.14.0.94 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np

NET = "[net]\nwidth=4\nheight=4\nchannels=3\n"
CONV = "[convolutional]\nfilters=3\nsize=1\nstride=1\nactivation=linear\n"
HEADER = np.array([0, 2, 5, 0, 0], "<i4").tobytes()  # version 0.2.5, no image seen (int64)


def conv_weights(scale):
    """A 1x1 convolution that multiplies the image by a number: biases, then the kernel."""
    return np.zeros(3, "<f4").tobytes() + (scale * np.eye(3, dtype="<f4")).tobytes()


def run(cfg, weights):
    net = cv2.dnn.readNetFromDarknet(np.frombuffer(cfg.encode(), np.uint8), np.frombuffer(HEADER + weights, np.uint8))
    net.setInput(np.ones((1, 3, 4, 4), "float32"))
    return float(net.forward()[0, 0, 0, 0])


# The layers give 1, 10 and 1000 for an image of ones.
weights = conv_weights(1) + conv_weights(10) + conv_weights(100)
one = run(NET + 3 * CONV + "[shortcut]\nfrom=-2\nactivation=linear\n", weights)
two = run(NET + 3 * CONV + "[shortcut]\nfrom=-2,-3\nactivation=linear\n", weights)
print(f"from=-2:    {one:g}, Darknet: 1010")
print(f"from=-2,-3: {two:g}, Darknet: 1011")
default = run(NET + CONV.replace("activation=linear\n", ""), conv_weights(1))
print(f"no activation: {default:g}, Darknet: {1 / (1 + np.exp(-1)):.3f}")
assert one == 1010
assert two == 1010
assert default == 1
PYTHON
