"""Whether one classifier is better than another: paired tests on the same examples.

Two classifiers judged on the same examples share most of their luck, so what counts are the examples on which they
differ. Accuracy: McNemar's exact test on the examples that only one of them gets right (Q. McNemar, Psychometrika 12,
1947; Dietterich, Neural Computation 10, 1998). Log loss: the bootstrap over examples of the paired differences, which
also sees confidence and so tells smaller gains apart. Where examples have any number of labels, mean average precision
takes the place of accuracy: it needs no thresholds. Its gain is judged by the same bootstrap.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.config import Keep
from headstart.data.labels import is_multi_label
from headstart.evaluation.metrics import LEVEL, resamples
from headstart.evaluation.multi_label import DEFAULT_THRESHOLD, LabelTable, resamples_of_labels
from headstart.training import CrossValidated, FineTuneResult, Head, NotTried, SearchResult, TrainingData
from headstart.training.outputs import log_losses, wrong

_FINE_TUNING = "On {} validation examples fine-tuning"
_SEARCH = "On {} validation examples, which had no part in the search, the head that it found"


@dataclass(frozen=True)
class Comparison:
    """A first classifier against a second one, on n examples.

    Attributes:
        examples: n.
        accuracy: of the first and of the second.
        log_loss: likewise.
        mended: examples that only the second gets right.
        broken: examples that only the first gets right.
        p_value: of McNemar's exact test, two-sided: how often luck alone would give a difference like this.
        accuracy_gain: (low, high), 95 % interval of the second's accuracy minus the first's.
        loss_gain: (low, high), 95 % interval of the first's log loss minus the second's.
    """

    examples: int
    accuracy: tuple[float, float]
    log_loss: tuple[float, float]
    mended: int
    broken: int
    p_value: float
    accuracy_gain: tuple[float, float]
    loss_gain: tuple[float, float]

    @property
    def favours_second(self) -> bool:
        """Whether the second is better beyond luck.

        It must be right more often, and either that or its log loss must be significant. A lower log loss alone does
        not count: on validation data the second was stopped where just this loss was least.
        """
        return self.mended > self.broken and (self.p_value < 1 - LEVEL or self.loss_gain[0] > 0)

    @property
    def leans_to_second(self) -> bool:
        """Whether both figures speak for the second: all that can be asked of a few dozen examples.

        Asking for significance there would leave most gains unused: in three draws of 8 examples of each class of AG
        News, cross-validation saw gains of 3, 13 and 19 points, and only the last was significant.
        """
        return self.mended > self.broken and self.log_loss[1] < self.log_loss[0]

    def verdict(self, where: str = _FINE_TUNING, *, few: bool = False) -> str:
        """What the test says, in a sentence or two.

        Args:
            where: they begin with this and the number of examples in it.
            few: whether the examples are so few that they cannot prove a gain.
        """
        first, second = self.accuracy
        low, high = (100 * bound for bound in self.accuracy_gain)
        text = (
            f"{where.format(f'{self.examples:,}')} takes the accuracy from {first:.1%} to {second:.1%} "
            f"(difference {100 * (second - first):+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}; {self.mended} "
            f"mended, {self.broken} broken, p = {self.p_value:.2g}) and the log loss from {self.log_loss[0]:.3f} to "
            f"{self.log_loss[1]:.3f}."
        )
        if few and self.leans_to_second and not self.favours_second:
            return text + " So few examples prove no gain, but both figures speak for it."
        return text + (" That is more than luck." if self.favours_second else " That is no proof of a gain.")


@dataclass(frozen=True)
class LabelComparison:
    """A first classifier against a second one, on n examples that have any number of labels.

    Attributes:
        examples: n.
        mean_average_precision: of the first and of the second.
        log_loss: likewise.
        precision_gain: (low, high), 95 % interval of the second's mean average precision minus the first's.
        loss_gain: (low, high), 95 % interval of the first's log loss minus the second's.
    """

    examples: int
    mean_average_precision: tuple[float, float]
    log_loss: tuple[float, float]
    precision_gain: tuple[float, float]
    loss_gain: tuple[float, float]

    @property
    def favours_second(self) -> bool:
        """Whether the second has the higher mean average precision, and this or its log loss is better beyond luck."""
        first, second = self.mean_average_precision
        return second > first and (self.precision_gain[0] > 0 or self.loss_gain[0] > 0)

    def verdict(self, where: str = _FINE_TUNING) -> str:
        """What the test says, in a sentence or two; ``where`` as for :meth:`Comparison.verdict`."""
        (first, second), (low, high) = self.mean_average_precision, self.precision_gain
        text = (
            f"{where.format(f'{self.examples:,}')} takes the mean average precision from {first:.3f} "
            f"to {second:.3f} (difference {second - first:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}) and the log "
            f"loss from {self.log_loss[0]:.3f} to {self.log_loss[1]:.3f}."
        )
        return text + (" That is more than luck." if self.favours_second else " That is no proof of a gain.")


@dataclass(frozen=True)
class Verdict:
    """Whether a fine-tuned model replaces the head alone, or a head that was searched for the usual one.

    Attributes:
        outcome: ``kept``, ``not better`` or ``not tried``.
        reason: in a sentence or two.
        on_folds: head alone against fine-tuned in cross-validation on the training examples; where there is one, it
            decides.
        on_val: head alone against fine-tuned on the validation examples, which decides else.
        on_test: likewise on the test examples, which have no say.
    """

    outcome: Literal["kept", "not better", "not tried"]
    reason: str
    on_folds: Comparison | None = None
    on_val: Comparison | LabelComparison | None = None
    on_test: Comparison | LabelComparison | None = None


def judge(task: TrainingData, head: Head, tuned: FineTuneResult | NotTried, *, keep: Keep, seed: int = 0) -> Verdict:
    """Decide between the head alone and the fine-tuned model.

    Args:
        task: the examples.
        head: trained on the features of the frozen base.
        tuned: what fine-tuning made of both.
        keep: ``better`` asks for proof of a gain, or, where cross-validation on few examples judges, for gains in
            accuracy and log loss; ``fine-tuned`` asks for nothing.
        seed: of the bootstrap.
    """
    if isinstance(tuned, NotTried):
        return Verdict("not tried", tuned.reason)
    if isinstance(tuned.held_out, CrossValidated):
        on_folds = compare(task.labels[task.train], *tuned.held_out, seed=seed)
        reason = on_folds.verdict("Cross-validated on the {} training examples, contrastive fine-tuning", few=True)
        return Verdict(*_decide(on_folds.leans_to_second, reason, keep), on_folds=on_folds)
    held = np.concatenate([task.val, task.test])
    before, after = head.over(task.features, held), tuned.head.over(tuned.held_out, np.arange(len(held)))
    on_val, on_test = _on_both(task, before, after, seed)
    return Verdict(*_decide(on_val.favours_second, on_val.verdict(), keep), on_val=on_val, on_test=on_test)


def judge_found(task: TrainingData, head: Head, found: SearchResult, *, seed: int = 0) -> Verdict:
    """Decide between the usual head and the best one of a search; see :func:`judge`."""
    held = np.concatenate([task.val, task.test])
    on_val, on_test = _on_both(task, head.over(task.features, held), found.head.over(found.features, held), seed)
    decision = _decide(on_val.favours_second, on_val.verdict(_SEARCH), "better")
    return Verdict(*decision, on_val=on_val, on_test=on_test)


def _on_both(
    task: TrainingData, before: np.ndarray, after: np.ndarray, seed: int
) -> tuple[Comparison | LabelComparison, Comparison | LabelComparison | None]:
    """Two classifiers compared on the validation and on the test examples, whose probabilities stand in this order."""
    n_val, against = len(task.val), compare_labels if is_multi_label(task.labels) else compare
    on_val = against(task.labels[task.val], before[:n_val], after[:n_val], seed=seed)
    on_test = against(task.labels[task.test], before[n_val:], after[n_val:], seed=seed) if len(task.test) else None
    return on_val, on_test


def _decide(is_better: bool, reason: str, keep: Keep) -> tuple[Literal["kept", "not better"], str]:
    if is_better:
        return "kept", reason
    if keep == "fine-tuned":
        return "kept", f"{reason} It was kept all the same (--keep fine-tuned)."
    return "not better", reason


def compare(labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> Comparison:
    """Compare two classifiers on the same examples.

    Args:
        labels: int (n,), true classes.
        first: probabilities (n, classes) of one.
        second: likewise, of the other.
        seed: of the bootstrap.
    """
    n = len(labels)
    right = [~wrong(labels, probabilities) for probabilities in (first, second)]
    losses = [log_losses(labels, probabilities) for probabilities in (first, second)]
    more, less = right[1].astype(float) - right[0], losses[0] - losses[1]
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.integers(n, size=n) for _ in range(resamples(n))])
    mended, broken = int((more > 0).sum()), int((more < 0).sum())
    return Comparison(
        examples=n,
        accuracy=(float(right[0].mean()), float(right[1].mean())),
        log_loss=(float(losses[0].mean()), float(losses[1].mean())),
        mended=mended,
        broken=broken,
        p_value=mcnemar(mended, broken),
        accuracy_gain=_interval(more[drawn].mean(1)),
        loss_gain=_interval(less[drawn].mean(1)),
    )


def compare_labels(labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> LabelComparison:
    """Compare two classifiers on the same multi-label data.

    Args:
        labels: 0 and 1 (n, k).
        first: probabilities (n, k) of one.
        second: likewise, of the other.
        seed: of the bootstrap.
    """
    n, thresholds = len(labels), np.full(labels.shape[1], DEFAULT_THRESHOLD)
    tables = [LabelTable(labels, probabilities, thresholds) for probabilities in (first, second)]

    def figures(weights: np.ndarray) -> np.ndarray:
        of_both = [table.figures(weights) for table in tables]
        return np.array([[float(one[name]) for one in of_both] for name in ("mean_average_precision", "log_loss")])

    rng = np.random.default_rng(seed)
    draws = range(resamples_of_labels(labels))
    drawn = np.stack([figures(np.bincount(rng.integers(n, size=n), minlength=n)) for _ in draws])
    scores, losses = figures(np.ones(n)).tolist()
    return LabelComparison(
        examples=n,
        mean_average_precision=(scores[0], scores[1]),
        log_loss=(losses[0], losses[1]),
        precision_gain=_interval(drawn[:, 0, 1] - drawn[:, 0, 0]),
        loss_gain=_interval(drawn[:, 1, 0] - drawn[:, 1, 1]),
    )


def mcnemar(mended: int, broken: int) -> float:
    """Two-sided p-value of McNemar's exact test: under luck alone, each differing example falls either way."""
    n, k = mended + broken, min(mended, broken)
    tail = sum(math.comb(n, i) for i in range(k + 1))
    return min(1.0, 2 * tail / 2**n)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
