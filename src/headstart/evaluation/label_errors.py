"""Examples whose label is probably wrong, found by confident learning.

Each example is judged by a head that was solved without it. It counts as confidently of a class if the probability of
that class is at least what it is on average among the examples that are labelled so. From how many of those with a
label are confidently of another class follows how many of these labels are wrong. Suspected are that many examples of
each class: those to which the head gives the smallest probability of what they are labelled, and another class first.

Where an example may have any number of labels, each label is a problem of its own: has the example got it or not?

Source: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 70, 2021,
arXiv 1911.00068, with "prune by class", which found most where labels of five data sets were made wrong. The authors'
package, cleanlab, finds the same, as benchmarks/label_errors.py shows. It brings pandas and scikit-learn, whose import
takes longer than all of a run whose features are cached.
"""

from dataclasses import dataclass

import numpy as np

from headstart.data.labels import is_multi_label
from headstart.training import Head, TrainingData

FEWEST = 10
"""Examples that a class must have for its mean probability to say anything."""


@dataclass(frozen=True)
class LabelIssues:
    """Examples whose label is suspected, the surest first.

    Attributes:
        indices: int (k,), into the data set.
        suggested: int (k,), the class that it rather is; or uint8 (k, classes), the labels that it rather has.
        probability: float (k,), of that class, by a head that was trained without the example; of several labels, of
            that one being wrong which is likeliest to be.
        label_probability: float (k,), of the class that it is labelled with, by the same; of several labels, of that
            one being right.
        examined: how many examples were looked at.
    """

    indices: np.ndarray
    suggested: np.ndarray
    probability: np.ndarray
    label_probability: np.ndarray
    examined: int

    def __len__(self) -> int:
        return len(self.indices)


def find_label_errors(task: TrainingData, head: Head) -> LabelIssues:
    """Look at the labels of the training and validation examples; those of the test examples are left as they are.

    Whoever mends the labels that a model doubts in the data that it is judged by makes its figures better than it is.

    Args:
        task: the examples.
        head: solved on its features, with ``out_of_fold``.
    """
    if head.out_of_fold is None:
        raise ValueError("label errors are found by a solved head, which has probabilities out of fold")
    examined = np.concatenate([task.train, task.val])
    probabilities = np.concatenate([head.out_of_fold, head.over(task.features, task.val)])
    labels = task.labels[examined]
    if is_multi_label(labels):
        positions, suggested, of_label = _suspected_sets(labels, probabilities)
        of_suggested = 1 - of_label
    else:
        positions, suggested = suspected(labels, probabilities)
        of_suggested, of_label = probabilities[positions, suggested], probabilities[positions, labels[positions]]
    order = np.argsort(of_label, kind="stable")
    return LabelIssues(
        examined[positions][order], suggested[order], of_suggested[order], of_label[order], examined=len(examined)
    )


def suspected(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Examples that look as if they were of another class than they are labelled.

    Args:
        labels: int (n,).
        probabilities: float (n, classes), by what was trained without the example.

    Returns:
        Positions of the examples, int (k,), in order; and the most probable class of each, int (k,).
        Examples of classes with fewer than :data:`FEWEST` are not suspected.
    """
    own = probabilities[np.arange(len(labels)), labels]
    likeliest = probabilities.argmax(1)
    found = []
    for i, n_wrong in enumerate(_wrong_labels(labels, probabilities, own).tolist()):
        mine = np.flatnonzero(labels == i)
        found.append(mine[np.argsort(own[mine], kind="stable")[:n_wrong]])
    positions = np.sort(np.concatenate(found))
    positions = positions[likeliest[positions] != labels[positions]]
    return positions, likeliest[positions]


def _suspected_sets(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Examples that look as if they had other labels than they are given.

    Args:
        labels: 0 and 1 (n, classes).
        probabilities: float (n, classes), by what was trained without the example.

    Returns:
        Positions of the examples, int (k,), in order; the labels that each rather has, 0 and 1 (k, classes); and the
        probability that the one of them that is most in doubt is right, float (k,).
    """
    rather, of_label = labels.copy(), np.where(labels == 1, probabilities, 1 - probabilities)
    for given, probability, column in zip(labels.T, probabilities.T, rather.T, strict=True):
        positions, suggested = suspected(given.astype(int), np.stack([1 - probability, probability], 1))
        column[positions] = suggested
    in_doubt = rather != labels
    positions = np.flatnonzero(in_doubt.any(1))
    return positions, rather[positions], np.where(in_doubt, of_label, 1)[positions].min(1)


def _wrong_labels(labels: np.ndarray, probabilities: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How many labels of each class are wrong, int (classes,): off the diagonal of the confident joint.

    Args:
        labels: int (n,).
        probabilities: float (n, classes).
        own: float (n,), of these the one of the label.
    """
    n_classes = probabilities.shape[1]
    sizes = np.bincount(labels, minlength=n_classes)
    usual = np.bincount(labels, own, minlength=n_classes) / np.maximum(sizes, 1)
    usual[sizes < FEWEST] = np.inf
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    there = confident.max(1) >= 0
    is_other = confident.argmax(1) != labels
    counted = np.bincount(labels[there], minlength=n_classes)
    others = np.bincount(labels[there & is_other], minlength=n_classes)
    share = np.where(sizes >= FEWEST, others / np.maximum(counted, 1), 0)
    return (share * sizes).round().astype(int)
