"""What became of the old classes when a run was extended: judged on the same held-out examples before and after.

Of each class, the examples that only one of the two models gets right decide, by McNemar's exact test. As there is a
test for each class, the p-values are corrected by Holm's method (S. Holm, Scandinavian Journal of Statistics 6, 1979).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.labels import has, is_multi_label
from headstart.evaluation.compare import Comparison, LabelComparison, compare, compare_labels, mcnemar
from headstart.evaluation.metrics import LEVEL, wilson

Share = tuple[float, float, float]
"""A share with its 95 % interval: (value, low, high)."""


@dataclass(frozen=True)
class ClassChange:
    """An old class before and after.

    Attributes:
        name: of the class.
        examples: held-out ones of this class (of multi-label data those with the label) that were there before.
        before: recall on them; None where there are none.
        after: likewise.
        mended: examples that only the new model gets right; of multi-label data also those without the label.
        broken: examples that only the old one gets right.
        p_value: of McNemar's exact test, corrected for the number of classes.
        taken_for: what most of the broken ones are taken for now; None where there are none.
        taken: how many of them.
    """

    name: str
    examples: int
    before: Share | None
    after: Share | None
    mended: int
    broken: int
    p_value: float
    taken_for: str | None
    taken: int

    @property
    def outcome(self) -> str:
        """``better`` or ``worse`` beyond luck, or an empty string."""
        if self.p_value >= 1 - LEVEL:
            return ""
        return "worse" if self.broken > self.mended else "better"


@dataclass(frozen=True)
class Change:
    """Old examples before and after.

    Attributes:
        run: the run that was extended.
        side: ``test`` or ``val``: what is compared.
        overall: all of its old examples.
        classes: every old class.
        added: classes that are new.
        taken_for_added: how many of the old examples that only the old model got right are taken for a new class now.
    """

    run: str
    side: str
    overall: Comparison | LabelComparison
    classes: list[ClassChange]
    added: list[str]
    taken_for_added: int

    def facts(self) -> dict[str, Any]:
        """What ``run.json`` says."""
        classes = [{**asdict(one), "outcome": one.outcome} for one in self.classes]
        return {**asdict(self), "classes": classes, "verdict": self.verdict}

    @property
    def verdict(self) -> str:
        """In a sentence."""
        one = self.overall
        if isinstance(one, LabelComparison):
            (before, after), (low, high) = one.mean_average_precision, one.precision_gain
            what, form, scale, beyond = "mean average precision", ".3f", 1, low > 0 or high < 0
            counts = ""
        else:
            (before, after), (low, high) = one.accuracy, one.accuracy_gain
            what, form, scale, beyond = "accuracy", ".1%", 100, one.p_value < 1 - LEVEL
            new = f", {self.taken_for_added} of them now taken for a new class" if self.taken_for_added else ""
            counts = f"; {one.mended} mended, {one.broken} broken{new}, p = {one.p_value:.2g}"
        digits, gain = "+.1f" if scale == 100 else "+.3f", scale * (after - before)
        told = (
            f"on the {one.examples:,} {_SIDES[self.side]} examples that {self.run} was judged by: {what} "
            f"{before:{form}} before, {after:{form}} after (difference {gain:{digits}}, 95 % interval "
            f"{scale * low:{digits}} to {scale * high:{digits}}{counts})"
        )
        if not beyond:
            return f"{told}: no more than luck"
        return f"{told}: {'better' if after > before else 'worse'} beyond luck"


_SIDES = {"test": "test", "val": "validation"}


def change_since(
    dataset: Dataset,
    positions: np.ndarray,
    sides: np.ndarray,
    probabilities: np.ndarray,
    thresholds: np.ndarray | None,
    *,
    seed: int = 0,
) -> Change | None:
    """Compare a model with that of the run which its data extend; None where they extend none, or nothing was held out.

    Args:
        dataset: all examples; the first classes are those of the earlier run.
        positions: int (n,), indices into it of the examples that were evaluated.
        sides: str (n,), their sides.
        probabilities: float (n, classes), of the new model.
        thresholds: of the new model, as in :class:`~headstart.data.dataset.EarlierRun`.
        seed: of the bootstrap.
    """
    earlier = dataset.earlier
    old = positions < dataset.settled
    side = next((side for side in ("test", "val") if (old & (sides == side)).any()), None)
    if earlier is None or side is None:
        return None
    at = np.flatnonzero(old & (sides == side))
    labels, before, after = dataset.labels[positions[at]], earlier.probabilities[positions[at]], probabilities[at]
    said = [_said(before, earlier.thresholds), _said(after, thresholds)]
    against = compare_labels if is_multi_label(labels) else compare
    n_old = len(earlier.classes)
    changes = [_of_class(dataset.classes, number, labels, *said) for number in range(n_old)]
    corrected = holm([one.p_value for one in changes])
    return Change(
        run=earlier.run,
        side=side,
        overall=against(labels, before, after, seed=seed),
        classes=[replace(one, p_value=p) for one, p in zip(changes, corrected, strict=True)],
        added=dataset.classes[n_old:],
        taken_for_added=0 if is_multi_label(labels) else int(((said[0] == labels) & (said[1] >= n_old)).sum()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's method, in the same order."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def _said(probabilities: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    """Answers in the form of labels."""
    return probabilities.argmax(1) if thresholds is None else (probabilities >= thresholds).astype(np.uint8)


def _of_class(
    classes: Sequence[str], number: int, labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> ClassChange:
    """One class, its p-value not yet corrected."""
    mine = has(labels, number)
    right = [has(said, number) == mine for said in (before, after)]
    judged = np.ones_like(mine) if is_multi_label(labels) else mine
    mended, broken = judged & ~right[0] & right[1], judged & right[0] & ~right[1]
    taken_for, taken = None, 0
    if broken.any() and not is_multi_label(labels):
        counts = np.bincount(after[broken], minlength=len(classes))
        taken_for, taken = classes[int(counts.argmax())], int(counts.max())
    n_mended, n_broken = int(mended.sum()), int(broken.sum())
    return ClassChange(
        name=classes[number],
        examples=int(mine.sum()),
        before=_share(right[0][mine]),
        after=_share(right[1][mine]),
        mended=n_mended,
        broken=n_broken,
        p_value=mcnemar(n_mended, n_broken),
        taken_for=taken_for,
        taken=taken,
    )


def _share(right: np.ndarray) -> Share | None:
    if not len(right):
        return None
    share = float(right.mean())
    return (share, *wilson(share, len(right)))
