"""Temperature scaling: logits divided by one number, so that confidence comes nearer to how often the model is right.

The order of the classes stays what it is, and so does the accuracy. The temperature is the one of least log loss on
examples that were judged by a head which had not seen them. Whether it helps is asked by cross-validation on the same
examples, each judged at the temperature of the others; if it does not, the temperature stays 1.

Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, arXiv 1706.04599.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.data.labels import is_multi_label
from headstart.data.split import folds
from headstart.evaluation.metrics import LEVEL, draw, expected_calibration_errors, resamples
from headstart.training import Head, TrainingData
from headstart.training.outputs import at_temperature, fit_temperature, log_losses, wrong

FEWEST, FEWEST_MISTAKES = 50, 10
"""Held-out examples that a temperature is chosen on, and how many of them must be wrong.

Where all are right, nothing but its prior keeps a temperature from 0. On face masks, fine-tuned, the log loss alone of
101 validation examples without a mistake asked for the lowest one allowed, which took that of the test examples from
0.19 to 1.07.
"""

_MOST, _MOST_NUMBERS = 10_000, 5_000_000  # examples that are looked at, and probabilities of these
_FOLDS = 5

Bounded = tuple[float, float, float]
"""A value with its interval: (value, low, high)."""


@dataclass(frozen=True)
class Effect:
    """The same examples before and after.

    Attributes:
        examples: how many.
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
    """What temperature scaling came to.

    Attributes:
        temperature: that the logits are to be divided by; 1 where nothing is to change.
        outcome: ``kept``, ``not better`` or ``not tried``.
        reason: in a sentence.
        chosen_on: which examples it was chosen on, see :class:`HeldOut`.
        fitted: what was found, kept or not.
        on_chosen: its effect in cross-validation on these examples, which decides.
        on_test: its effect on the test examples, which have no say.
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
    """Examples, none of them for testing, that were judged by a head which had not seen them.

    Attributes:
        kind: ``validation``, ``cross-validation``, or both, joined by ``and``.
        indices: int (n,), into the data set.
        probabilities: float (n, classes).
    """

    kind: str
    indices: np.ndarray
    probabilities: np.ndarray


def held_out(task: TrainingData, of_val: np.ndarray, head: Head) -> HeldOut | None:
    """The validation examples and, where cross-validation has judged them, the training examples; None without either.

    Args:
        task: the examples.
        of_val: probabilities of the validation examples by the head.
        head: the head.
    """
    parts = [("validation", task.val, of_val)] if len(task.val) else []
    if head.out_of_fold is not None:
        parts.append(("cross-validation", task.train, head.out_of_fold))
    if not parts:
        return None
    kinds, indices, probabilities = zip(*parts, strict=True)
    return HeldOut(" and ".join(kinds), np.concatenate(indices), np.concatenate(probabilities))


def calibrate(task: TrainingData, held: HeldOut | None, of_test: np.ndarray, *, seed: int = 0) -> Calibration:
    """Choose a temperature, and decide whether it is of use.

    Args:
        task: the examples.
        held: what it is chosen on.
        of_test: probabilities of the test examples, to say what it does to them.
        seed: of the folds and the bootstrap.
    """
    if is_multi_label(task.labels):
        return Calibration(1.0, "not tried", "Labels have thresholds of their own, chosen on these probabilities.")
    n = 0 if held is None else len(held.indices)
    mistakes = 0 if held is None else int(wrong(task.labels[held.indices], held.probabilities).sum())
    if held is None or n < FEWEST or mistakes < FEWEST_MISTAKES:
        reason = (
            f"It takes {FEWEST} held-out examples, and {FEWEST_MISTAKES} of them answered wrongly, to choose a "
            f"temperature: here are {n:,} and {mistakes:,}."
        )
        return Calibration(1.0, "not tried", reason)
    most = min(_MOST, max(FEWEST, _MOST_NUMBERS // task.n_classes))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(held.indices))[:most])
    before, indices = held.probabilities[chosen], held.indices[chosen]
    labels = task.labels[indices]
    temperature = fit_temperature(labels, before)
    fold = folds(labels, np.unique(task.groups[indices], return_inverse=True)[1], _FOLDS, seed)
    after = np.empty_like(before)
    for number in range(_FOLDS):
        here = fold == number
        after[here] = at_temperature(before[here], fit_temperature(labels[~here], before[~here]))
    effect = _effect(labels, before, after, seed)
    on_test = None
    if len(task.test):
        on_test = _effect(task.labels[task.test], of_test, at_temperature(of_test, temperature), seed)
    better = effect.log_loss[1] < effect.log_loss[0]
    what = f"A temperature of {temperature:.2f} takes the log loss of {effect.examples:,} {held.kind} examples"
    reason = f"{what} from {effect.log_loss[0]:.4f} to {effect.log_loss[1]:.4f}" + (
        "." if better else ": it stays 1, the head was about as sure as it should be."
    )
    return Calibration(
        temperature if better else 1.0, "kept" if better else "not better", reason,
        held.kind, temperature, effect, on_test,
    )  # fmt: skip


def _effect(labels: np.ndarray, before: np.ndarray, after: np.ndarray, seed: int) -> Effect:
    n = len(labels)
    rng = np.random.default_rng(seed)
    drawn = draw(n, resamples(n), rng)
    losses = log_losses(labels, before), log_losses(labels, after)
    ece = []
    for probabilities in (before, after):
        value = float(expected_calibration_errors(labels, probabilities, np.ones((1, n)))[0])
        low, high = _bounds(expected_calibration_errors(labels, probabilities, drawn))
        ece.append((value, min(low, value), max(high, value)))  # as in metrics.interval: ECE is biased upwards
    return Effect(
        n, (float(losses[0].mean()), float(losses[1].mean())),
        _bounds(drawn @ (losses[0] - losses[1]) / n), (ece[0], ece[1]),
    )  # fmt: skip


def _bounds(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
