"""From the raw values of a model to detections in pixels of the image."""

import time

import numpy as np
import pytest

from headstart.data.images import Decoder
from headstart.tasks.detection.boxes import ious
from headstart.tasks.detection.decoding import decode
from headstart.tasks.detection.nms import suppress


def naive(coordinates: np.ndarray, classes: np.ndarray, scores: np.ndarray, max_iou: float) -> list[int]:
    """The definition: one box after the other."""
    stay: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if all(classes[i] != classes[k] or ious(coordinates[[i]], coordinates[[k]])[0, 0] <= max_iou for k in stay):
            stay.append(i)
    return stay


@pytest.mark.parametrize("seed", range(4))
def test_suppression_is_greedy_and_by_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (300, 2))
    coordinates = np.column_stack([corner, corner + rng.uniform(5, 40, (300, 2))]).astype(np.float32)
    classes, scores = rng.integers(0, 3, 300), rng.random(300).round(2)
    expected = naive(coordinates, classes, scores, 0.5)
    assert suppress(coordinates, classes, scores, max_iou=0.5, limit=300).tolist() == expected
    assert suppress(coordinates, classes, scores, max_iou=0.5, limit=7).tolist() == expected[:7]
    assert suppress(coordinates[:0], classes[:0], scores[:0], limit=5).tolist() == []


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_boxes_are_in_pixels_of_the_upright_image(resize: str) -> None:
    size, image_size = (96, 128), (300, 500)
    visible_box = Decoder(size, resize).visible_box(image_size)
    left, upper, right, lower = visible_box
    expected = np.array([[100, 60, 240, 200], [250, 100, 300, 130]], float)
    scale = np.array([128 / (right - left), 96 / (lower - upper)] * 2)
    values = np.zeros((4, 6), np.float32)
    values[:2, :4] = (expected - [left, upper, left, upper]) * scale
    values[0, 4], values[1, 5] = 0.9, 0.8
    values[2] = [*values[0, :4] + 0.5, 0.7, 0]  # suppressed
    values[3] = [*values[0, :4], 0, 0.004]  # too low
    detections = decode(values, size, visible_box, image_size)
    assert detections.coordinates == pytest.approx(expected, abs=1e-3)
    assert (detections.classes.tolist(), detections.scores.tolist()) == ([0, 1], pytest.approx([0.9, 0.8]))
    assert (detections.coordinates.dtype, detections.classes.dtype, detections.scores.dtype) == ("f4", "i8", "f4")


def test_boxes_are_clipped_and_those_outside_are_dropped() -> None:
    values = np.array([[-20, -10, 30, 200, 0.9], [140, 10, 160, 20, 0.8], [50, 40, 50, 60, 0.7]], np.float32)
    detections = decode(values, (100, 128), (0, 0, 128, 100), (100, 128))
    assert detections.coordinates.tolist() == [[0, 0, 30, 100]]
    assert len(decode(values[:0], (100, 128), (0, 0, 128, 100), (100, 128))) == 0


def test_a_point_may_be_of_several_classes() -> None:
    values = np.array([[10, 10, 30, 30, 0.9, 0.6]], np.float32)
    detections = decode(values, (100, 128), (0, 0, 128, 100), (100, 128), max_detections=2)
    assert detections.classes.tolist() == [0, 1]
    assert len(decode(values, (100, 128), (0, 0, 128, 100), (100, 128), max_detections=1)) == 1


def test_an_image_takes_a_few_milliseconds() -> None:
    rng = np.random.default_rng(0)
    centre = rng.uniform(0, [384, 288], (2268, 2))
    side = rng.uniform(5, 60, (2268, 2))
    values = np.column_stack([centre - side, centre + side, rng.random((2268, 3)) ** 6]).astype(np.float32)
    start = time.process_time()
    for _ in range(10):
        decode(values, (288, 384), (0, 0, 640, 480), (480, 640))
    assert (time.process_time() - start) / 10 < 0.02
