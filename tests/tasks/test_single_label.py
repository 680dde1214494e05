import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.tasks.single_label.metrics import METRICS, evaluate
from headstart.tasks.statistics import wilson

CLASSES = ["ant", "bee", "cat", "dog"]


def _answers(n: int, n_classes: int = 4, *, seed: int = 0, skill: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    logits = rng.normal(0, 1, (n, n_classes))
    logits[np.arange(n), labels] += skill
    powers = np.exp(logits)
    return labels, powers / powers.sum(1, keepdims=True)


def test_values_are_those_of_scikit_learn() -> None:
    labels, probabilities = _answers(500)
    predicted = probabilities.argmax(1)
    found = evaluate(labels, probabilities, CLASSES)
    assert found["accuracy"]["value"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found["balanced_accuracy"]["value"] == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"]["value"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert found["log_loss"]["value"] == pytest.approx(reference.log_loss(labels, probabilities))
    precision, recall, f1, support = reference.precision_recall_fscore_support(labels, predicted)
    for i, name in enumerate(CLASSES):
        of_class = found["per_class"][name]
        assert of_class["support"] == support[i]
        assert of_class["precision"]["value"] == pytest.approx(precision[i])
        assert of_class["recall"]["value"] == pytest.approx(recall[i])
        assert of_class["f1"]["value"] == pytest.approx(f1[i])
    assert found["confusion_matrix"] == reference.confusion_matrix(labels, predicted).tolist()


def test_every_interval_holds_its_value() -> None:
    found = evaluate(*_answers(80), CLASSES)
    figures = [found[name] for name in METRICS]
    figures += [found["per_class"][name][metric] for name in CLASSES for metric in ("precision", "recall", "f1")]
    assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in figures)


@pytest.mark.slow
def test_intervals_hold_the_true_accuracy_about_19_times_of_20() -> None:
    labels, probabilities = _answers(20_000, seed=900)
    truth = (probabilities.argmax(1) == labels).mean()
    inside = 0
    for seed in range(40):
        accuracy = evaluate(*_answers(150, seed=seed), CLASSES)["accuracy"]
        inside += accuracy["low"] <= truth <= accuracy["high"]
    assert 34 <= inside <= 40


def test_when_all_are_right_the_interval_is_not_a_point() -> None:
    labels = np.arange(40) % 4
    found = evaluate(labels, np.eye(4)[labels], CLASSES)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert found[name]["value"] == 1
        assert found[name]["high"] == 1
        assert found[name]["low"] == pytest.approx(0.912, abs=0.001)  # Wilson: 40 of 40
    assert found["per_class"]["ant"]["recall"]["low"] < 0.8  # 10 of 10


def test_a_class_without_examples_is_undefined_and_not_counted() -> None:
    labels, probabilities = _answers(100, 3)
    probabilities = np.hstack([probabilities, np.zeros((100, 1))])
    found = evaluate(labels, probabilities, CLASSES)
    assert found["per_class"]["dog"]["recall"] == {"value": None, "low": None, "high": None}
    assert found["balanced_accuracy"]["value"] == pytest.approx(
        reference.balanced_accuracy_score(labels, probabilities.argmax(1))
    )


def test_calibration_error_of_an_honest_and_of_a_boastful_classifier() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 4000)
    labels = (rng.random(4000) > confidence).astype(int)
    honest = np.stack([confidence, 1 - confidence], 1)
    boastful = np.tile([0.999, 0.001], (4000, 1))
    assert evaluate(labels, honest, ["a", "b"])["ece"]["value"] < 0.03
    found = evaluate(labels, boastful, ["a", "b"])
    assert found["ece"]["value"] == pytest.approx(0.999 - (labels == 0).mean(), abs=1e-9)
    filled = [part for part in found["reliability"] if part["count"]]
    assert len(filled) == 1
    assert filled[0]["confidence"] == pytest.approx(0.999)


def test_the_same_seed_gives_the_same_intervals() -> None:
    labels, probabilities = _answers(60)
    assert evaluate(labels, probabilities, CLASSES, seed=1) == evaluate(labels, probabilities, CLASSES, seed=1)
    other = evaluate(labels, probabilities, CLASSES, seed=2)
    assert other["log_loss"]["low"] != evaluate(labels, probabilities, CLASSES, seed=1)["log_loss"]["low"]


@pytest.mark.parametrize(("share", "n", "low", "high"), [(0.5, 10, 0.237, 0.763), (1, 10, 0.722, 1), (0, 10, 0, 0.278)])
def test_wilson(share: float, n: int, low: float, high: float) -> None:
    assert wilson(share, n) == pytest.approx((low, high), abs=0.001)
