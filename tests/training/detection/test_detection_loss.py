"""The loss of a detector is low for right answers, and ignored objects do not count."""

import numpy as np
import pytest

from headstart.tasks.detection.boxes import Boxes
from headstart.training.detection.losses import DetectionLoss
from headstart.training.detection.network import BINS
from headstart.training.detection.points import detector_points
from headstart.training.detection.targets import Targets

POINTS = detector_points((64, 64))
BOX = np.array([[12.0, 16.0, 44.0, 40.0]])


def loss_of(boxes: Boxes, score_at: np.ndarray, box: np.ndarray, cls: int = 0) -> float:
    """The loss if points at ``score_at`` say that an object of a class is there, in a box."""
    logits = np.full((1, len(POINTS.strides), 2), -6.0, np.float32)
    logits[0, score_at, cls] = 6.0
    distances = np.zeros((1, len(POINTS.strides), 4, BINS), np.float32)
    for point in score_at.tolist():
        x, y = POINTS.centres[point]
        sides = np.array([x - box[0], y - box[1], box[2] - x, box[3] - y]) / POINTS.strides[point]
        for side, value in enumerate(np.clip(sides, 0, BINS - 1.01)):
            low = int(value)
            distances[0, point, side] = -9
            distances[0, point, side, low] = np.log(max(1 - value + low, 1e-4))
            distances[0, point, side, low + 1] = np.log(max(value - low, 1e-4))
    targets = Targets([boxes], POINTS).batch(np.array([0]))
    return float(DetectionLoss(POINTS, 2)(logits, distances, targets))


def objects(*, ignored: bool = False) -> Boxes:
    return Boxes(BOX, np.array([0]), np.array([ignored]), (64, 64))


@pytest.fixture(scope="module")
def inside() -> np.ndarray:
    x, y = POINTS.centres.T
    return np.flatnonzero((abs(x - 28) < 9) & (abs(y - 28) < 9) & (POINTS.strides == 8))


def test_a_right_answer_costs_least(inside: np.ndarray) -> None:
    right = loss_of(objects(), inside, BOX[0])
    assert right < 0.5 * loss_of(objects(), inside, BOX[0] + [8, 0, 8, 0])
    assert right < 0.5 * loss_of(objects(), inside, BOX[0], cls=1)
    assert right < 0.5 * loss_of(objects(), np.array([0]), BOX[0])


def test_what_is_ignored_may_be_found_or_not(inside: np.ndarray) -> None:
    nothing = np.array([], int)
    background = loss_of(Boxes(BOX[:0], np.array([], int), np.array([], bool), (64, 64)), inside, BOX[0])
    assert loss_of(objects(ignored=True), inside, BOX[0]) < 0.1 * background
    assert loss_of(objects(ignored=True), nothing, BOX[0]) < 0.1 * background
