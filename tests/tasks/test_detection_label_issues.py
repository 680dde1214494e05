"""Label issues of boxes: planted errors are found, and good labels are left alone."""

from dataclasses import replace

import numpy as np

from headstart.tasks import get_task
from headstart.tasks.detection import Boxes, Detections
from headstart.tasks.detection.label_issues import IssueKind, corrected_boxes, find_box_issues
from tests.tasks.detection_cases import SIZE, array


def scene(seed: int, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Correct labels on a grid, and the detections of a fair model: some objects missed, some ghosts, some unsure."""
    rng = np.random.default_rng(seed)
    labels, outputs = [], []
    for _ in range(n):
        cells = rng.permutation(20)[: rng.integers(0, 9)]
        corner = np.column_stack([cells % 5 * 120 + 10, cells // 5 * 120 + 10]) + rng.uniform(0, 20, (len(cells), 2))
        true = np.column_stack([corner, corner + rng.uniform(40, 80, (len(cells), 2))])
        classes = rng.integers(0, 3, len(cells))
        labels.append(Boxes(true, classes, np.zeros(len(cells), bool), SIZE))
        found = true + rng.normal(0, 0.03, true.shape) * np.tile(true[:, 2:] - true[:, :2], 2)
        detected = rng.random(len(cells)) < 0.95
        ghost = rng.uniform(0, 400, (3, 2))
        every = np.concatenate([found[detected], found[detected] + 9, np.column_stack([ghost, ghost + 50])])
        numbers = np.concatenate([classes[detected], classes[detected], rng.integers(0, 3, 3)])
        k = int(detected.sum())
        scores = np.concatenate([rng.beta(8, 2, k), rng.uniform(0, 0.3, k), rng.beta(1, 8, 3)])
        order = np.argsort(-scores)
        outputs.append(Detections(every[order].astype(np.float32), numbers[order], scores[order].astype(np.float32)))
    return array(labels), array(outputs)


def plant(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, set[tuple[IssueKind, int, int]]]:
    """One error in every second image with objects: a box left out, moved, or of the next class."""
    planted: set[tuple[IssueKind, int, int]] = set()
    wrong = labels.copy()
    kinds: list[IssueKind] = ["missing", "bad_box", "wrong_class"]
    for image in [i for i, boxes in enumerate(labels) if len(boxes)][::2]:
        boxes, kind = labels[image], kinds[len(planted) % 3]
        k = int(rng.integers(len(boxes)))
        if kind == "missing":
            wrong[image] = boxes.take(np.arange(len(boxes)) != k)
        elif kind == "bad_box":
            coordinates = boxes.coordinates.copy()
            coordinates[k] += 0.35 * np.tile(coordinates[k, 2:] - coordinates[k, :2], 2)
            wrong[image] = replace(boxes, coordinates=coordinates)
        else:
            classes = boxes.classes.copy()
            classes[k] = (classes[k] + 1) % 3
            wrong[image] = replace(boxes, classes=classes)
        planted.add((kind, image, k))
    return wrong, planted


def test_planted_errors_are_found() -> None:
    hits, n_planted, n_issues = dict.fromkeys(("missing", "bad_box", "wrong_class"), 0), 0, 0
    for seed in range(3):
        labels, outputs = scene(seed)
        wrong, planted = plant(labels, np.random.default_rng(seed))
        issues = find_box_issues(wrong, outputs)
        assert [issue.score for issue in issues] == sorted((issue.score for issue in issues), reverse=True)
        for issue in issues:
            k = next((k for kind, image, k in planted if (kind, image) == (issue.kind, issue.image)), None)
            if k is not None and issue.object_number in (None, k):
                hits[issue.kind] += 1
                assert issue.class_number == labels[issue.image].classes[k]
                assert np.abs(np.array(issue.box) - labels[issue.image].coordinates[k]).max() < 20
        n_planted, n_issues = n_planted + len(planted), n_issues + len(issues)
    assert n_planted > 100
    assert all(n > 0.6 * n_planted / 3 for n in hits.values()), hits  # the surest of them: about 7 of 10
    assert sum(hits.values()) > 0.95 * n_issues


def test_good_labels_have_hardly_any_issue_and_few_objects_are_not_judged() -> None:
    labels, outputs = scene(5)
    assert len(find_box_issues(labels, outputs)) <= 1
    wrong, _ = plant(labels, np.random.default_rng(5))
    assert find_box_issues(wrong[:3], outputs[:3]) == []
    assert find_box_issues(labels[:0], outputs[:0]) == []


def test_images_are_suggested_as_they_were_before_the_errors() -> None:
    labels, outputs = scene(1)
    wrong, planted = plant(labels, np.random.default_rng(1))
    positions, suggested, of_wrong, of_label = get_task("detection").find_label_issues(wrong, outputs)
    assert set(positions.tolist()) <= {image for _, image, _ in planted} | set(positions[of_wrong < 0.8].tolist())
    assert (of_wrong + of_label == 1).all()
    for image, boxes in zip(positions.tolist(), suggested, strict=True):
        assert len(boxes) == len(labels[image])
        assert sorted(boxes.classes.tolist()) == sorted(labels[image].classes.tolist())
    assert corrected_boxes(labels[0], []).coordinates.tolist() == labels[0].coordinates.tolist()
