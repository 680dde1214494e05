from pathlib import Path

import numpy as np
import pytest

from headstart.data.dataset import Dataset, EarlierRun
from headstart.data.modalities import IMAGE
from headstart.evaluation.class_changes import class_changes, holm
from headstart.tasks import get_task


def test_a_class_that_is_taken_for_a_new_one_got_worse() -> None:
    """60 old test examples of two classes, 10 old training ones, and 30 of a new class."""
    labels = np.repeat([0, 1, 0, 2], [40, 20, 10, 30])
    before = np.eye(2)[np.minimum(labels[:70], 1)]
    before[[40, 41]] = [1, 0]  # two of the second class were wrong
    said = labels.copy()
    said[:12] = 2  # now twelve of the first are taken for the new one, and all of the second are right
    dataset = Dataset(
        "old + new", Path(), [str(i) for i in range(100)], ["a", "b", "c"], labels, get_task("single-label"),
        earlier=EarlierRun("runs/old", ["a", "b"], before),
        modality=IMAGE, examples=[],
    )  # fmt: skip
    sides = np.repeat(["test", "train", "test"], [60, 10, 30])
    change = class_changes(dataset, np.arange(100), sides, np.eye(3)[said], None)
    assert change is not None
    assert (change.split, change.added_classes, change.n_confused_with_added) == ("test", ["c"], 12)
    assert change.overall.value == pytest.approx((58 / 60, 48 / 60))
    worse, same = change.classes
    assert (worse.examples, worse.fixed, worse.regressed, worse.outcome) == (40, 0, 12, "worse")
    assert (worse.confused_with, worse.n_confused) == ("c", 12)
    assert worse.p_value == pytest.approx(2 * 2 / 2**12)  # of two classes
    assert (worse.before[0], worse.after[0]) == (1, 0.7)
    assert (same.fixed, same.regressed, same.confused_with, same.outcome) == (2, 0, None, "")
    assert change.verdict.endswith(
        "2 fixed, 12 regressed, p = 0.013); 12 of the regressed are now predicted as an added class: "
        "significantly worse"
    )
    assert class_changes(dataset, np.arange(100), np.full(100, "train"), np.eye(3)[said], None) is None


def test_p_values_are_corrected_step_by_step() -> None:
    """By hand: 4 times 0.005, 3 times 0.01, 2 times 0.03, and no less than that."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert holm([]) == []
