import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.tasks.multi_label import MultiLabel
from headstart.tasks.multi_label.metrics import METRICS, evaluate
from headstart.tasks.multi_label.thresholds import DEFAULT_THRESHOLD, choose_thresholds

NAMES = ["ant", "bee", "cat", "dog"]


def _answers(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that can be trusted."""
    rng = np.random.default_rng(seed)
    probabilities = 1 / (1 + np.exp(-rng.normal([-2, -1, 0, 1], 2, (n, 4))))
    return (rng.random((n, 4)) < probabilities).astype(np.uint8), probabilities.astype(np.float32)


@pytest.mark.parametrize("decimals", [7, 1])  # with one, many probabilities are equal
def test_values_are_those_of_scikit_learn(decimals: int) -> None:
    labels, probabilities = _answers(400)
    probabilities = probabilities.round(decimals).clip(0.01, 0.99)
    thresholds = np.array([0.3, 0.45, 0.55, 0.6])
    found = evaluate(labels, probabilities, NAMES, thresholds)
    predicted = probabilities >= thresholds
    expected = {
        "micro_f1": reference.f1_score(labels, predicted, average="micro"),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "mean_average_precision": reference.average_precision_score(labels, probabilities),
        "subset_accuracy": reference.accuracy_score(labels, predicted),
        "log_loss": np.mean([reference.log_loss(labels[:, k], probabilities[:, k]) for k in range(4)]),
    }
    assert set(expected) == set(METRICS)
    assert {name: found[name]["value"] for name in expected} == pytest.approx(expected, abs=1e-6)
    precision, recall, f1, support = reference.precision_recall_fscore_support(labels, predicted)
    for k, name in enumerate(NAMES):
        of_label = found["per_class"][name]
        assert (of_label["support"], of_label["threshold"]) == (support[k], thresholds[k])
        figures = [of_label[metric]["value"] for metric in ("precision", "recall", "f1")]
        assert figures == pytest.approx([precision[k], recall[k], f1[k]])
    counts = found["label_counts"]
    assert counts["correct"] / counts["predicted"] == pytest.approx(
        reference.precision_score(labels, predicted, average="micro")
    )
    assert counts["all_correct"] == (predicted == labels).all(1).sum()


def test_every_interval_holds_its_value_and_is_no_point() -> None:
    found = evaluate(*_answers(80), NAMES, np.full(4, 0.5))
    figures = [found[name] for name in METRICS]
    figures += [found["per_class"]["cat"][metric] for metric in ("precision", "recall", "f1", "average_precision")]
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in figures)
    labels = np.tile([[1, 0], [0, 1]], (20, 1)).astype(np.uint8)
    perfect = evaluate(labels, labels.astype(np.float32), ["a", "b"], np.full(2, 0.5))
    for name in ("micro_f1", "macro_f1", "mean_average_precision", "subset_accuracy"):
        assert perfect[name]["value"] == perfect[name]["high"] == 1
        assert perfect[name]["low"] == pytest.approx(0.912, abs=0.001)  # Wilson: 40 of 40


def test_a_label_that_nothing_has_is_undefined_and_not_counted() -> None:
    labels, probabilities = _answers(100)
    labels[:, 3] = 0
    found = evaluate(labels, probabilities, NAMES, np.full(4, 0.5))
    assert found["per_class"]["dog"]["recall"]["value"] is None
    assert found["per_class"]["dog"]["average_precision"] == {"value": None, "low": None, "high": None}
    assert found["macro_f1"]["value"] == pytest.approx(
        reference.f1_score(labels[:, :3], probabilities[:, :3] >= 0.5, average="macro")
    )
    nothing = evaluate(labels[:, 3:], probabilities[:, 3:] * 0.4, ["dog"], np.array([0.5]))
    assert nothing["micro_f1"]["value"] is None
    assert nothing["subset_accuracy"]["value"] == 1


def test_thresholds_give_about_the_greatest_f1_on_others() -> None:
    labels, probabilities = _answers(600)
    others = _answers(20_000, seed=1)
    chosen = choose_thresholds(labels, probabilities)
    grid = np.linspace(0.1, 0.9, 17)
    for k in range(4):
        best = max(reference.f1_score(others[0][:, k], others[1][:, k] >= t) for t in grid)
        assert reference.f1_score(others[0][:, k], others[1][:, k] >= chosen[k]) > best - 0.01


def test_thresholds_correct_uncalibrated_probabilities() -> None:
    labels, probabilities = _answers(2000)
    shy = probabilities**4
    at_half = reference.f1_score(labels, shy >= 0.5, average="macro")
    chosen = reference.f1_score(labels, shy >= choose_thresholds(labels, shy), average="macro")
    trusted = reference.f1_score(labels, probabilities >= choose_thresholds(labels, probabilities), average="macro")
    assert at_half < trusted - 0.1
    assert chosen == pytest.approx(trusted, abs=0.01)


def test_too_few_examples_choose_no_threshold() -> None:
    labels, probabilities = _answers(200)
    labels[:, 0], labels[:, 1] = 0, 1
    labels[:9, 0], labels[:9, 1] = 1, 0
    chosen = choose_thresholds(labels, probabilities)
    assert (chosen[:2] == DEFAULT_THRESHOLD).all()
    assert (chosen[2:] != DEFAULT_THRESHOLD).all()
    assert (choose_thresholds(labels[:0], probabilities[:0]) == DEFAULT_THRESHOLD).all()


def test_the_worst_mistake_is_the_wrong_label_with_the_most_confidence() -> None:
    labels = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0]])
    probabilities = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.0], [0.9, 0.4, 0.6]])
    worst, confidence = MultiLabel().worst_mistakes(labels, probabilities, np.array([0.5, 0.3, 0.5]))
    assert worst.tolist() == [-1, 0, 2]
    assert confidence == pytest.approx([0, 0.9, 0.6])
