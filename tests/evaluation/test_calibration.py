from types import SimpleNamespace

import numpy as np
import pytest

from headstart.evaluation.calibration import MIN_EXAMPLES, HeldOut, calibrate
from headstart.tasks import get_task
from headstart.tasks.outputs import at_temperature, fit_temperature, softmax
from headstart.training import Head, TrainingData


def _answers(n: int, *, sharpened: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities, and these probabilities with their logits multiplied."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    labels = np.array([rng.choice(4, p=p) for p in softmax(logits)])
    return labels, softmax(sharpened * logits).astype(np.float32)


def _data(labels: np.ndarray, n_val: int) -> TrainingData:
    where = np.arange(len(labels))
    none = SimpleNamespace()
    task = get_task("multi-label" if labels.ndim == 2 else "single-label")
    return TrainingData(none, task, labels, 4, where[:0], where[:n_val], where, test=where[n_val:])  # type: ignore[arg-type]


def test_the_temperature_undoes_what_made_a_head_too_sure() -> None:
    labels, probabilities = _answers(3000, sharpened=3)
    assert fit_temperature(labels, probabilities) == pytest.approx(3, rel=0.1)
    labels, probabilities = _answers(3000, sharpened=0.5)
    assert fit_temperature(labels, probabilities) == pytest.approx(0.5, rel=0.1)


def test_a_head_that_is_too_sure_is_calibrated() -> None:
    labels, probabilities = _answers(900, sharpened=3)
    data = _data(labels, 600)
    held = HeldOut("validation", data.val, probabilities[:600])
    found = calibrate(data, held, probabilities[600:])
    assert found.outcome == "kept"
    assert found.chosen_on == "validation"
    for effect in (found.on_chosen, found.on_test):
        assert effect is not None
        assert effect.loss_gain[0] > 0
        (before, low, _), (after, _, high) = effect.ece
        assert after < before / 2
        assert high < low  # the intervals do not even overlap
    cooled = at_temperature(probabilities, found.temperature)
    assert (cooled.argmax(1) == probabilities.argmax(1)).all()


def test_a_head_that_has_learned_nothing_keeps_its_answers() -> None:
    """The best temperature would be infinite: then rounding would decide, and every engine rounds in its own way."""
    probabilities = softmax(np.random.default_rng(0).normal(size=(200, 2)) * 0.001).astype(np.float32)
    labels = np.repeat([0, 1], 200)  # each answer is right once and wrong once
    temperature = fit_temperature(labels, np.concatenate([probabilities, probabilities]))
    assert temperature > 10
    flat = at_temperature(probabilities, temperature)
    assert (flat.argmax(1) == probabilities.argmax(1)).all()
    assert (flat[:, 0] != flat[:, 1]).all()


def test_what_does_not_help_is_not_kept() -> None:
    """Of these draws of well-calibrated answers some have a temperature that does no good to the others."""
    outcomes = set()
    for seed in range(8):
        labels, probabilities = _answers(80, sharpened=1, seed=seed)
        data = _data(labels, 80)
        found = calibrate(data, HeldOut("validation", data.val, probabilities), probabilities[:0])
        assert (found.temperature == 1) == (found.outcome == "not better")
        assert found.on_chosen is not None
        assert (found.on_chosen.log_loss[1] < found.on_chosen.log_loss[0]) == (found.outcome == "kept")
        outcomes.add(found.outcome)
    assert "not better" in outcomes


def test_too_few_examples_and_many_labels_are_left_as_they_are() -> None:
    labels, probabilities = _answers(MIN_EXAMPLES - 1, sharpened=3)
    data = _data(labels, len(labels))
    found = calibrate(data, HeldOut("validation", data.val, probabilities), probabilities[:0])
    assert (found.outcome, found.temperature) == ("not tried", 1)
    assert "there are 49 with" in found.reason
    sure = np.full((200, 4), 0.01, np.float32)
    sure[:, 0] = 0.97
    faultless = _data(np.zeros(200, int), 200)
    found = calibrate(faultless, HeldOut("validation", faultless.val, sure), sure[:0])
    assert (found.outcome, found.temperature) == ("not tried", 1)
    assert "there are 200 with 0" in found.reason
    many = _data(np.eye(4, dtype=np.uint8)[labels], len(labels))
    assert "its own threshold" in calibrate(many, None, probabilities[:0]).reason


def test_a_head_at_a_temperature_is_one_whose_last_layer_is_divided() -> None:
    rng = np.random.default_rng(0)
    layers = tuple(
        (rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[1]).astype(np.float32))
        for shape in ((6, 5), (5, 3))
    )
    head, features = Head(layers), rng.normal(size=(20, 6)).astype(np.float32)
    assert np.abs(head.at_temperature(2.5)(features) - at_temperature(head(features), 2.5)).max() < 1e-6
    assert np.array_equal(head.at_temperature(2.5).layers[0][0], layers[0][0])
