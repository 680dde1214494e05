"""How a task turns probabilities into an answer, as far as a script without headstart can do the same."""

from typing import Literal

import numpy as np

from headstart.runs.schema import RunFacts
from headstart.tasks import classification_task, get_task

Rule = Literal["most probable", "thresholds", "boxes"]

_TRIALS = 1000


def decision_rule(facts: RunFacts) -> Rule | None:
    """The rule by which a run predicts.

    A package may register a task with any rule. So the decisions of the task are compared with those of each rule, on
    random probabilities.

    Args:
        facts: the run's ``run.json``.

    Returns:
        ``most probable``: always the one class with the highest probability; ``thresholds``: all classes that reach
        their threshold; ``boxes``: all boxes whose score does; None if it is another rule.
    """
    if get_task(facts.task).has_boxes:
        return "boxes"
    task, classes, rng = classification_task(get_task(facts.task)), facts.classes, np.random.default_rng(0)
    n = len(classes)
    thresholds = np.array([facts.thresholds[name] for name in classes]) if facts.thresholds else None
    shape = (_TRIALS, n)
    probabilities = rng.dirichlet(np.ones(n), _TRIALS) if task.activation == "softmax" else rng.random(shape)
    decided = [set(task.names(label, classes)) for label in task.decide(probabilities, thresholds)]
    if decided == [{classes[number]} for number in probabilities.argmax(1)]:
        return "most probable"
    if thresholds is None:
        return None
    reached = [{classes[number] for number in np.flatnonzero(row)} for row in probabilities >= thresholds]
    return "thresholds" if decided == reached else None
