"""Small networks in NumPy, on the digits that come with scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from headstart.tasks import get_task
from headstart.tasks.outputs import sigmoid
from headstart.training.head.networks import NetworkConfig, Networks, cross_validate, train

SINGLE_LABEL = get_task("single-label")

CONFIG = NetworkConfig(units=(32,), dropout=0.1, noise=0.1, weight_decay=0.01, learning_rate=3e-3)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Features (800, 64) with a standard deviation of 1, and whether a digit is odd, which is not linear in them."""
    rows, labels = load_digits(return_X_y=True)
    rows = (rows - rows.mean(0)) / rows.std()
    return rows[:800].astype(np.float32), labels[:800] % 2


def test_a_hidden_layer_learns_what_a_linear_head_cannot(digits: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = digits
    fold, weights = np.arange(len(rows)) % 3, np.ones(len(rows))
    losses = {}
    for units in ((), (32,)):
        config = NetworkConfig(units, dropout=0.1, noise=0.1, weight_decay=0.01, learning_rate=3e-3)
        losses[units], epochs = cross_validate(
            config, rows[None], labels, 2, fold, weights, task=SINGLE_LABEL, epochs=40, patience=5, seed=0
        )
        assert 1 <= epochs <= 40
    assert losses[(32,)] < 0.5 * losses[()]


def test_a_network_is_not_trained_on_the_fold_that_evaluates_it(digits: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = digits
    fold = np.arange(len(rows)) % 3
    used = (fold[None] != np.arange(3)[:, None]).astype(float)
    wrong_labels = np.where(fold == 1, 1 - labels, labels)
    trained = []
    for truth in (labels, wrong_labels):
        networks = Networks(CONFIG, rows.shape[1], truth, 2, task=SINGLE_LABEL, weights=used, seed=0)
        networks.epoch(rows.__getitem__)
        trained.append(networks)
    same = [np.array_equal(trained[0].layers(k)[0][0], trained[1].layers(k)[0][0]) for k in range(3)]
    assert same == [False, True, False]


def test_multi_label_data_have_a_probability_for_each_label(digits: tuple[np.ndarray, np.ndarray]) -> None:
    rows, is_odd = digits
    task = get_task("multi-label")
    labels = np.column_stack([is_odd, load_digits().target[:800] > 4]).astype(int)
    (kernel, bias), (last, last_bias) = train(
        CONFIG, rows[None], labels, 2, np.ones(len(rows)), task=task, epochs=20, seed=0
    )
    probabilities = sigmoid(np.maximum(rows @ kernel + bias, 0) @ last + last_bias)
    assert task.log_losses(labels, probabilities).mean() < 0.15
    assert probabilities.sum(1).max() > 1.5


def test_all_versions_are_trained_on_and_the_first_is_evaluated(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """Mirrored digits look different, so training on them as well does not help with the original ones."""
    rows, labels = digits
    mirrored = rows.reshape(-1, 8, 8)[:, :, ::-1].reshape(rows.shape)
    fold, weights = np.arange(len(rows)) % 3, np.ones(len(rows))
    options = {"task": SINGLE_LABEL, "epochs": 30, "patience": 30, "seed": 0}
    plain, _ = cross_validate(CONFIG, rows[None], labels, 2, fold, weights, **options)
    both, _ = cross_validate(CONFIG, np.stack([rows, mirrored]), labels, 2, fold, weights, **options)
    mirrored_first, _ = cross_validate(CONFIG, np.stack([mirrored, rows]), labels, 2, fold, weights, **options)
    assert plain < both < 3 * plain
    assert mirrored_first != both
