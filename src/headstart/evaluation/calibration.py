"""Temperature scaling: logits divided by one number, so that the confidence is near the share of right answers.

The order of the classes does not change, and neither does the accuracy. The temperature is the one with the lowest log
loss on examples that were judged by a head which had not seen them. Cross-validation on the same examples, each judged
at the temperature of the others, shows whether it helps; if it does not, the temperature stays 1.

Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, arXiv 1706.04599.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.data.split import folds
from headstart.tasks.outputs import at_temperature, fit_temperature
from headstart.tasks.single_label.metrics import expected_calibration_errors
from headstart.tasks.statistics import n_resamples, percentiles, resample_weights
from headstart.training import Head, TrainingData

MIN_EXAMPLES, MIN_MISTAKES = 50, 10
"""Held-out examples that a temperature is chosen on, and wrong answers among them.

Where all answers are right, only its prior keeps a temperature away from 0. On face masks, fine-tuned, the log loss
alone of 101 validation examples without a mistake gave the lowest temperature allowed, which raised the log loss of the
test examples from 0.19 to 1.07.
"""

_MAX_EXAMPLES, _MAX_PROBABILITIES = 10_000, 5_000_000
_FOLDS = 5

Bounded = tuple[float, float, float]
"""A value with its interval: (value, low, high)."""


@dataclass(frozen=True)
class Effect:
    """The same examples before and after.

    Attributes:
        examples: their number.
        log_loss: before and after.
        loss_gain: (low, high), 95 % interval of the log loss before minus that after, from the paired bootstrap.
        ece: expected calibration error before and after, each with its 95 % interval.
    """

    examples: int
    log_loss: tuple[float, float]
    loss_gain: tuple[float, float]
    ece: tuple[Bounded, Bounded]


@dataclass(frozen=True)
class Calibration:
    """The result of temperature scaling.

    Attributes:
        temperature: to divide the logits by; 1 changes nothing.
        outcome: ``kept``, ``not better`` or ``not tried``.
        reason: in a sentence.
        chosen_on: which examples it was chosen on, see :class:`HeldOut`.
        fitted: the temperature that was found, kept or not.
        on_chosen: its effect in cross-validation on these examples, which decides.
        on_test: its effect on the test examples, which are not used for the decision.
    """

    temperature: float
    outcome: Literal["kept", "not better", "not tried"]
    reason: str
    chosen_on: str | None = None
    fitted: float | None = None
    on_chosen: Effect | None = None
    on_test: Effect | None = None


@dataclass(frozen=True)
class HeldOut:
    """Examples, without test examples, that were judged by a head which had not seen them.

    Attributes:
        kind: ``validation``, ``cross-validation``, or both, joined by ``and``.
        indices: int (n,), into the data set.
        probabilities: float (n, classes).
    """

    kind: str
    indices: np.ndarray
    probabilities: np.ndarray


def held_out_examples(data: TrainingData, of_val: np.ndarray, head: Head) -> HeldOut | None:
    """The validation examples and, if cross-validation judged them, the training examples; None without either.

    Args:
        data: the examples.
        of_val: probabilities of the validation examples by the head.
        head: the head.
    """
    parts = [("validation", data.val, of_val)] if len(data.val) else []
    if head.out_of_fold is not None:
        parts.append(("cross-validation", data.train, head.out_of_fold))
    if not parts:
        return None
    kinds, indices, probabilities = zip(*parts, strict=True)
    return HeldOut(" and ".join(kinds), np.concatenate(indices), np.concatenate(probabilities))


def calibrate(data: TrainingData, held_out: HeldOut | None, of_test: np.ndarray, *, seed: int = 0) -> Calibration:
    """Choose a temperature, and decide whether it helps.

    Args:
        data: the examples.
        held_out: the examples that it is chosen on.
        of_test: probabilities of the test examples, to show the effect on them.
        seed: of the folds and the bootstrap.
    """
    if not data.task.has_confidence:
        return Calibration(1.0, "not tried", data.task.no_confidence_reason)
    n = 0 if held_out is None else len(held_out.indices)
    mistakes = 0
    if held_out is not None:
        mistakes = int(data.task.mistakes(data.labels[held_out.indices], held_out.probabilities).sum())
    if held_out is None or n < MIN_EXAMPLES or mistakes < MIN_MISTAKES:
        reason = (
            f"A temperature needs {MIN_EXAMPLES} held-out examples with {MIN_MISTAKES} wrong answers: there are {n:,} "
            f"with {mistakes:,}."
        )
        return Calibration(1.0, "not tried", reason)
    limit = min(_MAX_EXAMPLES, max(MIN_EXAMPLES, _MAX_PROBABILITIES // data.n_classes))
    sample = np.sort(np.random.default_rng(seed).permutation(len(held_out.indices))[:limit])
    before, indices = held_out.probabilities[sample], held_out.indices[sample]
    labels = data.labels[indices]
    temperature = fit_temperature(labels, before)
    after = _cross_calibrated(data, labels, before, indices, seed)
    effect = _effect(data, labels, before, after, seed)
    on_test = None
    if len(data.test):
        on_test = _effect(data, data.labels[data.test], of_test, at_temperature(of_test, temperature), seed)
    is_better = effect.log_loss[1] < effect.log_loss[0]
    change = (
        f"A temperature of {temperature:.2f} changes the log loss of {effect.examples:,} {held_out.kind} examples from "
        f"{effect.log_loss[0]:.4f} to {effect.log_loss[1]:.4f}"
    )
    reason = f"{change}." if is_better else f"{change}: no gain, so it stays 1."
    return Calibration(
        temperature if is_better else 1.0, "kept" if is_better else "not better", reason,
        held_out.kind, temperature, effect, on_test,
    )  # fmt: skip


def _cross_calibrated(
    data: TrainingData, labels: np.ndarray, before: np.ndarray, indices: np.ndarray, seed: int
) -> np.ndarray:
    """Probabilities of each example at the temperature of the examples in the other folds."""
    groups = np.unique(data.groups[indices], return_inverse=True)[1]
    fold = folds(data.task, labels, groups, _FOLDS, seed)
    after = np.empty_like(before)
    for number in range(_FOLDS):
        in_fold = fold == number
        after[in_fold] = at_temperature(before[in_fold], fit_temperature(labels[~in_fold], before[~in_fold]))
    return after


def _effect(data: TrainingData, labels: np.ndarray, before: np.ndarray, after: np.ndarray, seed: int) -> Effect:
    n = len(labels)
    weights = resample_weights(n, n_resamples(n), np.random.default_rng(seed))
    losses = data.task.log_losses(labels, before), data.task.log_losses(labels, after)
    ece = []
    for probabilities in (before, after):
        value = float(expected_calibration_errors(labels, probabilities, np.ones((1, n)))[0])
        low, high = percentiles(expected_calibration_errors(labels, probabilities, weights))
        ece.append((value, min(low, value), max(high, value)))  # ECE is biased upwards, as in statistics.interval
    return Effect(
        n, (float(losses[0].mean()), float(losses[1].mean())),
        percentiles(weights @ (losses[0] - losses[1]) / n), (ece[0], ece[1]),
    )  # fmt: skip
