"""How well features of a frozen base suit some labels, from few examples and without training anything.

LogME (You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021, arXiv
2102.11005): the logarithm of the evidence of a Bayesian linear model, p(y | F), at the prior precision alpha and noise
precision beta that make it largest. These are the fixed point of

    gamma = sum_i s_i / (s_i + alpha / beta)      alpha = gamma / |m|^2      beta = (n - gamma) / |F m - y|^2

where s_i are the eigenvalues of F^T F and m is the mean of the posterior (MacKay, "Bayesian interpolation", 1992).
"""

import numpy as np

from headstart.tasks import Task

_ITERATIONS = 50
_CONVERGED = 1e-3  # relative change of alpha / beta
_SMALLEST = 1e-9
_EXACT = 1e-4  # of the variance: labels that features fit better than so are not told apart any further


def log_evidence(features: np.ndarray, labels: np.ndarray, task: Task, n_classes: int) -> float:
    """LogME of features for labels: the larger, the better they suit them.

    Features are standardised and each class is regressed on as 0 and 1 around its mean, so that neither the scale of
    the features nor the share of a class matters.

    Args:
        features: float (n, d).
        labels: an array (n, …) as the task encodes them.
        task: what is predicted.
        n_classes: number of classes.

    Returns:
        The mean over the classes that some examples have and others do not, per example.
    """
    truth = np.stack([task.members(labels, number) for number in range(n_classes)], 1)
    truth = truth[:, truth.any(0) & ~truth.all(0)].astype(np.float64)
    truth = (truth - truth.mean(0)) / truth.std(0)
    z = features.astype(np.float64) - features.mean(0)
    z /= np.maximum(z.std(0), _SMALLEST)
    u, singular, _ = np.linalg.svd(z, full_matrices=False)
    is_significant = singular > _SMALLEST * singular[0]
    eigenvalues, along = np.square(singular[is_significant]), np.square(u[:, is_significant].T @ truth)
    return float(np.mean([_evidence(eigenvalues, column, len(features)) for column in along.T]))


def _evidence(eigenvalues: np.ndarray, along: np.ndarray, n: int) -> float:
    """Of one column of labels of variance 1.

    Args:
        eigenvalues: float (r,), of F^T F, those above 0: other directions say nothing, and their terms cancel.
        along: float (r,), squared lengths of the labels along its directions.
        n: examples.
    """
    beside = max(n - along.sum(), 0.0)  # what no direction reaches
    alpha = beta = ratio = 1.0
    for _ in range(_ITERATIONS):
        gamma = (eigenvalues / (eigenvalues + ratio)).sum()
        length = (eigenvalues * along / np.square(eigenvalues + ratio)).sum()
        missed = np.square(ratio / (eigenvalues + ratio)) @ along + beside
        alpha = gamma / max(length, _SMALLEST)
        beta = (n - gamma) / max(missed, n * _EXACT)
        before, ratio = ratio, alpha / beta
        if abs(ratio - before) <= _CONVERGED * before:
            break
    total = (
        n * np.log(beta / (2 * np.pi)) + len(eigenvalues) * np.log(alpha) - np.log(alpha + beta * eigenvalues).sum()
        - beta * missed - alpha * length
    )  # fmt: skip
    return 0.5 * float(total) / n
