"""The old classes before and after a run was extended, on the same held-out examples.

For each class, the examples that only one of the two models gets right decide, by McNemar's exact test. Since there is
one test for each class, the p-values are corrected by Holm's method (S. Holm, Scandinavian Journal of Statistics 6,
1979).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.tasks import Task
from headstart.tasks.comparison import Comparison
from headstart.tasks.statistics import LEVEL, mcnemar, wilson

Share = tuple[float, float, float]
"""A share with its 95 % interval: (value, low, high)."""

_SPLIT_NAMES = {"test": "test", "val": "validation"}


@dataclass(frozen=True)
class ClassChange:
    """An old class before and after.

    Attributes:
        name: of the class.
        examples: number of held-out examples of the class that the old run had.
        before: recall on them; None if there are none.
        after: recall of the new model on them.
        fixed: number of examples that only the new model gets right, of those that the task compares for a class.
        regressed: number of examples that only the old model gets right.
        p_value: of McNemar's exact test, corrected for the number of classes.
        confused_with: the class that the new model predicts most often for the regressed examples; None if there is
            none.
        n_confused: number of those examples.
    """

    name: str
    examples: int
    before: Share | None
    after: Share | None
    fixed: int
    regressed: int
    p_value: float
    confused_with: str | None
    n_confused: int

    @property
    def outcome(self) -> str:
        """``better`` or ``worse`` if the difference is significant, else an empty string."""
        if self.p_value >= 1 - LEVEL:
            return ""
        return "worse" if self.regressed > self.fixed else "better"


@dataclass(frozen=True)
class ClassChanges:
    """All old examples before and after.

    Attributes:
        run: the run that was extended.
        split: ``test`` or ``val``: the held-out examples that are compared.
        overall: on all of them.
        classes: each old class.
        added_classes: the new classes.
        n_confused_with_added: number of old examples that only the old model gets right and that the new model predicts
            to be of an added class.
    """

    run: str
    split: str
    overall: Comparison
    classes: list[ClassChange]
    added_classes: list[str]
    n_confused_with_added: int

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for ``run.json``."""
        classes = [{**asdict(change), "outcome": change.outcome} for change in self.classes]
        return {**asdict(self), "overall": self.overall.to_dict(), "classes": classes, "verdict": self.verdict}

    @property
    def verdict(self) -> str:
        """In a sentence."""
        text = (
            f"on the {self.overall.examples:,} {_SPLIT_NAMES[self.split]} examples of {self.run}: "
            f"{self.overall.format_change()}"
        )
        if self.n_confused_with_added:
            text += f"; {self.n_confused_with_added} of the regressed are now predicted as an added class"
        if not self.overall.is_significant:
            return f"{text}: not significantly different"
        return f"{text}: significantly {'better' if self.overall.gain > 0 else 'worse'}"


def class_changes(
    dataset: Dataset,
    positions: np.ndarray,
    splits: np.ndarray,
    outputs: np.ndarray,
    thresholds: np.ndarray | None,
    *,
    seed: int = 0,
) -> ClassChanges | None:
    """Compare a model with that of the run whose data it extends.

    Args:
        dataset: all examples; the first classes are those of the earlier run.
        positions: int (n,), indices into it of the examples that were evaluated.
        splits: str (n,), their splits.
        outputs: of the new model.
        thresholds: of the new model, as :meth:`headstart.tasks.Task.choose_thresholds` gives them.
        seed: of the bootstrap.

    Returns:
        None if the data extend no run, or if nothing was held out.
    """
    task, earlier = dataset.task, dataset.earlier
    is_old = positions < dataset.settled
    split = next((split for split in ("test", "val") if (is_old & (splits == split)).any()), None)
    if earlier is None or split is None:
        return None
    rows = np.flatnonzero(is_old & (splits == split))
    labels, before, after = dataset.labels[positions[rows]], earlier.outputs[positions[rows]], outputs[rows]
    n_old = len(earlier.classes)
    predicted = task.decide(before, earlier.thresholds), task.decide(after, thresholds)
    changes = [_class_change(task, dataset.classes, number, labels, *predicted) for number in range(n_old)]
    corrected = holm([change.p_value for change in changes])
    was_right, confused_with = task.confusions(labels, predicted[0]) < 0, task.confusions(labels, predicted[1])
    return ClassChanges(
        run=earlier.run,
        split=split,
        overall=task.compare(labels, before, task.told_by_table(after, thresholds), seed=seed),
        classes=[replace(change, p_value=p) for change, p in zip(changes, corrected, strict=True)],
        added_classes=dataset.classes[n_old:],
        n_confused_with_added=int((was_right & (confused_with >= n_old)).sum()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's method, in the same order."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def _class_change(
    task: Task, classes: Sequence[str], number: int, labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> ClassChange:
    """The change of one class, with a p-value that is not yet corrected."""
    is_member = task.members(labels, number)
    is_right = [task.members(predicted, number) == is_member for predicted in (before, after)]
    compared = task.class_examples(labels, number)
    fixed, regressed = compared & ~is_right[0] & is_right[1], compared & is_right[0] & ~is_right[1]
    confused_with, n_confused = None, 0
    confused = task.confusions(labels[regressed], after[regressed])
    if (confused >= 0).any():
        counts = np.bincount(confused[confused >= 0])
        confused_with, n_confused = classes[int(counts.argmax())], int(counts.max())
    n_fixed, n_regressed = int(fixed.sum()), int(regressed.sum())
    return ClassChange(
        name=classes[number],
        examples=int(is_member.sum()),
        before=_share(is_right[0][is_member]),
        after=_share(is_right[1][is_member]),
        fixed=n_fixed,
        regressed=n_regressed,
        p_value=mcnemar(n_fixed, n_regressed),
        confused_with=confused_with,
        n_confused=n_confused,
    )


def _share(is_right: np.ndarray) -> Share | None:
    if not len(is_right):
        return None
    share = float(is_right.mean())
    return (share, *wilson(share, len(is_right)))
