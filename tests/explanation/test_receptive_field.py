"""Bounds of the cells of a feature map, compared with the pixels that they depend on."""

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

from headstart.explanation.receptive_field import cell_bounds

SIDE = 64


def convolved(x, kernel: int, stride: int, *, auto: str = "explicit", pads: int = 0, dilation: int = 1):
    weights = op.constant(np.ones((1, x.get_partial_shape()[1].get_length(), kernel, kernel), np.float32))
    return op.convolution(
        x, weights, [stride] * 2, [pads] * 2, [pads] * 2, [dilation] * 2, auto_pad=auto
    ).output(0)  # fmt: skip


def averaged(x, kernel: int, stride: int):
    return op.avg_pool(x, [stride] * 2, [0, 0], [0, 0], [kernel] * 2, True, auto_pad="same_upper").output(0)


def padded(x, pads: int):
    ends = op.constant(np.array([0, 0, pads, pads], np.int64))
    return op.pad(x, ends, ends, "constant", op.constant(np.float32(0))).output(0)


def behind(x):
    return convolved(x, 3, 2, auto="same_upper")


NETWORKS = {
    "even division": lambda x: averaged(averaged(x, 2, 2), 2, 2),
    "padding behind, as in MobileNet": lambda x: behind(behind(x)),
    "padding on both sides, as in ResNet50": lambda x: convolved(convolved(padded(x, 3), 7, 2), 3, 2, pads=1),
    "no padding, as in Inception": lambda x: averaged(convolved(convolved(x, 3, 2), 3, 1), 3, 2),
    "dilation": lambda x: convolved(x, 3, 4, pads=1, dilation=3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cell_lies_amid_the_pixels_that_it_sees(name: str) -> None:
    pixels = op.parameter([-1, SIDE, SIDE, 3], np.float32)
    first = op.transpose(pixels, op.constant(np.array([0, 3, 1, 2]))).output(0)
    tensor = NETWORKS[name](first)
    model = openvino.Model([op.result(tensor)], [pixels], name)
    stripes = np.zeros((SIDE, SIDE, SIDE, 3), np.float32)
    stripes[np.arange(SIDE), np.arange(SIDE)] = 1  # one bright row in each
    seen = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(stripes)[0].sum((1, 3))
    cells = seen.shape[1]
    middle = cells // 2
    centre = (seen[:, middle] * (np.arange(SIDE) + 0.5)).sum() / seen[:, middle].sum()
    left, top, right, bottom = cell_bounds(model, tensor, (cells, cells)) or ()
    assert (left, right) == (top, bottom)
    assert SIDE * (top + (middle + 0.5) * (bottom - top) / cells) == pytest.approx(centre, abs=1e-3)
    if name == "even division":
        assert (top, bottom) == (0, 1)
    else:
        assert abs(SIDE * (middle + 0.5) / cells - centre) > 0.4
