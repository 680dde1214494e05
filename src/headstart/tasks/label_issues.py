"""Labels that look wrong, by confident learning.

Each example is judged by a model that was trained without it. The example counts as confidently of a class if the
probability of the class is at least its mean over the examples labelled with it. The number of examples of a class that
are confidently of another class estimates how many of its labels are wrong; that many are reported: those whose own
label has the smallest probability and is not the most probable.

Source: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 70, 2021.
"""

import numpy as np

MIN_EXAMPLES = 10
"""Examples that a class needs for its mean probability to be meaningful."""


def find_single_label_issues(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Examples that look as if they were of another class.

    Args:
        labels: int (n,).
        probabilities: float (n, classes), by a model that was trained without the example.

    Returns:
        Positions of the examples, int (k,), in order; and the most probable class of each, int (k,).
        Classes with fewer than :data:`MIN_EXAMPLES` examples have no issues.
    """
    of_label = probabilities[np.arange(len(labels)), labels]
    most_probable = probabilities.argmax(1)
    by_class = []
    for number, n_wrong in enumerate(_count_wrong_labels(labels, probabilities, of_label).tolist()):
        members = np.flatnonzero(labels == number)
        by_class.append(members[np.argsort(of_label[members], kind="stable")[:n_wrong]])
    positions = np.sort(np.concatenate(by_class))
    positions = positions[most_probable[positions] != labels[positions]]
    return positions, most_probable[positions]


def find_label_set_issues(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Examples that look as if they had other labels.

    Args:
        labels: 0 and 1 (n, classes).
        probabilities: float (n, classes), by a model that was trained without the example.

    Returns:
        Positions of the examples, int (k,), in order; the labels that each more likely has, 0 and 1 (k, classes); and
        the probability, float (k,), that the label that is most likely wrong is right.
    """
    suggested, of_label = labels.copy(), np.where(labels == 1, probabilities, 1 - probabilities)
    for column, probability, suggested_column in zip(labels.T, probabilities.T, suggested.T, strict=True):
        pair = np.stack([1 - probability, probability], 1)
        positions, classes = find_single_label_issues(column.astype(int), pair)
        suggested_column[positions] = classes
    is_issue = suggested != labels
    positions = np.flatnonzero(is_issue.any(1))
    return positions, suggested[positions], np.where(is_issue, of_label, 1)[positions].min(1)


def _count_wrong_labels(labels: np.ndarray, probabilities: np.ndarray, of_label: np.ndarray) -> np.ndarray:
    """Estimated number of wrong labels of each class, int (classes,): off the diagonal of the confident joint.

    Args:
        labels: int (n,).
        probabilities: float (n, classes).
        of_label: float (n,), the probability of the label.
    """
    n_classes = probabilities.shape[1]
    sizes = np.bincount(labels, minlength=n_classes)
    mean_probabilities = np.bincount(labels, of_label, minlength=n_classes) / np.maximum(sizes, 1)
    mean_probabilities[sizes < MIN_EXAMPLES] = np.inf
    confident = np.where(probabilities >= mean_probabilities, probabilities, -1.0)
    is_confident = confident.max(1) >= 0
    is_other = confident.argmax(1) != labels
    n_confident = np.bincount(labels[is_confident], minlength=n_classes)
    n_other = np.bincount(labels[is_confident & is_other], minlength=n_classes)
    share = np.where(sizes >= MIN_EXAMPLES, n_other / np.maximum(n_confident, 1), 0)
    return (share * sizes).round().astype(int)
