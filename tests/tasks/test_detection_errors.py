"""Kinds of errors: one planted case for each."""

import numpy as np
import pytest

from headstart.tasks.detection import Detections
from headstart.tasks.detection.errors import confusions, count_errors, find_errors, worst_errors
from headstart.tasks.detection.gains import gains_of_fixing
from headstart.tasks.detection.metrics import DetectionTable, mean_average_precisions
from headstart.tasks.detection.thresholds import above_thresholds
from tests.tasks.detection_cases import array, boxes, detections, scene

LABELS = array(
    [
        boxes(
            (0, 0, 0, 100, 100),
            (1, 200, 0, 300, 100),
            (0, 0, 200, 100, 300),
            (1, 300, 300, 400, 400),
            (0, 500, 0, 540, 40),
        ),
        boxes((1, 0, 0, 100, 100), (0, 400, 400, 450, 450), ignored=[1]),
        boxes(),
    ]
)
PREDICTED = array(
    [
        detections(
            (0, 0, 0, 100, 95, 0.95),  # correct
            (0, 2, 2, 100, 100, 0.6),  # a duplicate of it
            (0, 200, 0, 300, 90, 0.9),  # of the wrong class
            (0, 0, 240, 100, 340, 0.8),  # a poor box
            (0, 330, 370, 430, 430, 0.7),  # both
            (1, 0, 420, 50, 470, 0.65),  # a ghost
        ),
        detections((0, 405, 405, 445, 445, 0.9), (0, 410, 410, 440, 440, 0.8)),  # both on an ignored object
        detections((1, 10, 10, 60, 60, 0.99)),
    ]
)


def test_each_kind_is_recognised() -> None:
    errors = find_errors(LABELS, PREDICTED)
    assert [(error.kind, error.image, error.class_number, error.object_number) for error in errors] == [
        ("wrong_class", 0, 0, 1),
        ("poor_box", 0, 0, 2),
        ("wrong_class_poor_box", 0, 0, 3),
        ("ghost", 0, 1, None),
        ("duplicate", 0, 0, 0),
        ("missed", 0, 1, 3),
        ("missed", 0, 0, 4),
        ("missed", 1, 1, 0),
        ("ghost", 2, 1, None),
    ]
    assert errors[1].box == (0, 240, 100, 340)
    assert (errors[1].true_class, errors[1].true_box) == (0, (0, 200, 100, 300))
    assert count_errors(errors) == {
        "missed": 3, "ghost": 2, "wrong_class": 1, "poor_box": 1, "wrong_class_poor_box": 1, "duplicate": 1,
    }  # fmt: skip


def test_the_worst_of_each_kind_come_first() -> None:
    worst = worst_errors(find_errors(LABELS, PREDICTED), 2)
    assert [(error.image, round(error.score or 0, 2)) for error in worst["ghost"]] == [(2, 0.99), (0, 0.65)]
    assert [error.image for error in worst["missed"]] == [0, 1]  # the largest
    assert len(worst_errors(find_errors(LABELS, PREDICTED), 1)["missed"]) == 1


def test_confusions_count_every_object_once_and_all_other_detections_as_background() -> None:
    matrix = confusions(LABELS, PREDICTED, find_errors(LABELS, PREDICTED), 2)
    assert matrix.tolist() == [[1, 0, 2], [1, 0, 2], [3, 2, 0]]
    labels, outputs = scene(3, n=30, crowds=0.1)
    matrix = confusions(labels, outputs, find_errors(labels, outputs), 3)
    counted = sum(np.bincount(boxes.classes[~boxes.ignored], minlength=3) for boxes in labels)
    assert matrix[:3].sum(1).tolist() == counted.tolist()
    assert (matrix >= 0).all()


def _gains(labels: np.ndarray, outputs: np.ndarray, n_classes: int) -> dict[str, float | None]:
    thresholds = np.full(n_classes, 0.3)
    errors = find_errors(labels, above_thresholds(outputs, thresholds))
    matches = DetectionTable(labels, outputs, n_classes, None).matches
    return gains_of_fixing(labels, outputs, thresholds, errors, matches)


def test_the_gain_of_fixing_a_kind_is_that_of_repaired_detections() -> None:
    gains = _gains(LABELS, PREDICTED, 2)
    before = mean_average_precisions(LABELS, PREDICTED, 2)[1]

    def repaired(*changes: tuple[float, ...], without: int) -> float:
        found = PREDICTED.copy()
        rows = [row for i, row in enumerate(_rows(found[0])) if i != without]
        found[0] = detections(*rows, *changes)
        return mean_average_precisions(LABELS, found, 2)[1] - before

    assert gains["wrong_class"] == pytest.approx(repaired((1, 200, 0, 300, 90, 0.9), without=1))
    assert gains["poor_box"] == pytest.approx(repaired((0, 0, 200, 100, 300, 0.8), without=2))
    assert gains["wrong_class_poor_box"] == pytest.approx(repaired(without=3))
    assert gains["duplicate"] == pytest.approx(repaired(without=5))
    without_missed = array([LABELS[0].take(np.arange(3)), boxes((0, 400, 400, 450, 450), ignored=[0]), boxes()])
    assert gains["missed"] == pytest.approx(mean_average_precisions(without_missed, PREDICTED, 2)[1] - before)
    assert all(gain is not None and gain > -0.02 for gain in _gains(*scene(4, n=20), 3).values())
    assert set(_gains(array([boxes()] * 3), PREDICTED, 2).values()) == {None}


def _rows(found: Detections) -> list[tuple[float, ...]]:
    return [
        (int(number), *edges, float(score))
        for number, edges, score in zip(found.classes, found.coordinates.tolist(), found.scores, strict=True)
    ]
