"""By which rule the script beside an export predicts, for every task and without a model."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from headstart.exporting.decisions import decision_rule
from headstart.runs.files import read_facts
from headstart.tasks import register_task, unregister_task
from headstart.tasks.single_label import SingleLabel

RUNS = Path(__file__).parents[1] / "files" / "runs"


class Cautious(SingleLabel):
    """Predicts the first class unless another one has a probability above .9."""

    name = "cautious"

    def decide(self, probabilities: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        return np.where(probabilities.max(1) > 0.9, probabilities.argmax(1), 0)


@pytest.fixture
def cautious() -> Iterator[str]:
    register_task(Cautious())
    yield Cautious.name
    unregister_task(Cautious.name)


@pytest.mark.parametrize(("run", "rule"), [("v2-images", "most probable"), ("v2-multi-label", "thresholds")])
def test_the_rules_of_the_tasks_of_headstart(run: str, rule: str) -> None:
    assert decision_rule(read_facts(RUNS / run)) == rule


def test_an_added_task_with_a_rule_of_its_own_has_none_of_them(cautious: str) -> None:
    assert decision_rule(read_facts(RUNS / "v2-images").replace(task=cautious)) is None
