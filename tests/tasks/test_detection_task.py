"""Object detection as a task: labels, cells of tables, splits, answers, and what other tasks refuse."""

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.runs.answers import _split_figures
from headstart.runs.schema import Figures
from headstart.tasks import classification_task, get_task, task_for
from headstart.tasks.answers import Decision
from headstart.tasks.detection import Boxes
from headstart.tasks.detection.cells import read_cell
from headstart.tasks.labels import BoxLabels, LabelledBox
from tests.tasks.detection_cases import SIZE, array, boxes, detections, scene

TASK = get_task("detection")
CLASSES = ["RBC", "WBC", "cell (7)", "class 7 1"]


def labels_of(*objects: tuple[str, float, float, float, float], size: tuple[int, int] = SIZE) -> BoxLabels:
    return BoxLabels(tuple(LabelledBox(*item) for item in objects), size)


def test_it_is_found_by_its_labels() -> None:
    labels = [labels_of(("RBC", 1, 2, 30, 40)), labels_of()]
    assert task_for(labels) is TASK
    assert task_for(["RBC", "WBC"]) is get_task("single-label")
    with pytest.raises(InputError, match="do not suit the task detection"):
        task_for(["RBC"], "detection")
    with pytest.raises(InputError, match=r"task: expected data with one class or any number .* got boxes .*detection"):
        classification_task(TASK)


def test_labels_are_arrays_and_other_classes_are_left_out() -> None:
    labels = [
        labels_of(("WBC", 1, 2, 30, 40), ("dog", 0, 0, 5, 5)),
        labels_of(),
        labels_of(("RBC", 0, 0, 9, 9), ("RBC", 1, 1, 5, 5)),
    ]
    encoded = TASK.encode(labels, CLASSES)
    assert (encoded.dtype, encoded.shape) == (object, (3,))
    assert all(isinstance(item, Boxes) for item in encoded)
    assert TASK.encode(labels[2:], CLASSES).shape == (1,)
    assert encoded[0].coordinates.tolist() == [[1, 2, 30, 40]]
    assert [TASK.names(label, CLASSES) for label in encoded] == [["WBC"], [], ["RBC"]]
    assert TASK.class_counts(encoded, CLASSES) == {"RBC": 1, "WBC": 1, "cell (7)": 0, "class 7 1": 0}
    crowd = array([boxes((0, 0, 0, 5, 5), ignored=[0])])
    assert not TASK.members(crowd, 0).any()


@pytest.mark.parametrize(
    ("label", "cell"),
    [
        (labels_of(("WBC", 260, 176, 491, 376), ("RBC", 1.5, 8, 9, 6)), "640x480; WBC 260 176 491 376; RBC 1.5 8 9 6"),
        (labels_of(), "640x480"),
        (labels_of(size=(0, 0)), ""),
        (labels_of(("class 7 1", 1 / 3, 0, 5, 6e-7)), "640x480; class 7 1 0.3333333333333333 0 5 6e-07"),
        (labels_of(("cell (7)", 1, 2, 3, 4)), "640x480; cell (7) 1 2 3 4"),
        (labels_of(("RBC", 1, 2, 3, 4, True)), "640x480; RBC 1 2 3 4 (ignored)"),
        (labels_of(("RBC", 1, 2, 3, 4), size=(0, 0)), "RBC 1 2 3 4"),
    ],
)  # fmt: skip
def test_an_image_is_one_cell_that_is_read_back_exactly(label: BoxLabels, cell: str) -> None:
    (encoded,) = TASK.encode([label], CLASSES)
    assert TASK.to_cell(encoded, CLASSES) == cell
    assert TASK.from_cell(cell) == label
    assert TASK.label_fault(CLASSES) is None


def test_detections_have_scores_in_their_cell() -> None:
    found = detections((1, 10.04, 20, 30, 40.5, 0.98767), (2, 0, 0, 5, 5, 0.5))
    cell = TASK.to_cell(found, CLASSES)
    assert cell == "WBC 10 20 30 40.5 (0.9877); cell (7) 0 0 5 5 (0.5000)"
    first, second = read_cell(cell).objects
    assert (first.box.name, first.score, second.box.name, second.score) == ("WBC", 0.9877, "cell (7)", 0.5)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("RBC 1 2 3", "expected a class and four edges, such as 'cat 10 20 110 220', got 'RBC 1 2 3'"),
        ("RBC", "got 'RBC'"),
        ("1 2 3 4", "got '1 2 3 4'"),
        ("RBC 1 2 3 four", "expected a number, got 'four' in 'RBC 1 2 3 four'"),
        ("RBC 1 2 3 nan", "expected a number, got 'nan'"),
        ("RBC 1 2 3 4;; RBC 1 2 3 4", "got ''"),
        ("RBC 1 2 3 4 (sure)", "expected a number, got 'sure'"),
    ],
)
def test_other_cells_are_refused(cell: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TASK.from_cell(cell)


@pytest.mark.parametrize("name", ["a;b", " a", "a ", ""])
def test_names_that_a_cell_cannot_hold_are_named(name: str) -> None:
    assert repr(name) in (TASK.label_fault(["RBC", name]) or "")


def test_splits_have_every_class_and_background_in_its_share() -> None:
    labels = array([boxes((0, 0, 0, 9, 9))] * 40 + [boxes((0, 0, 0, 9, 9), (1, 0, 0, 9, 9))] * 20 + [boxes()] * 20)
    strata = TASK.strata(labels)
    assert [len(stratum) for stratum in strata] == [60, 20, 20]
    order = np.random.default_rng(0).permutation(80)
    split = TASK.assign_groups(labels, np.arange(80), np.array([0.5, 0.25, 0.25]), order)
    for stratum, expected in zip(strata, [(30, 15, 15), (10, 5, 5), (10, 5, 5)], strict=True):
        assert np.bincount(split[stratum]).tolist() == pytest.approx(expected, abs=1)
    assert TASK.assign_groups(array([boxes()] * 4), np.arange(4), np.array([0.5, 0.5]), np.arange(4)).shape == (4,)


def test_an_answer_has_boxes_in_pixels_and_words() -> None:
    found = detections((0, 1, 2, 3, 4, 0.9), (1, 5, 6, 7.126, 8, 0.8), (0, 9, 9, 12, 12, 0.7), (1, 0, 0, 1, 1, 0.2))
    decision = Decision(CLASSES, np.array([0.5, 0.5, 0.5, 0.5]), out_of_distribution=False)
    answer = TASK.answer("a.jpg", found, decision, 2)
    assert [(box.label, box.x2) for box in answer.boxes] == [("RBC", 3), ("WBC", 7.13), ("RBC", 12)]
    assert (answer.label(), answer.names, answer.unsure, answer.out_of_distribution) == (
        "2 RBC, 1 WBC",
        ["RBC", "WBC"],
        False,
        False,
    )
    assert answer.probabilities == pytest.approx({"RBC": 0.9, "WBC": 0.8})
    assert answer.cells()["predicted"].startswith("RBC 1 2 3 4 (0.9000); WBC 5 6 7.1 8 (0.8000)")
    plain = json.loads(json.dumps(answer.to_dict()))
    assert plain["boxes"][0] == {"label": "RBC", "score": 0.9, "x1": 1, "y1": 2, "x2": 3, "y2": 4}
    assert answer.predicted == plain["boxes"]
    nothing = TASK.answer("a.jpg", detections(), decision, None)
    assert (nothing.label(), nothing.names, nothing.cells()) == ("none", [], {"predicted": ""})


def test_the_table_has_the_worst_mistake_and_counts() -> None:
    labels = array([boxes((0, 0, 0, 50, 50), (1, 100, 100, 150, 150)), boxes(), boxes((0, 0, 0, 50, 50))])
    outputs = array([detections((0, 0, 0, 50, 50, 0.9), (1, 300, 300, 350, 350, 0.8)), detections(), detections()])
    columns = TASK.table_columns(CLASSES)
    rows = [
        dict(zip(columns, row, strict=True)) for row in zip(*TASK.table(labels, outputs, None, CLASSES), strict=True)
    ]
    assert [(row["worst"], row["worst_score"], row["correct"], row["missed"], row["ghost"]) for row in rows] == [
        ("WBC", "0.800000", "1", "1", "1"),
        ("", "0.000000", "0", "0", "0"),
        ("RBC", "0.000000", "0", "1", "0"),
    ]

    class Cells(dict[str, str]):
        def probability(self, column: str) -> float:
            return float(self[column])

        def one_of(self, column: str, values: list[str]) -> str:
            assert self[column] in values
            return self[column]

        def convert(self, column: str, convert: Callable[[str], str], expected: str) -> str:
            return convert(self[column])

    first, second, _ = (TASK.read_row(Cells(row), [], [], CLASSES) for row in rows)
    assert (first.mistake.class_name, first.mistake.confidence) == ("WBC", 0.8)
    assert second.mistake is None
    classes, confidence = TASK.worst_mistakes(labels, outputs, None)
    assert (classes.tolist(), confidence.tolist()) == ([1, -1, 0], pytest.approx([0.8, 0, 0]))


def test_a_table_tells_what_was_predicted_and_comparisons_know_no_more() -> None:
    labels, outputs = scene(3, n=10)
    names, thresholds = CLASSES[:3], np.full(3, 0.4)
    cells = [TASK.to_cell(found, names) for found in TASK.decide(outputs, thresholds)]
    told = TASK.outputs_of_table([], cells, names)
    known = TASK.told_by_table(outputs, thresholds)
    assert [len(found) for found in told] == [len(found) for found in known]
    assert [len(found) for found in TASK.decide(told, thresholds)] == [len(found) for found in known]
    comparison = TASK.compare(labels, told, known)
    assert comparison.value[0] == pytest.approx(comparison.value[1], abs=0.02)  # the table rounds
    assert TASK.compare(labels, told, outputs).value[1] > comparison.value[1]


def test_labels_are_plain_data_in_json() -> None:
    labels, _ = scene(4, n=6)
    names = CLASSES[:3]
    plain = json.loads(json.dumps([TASK.to_json(label, names) for label in labels]))
    assert not TASK.differs(labels, TASK.encode([TASK.from_json(value) for value in plain], names)).any()
    for name, label in (("single-label", "a"), ("multi-label", ["a", "b"])):
        task = get_task(name)
        assert task.to_json(task.encode([label], ["a", "b"])[0], ["a", "b"]) == label == task.from_json(label)


def test_its_figures_suit_the_files_and_the_report_of_a_run() -> None:
    labels, outputs = scene(2, n=20)
    names = CLASSES[:3]
    plain = TASK.evaluate(labels, outputs, names, None)
    split = _split_figures(plain, [metric.name for metric in TASK.metrics])
    figures = Figures(
        headline="test", metrics=list(split.metrics), interval=None, splits={"test": split}, leak_free=None
    )
    assert list(figures.faults(names, TASK)) == []
    again = json.loads(json.dumps(split.of_task()))
    sections = TASK.report_sections(again, names)
    assert [section.title for section in sections] == [
        "Kinds of errors", "Precision and recall", "Sizes of objects",
    ]  # fmt: skip
    for section in sections:
        assert all(len(row) == len(section.header) for row in section.rows)
    assert "mAP50-95 0." in TASK.describe(again, 3, "20 images")
    assert "threshold 0.300, in " in TASK.class_remark(again["per_class"]["RBC"])
