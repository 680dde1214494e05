"""Examples whose label is probably wrong, found by confident learning with a head that was solved without them.

The method is in :mod:`headstart.tasks.label_issues`: confident learning with "prune by class", which found most of the
labels that were made wrong in five data sets. The package of its authors, cleanlab, finds the same, as
benchmarks/label_errors.py shows. It brings pandas and scikit-learn, whose import takes longer than a whole run whose
features are cached.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.tasks import Task
from headstart.training import Head, TrainingData


@dataclass(frozen=True)
class LabelIssues:
    """Examples whose label looks wrong, the most likely first.

    Attributes:
        indices: int (k,), into the data set.
        suggested: the labels that they more likely have, an array (k, …) as the task encodes them.
        probability: float (k,), of the label being wrong, by a head that was trained without the example.
        label_probability: float (k,), of the label being right, by the same head.
        examined: number of examples whose labels were examined.
    """

    indices: np.ndarray
    suggested: np.ndarray
    probability: np.ndarray
    label_probability: np.ndarray
    examined: int

    def __len__(self) -> int:
        return len(self.indices)


def find_label_issues(data: TrainingData, head: Head) -> LabelIssues:
    """Examine the labels of the training and validation examples, but not those of the test examples.

    A model that is tested on labels which were corrected by its own predictions looks better than it is.

    Args:
        data: the examples.
        head: solved on their features, with ``out_of_fold``.

    Raises:
        ValueError: the head has no probabilities out of fold.
    """
    if head.out_of_fold is None:
        raise ValueError("label issues are found by a solved head, which has probabilities out of fold")
    examined = np.concatenate([data.train, data.val])
    probabilities = np.concatenate([head.out_of_fold, head.over(data.features, data.val)])
    return examine_labels(data.task, data.labels[examined], probabilities, examined)


def examine_labels(task: Task, labels: np.ndarray, outputs: np.ndarray, indices: np.ndarray) -> LabelIssues:
    """Examine the labels of examples that a model was not trained on.

    Args:
        task: of the labels.
        labels: of n examples, encoded.
        outputs: of the model for them.
        indices: of the examples in the data set, int (n,).
    """
    positions, suggested, of_wrong, of_label = task.find_label_issues(labels, outputs)
    order = np.argsort(of_label, kind="stable")
    return LabelIssues(
        indices[positions][order], suggested[order], of_wrong[order], of_label[order], examined=len(indices)
    )


def join_issues(parts: Sequence[LabelIssues]) -> LabelIssues:
    """Label issues of several sets of examples together, the most likely first.

    Args:
        parts: at least one.
    """
    names = ("indices", "suggested", "probability", "label_probability")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    order = np.argsort(joined["label_probability"], kind="stable")
    sorted_values = {name: values[order] for name, values in joined.items()}
    return LabelIssues(**sorted_values, examined=sum(part.examined for part in parts))
