import numpy as np
import pytest

from headstart.errors import InputError
from headstart.tasks import get_task
from headstart.tasks.outputs import softmax
from headstart.tasks.single_label.losses import log_losses
from headstart.training.head import linear
from headstart.training.head.lbfgs import minimise

SINGLE_LABEL = get_task("single-label")


def _blobs(n: int, dim: int, n_classes: int, *, seed: int = 0, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features with classes that overlap."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    centres = rng.normal(0, 1, (n_classes, dim))
    mix = rng.normal(0, 1, (dim, dim)) / np.sqrt(dim)
    return ((centres[labels] + rng.normal(0, spread, (n, dim))) @ mix + 3).astype(np.float32), labels


def _solve(features: np.ndarray, labels: np.ndarray, **options: object) -> linear.LinearHead:
    n_classes = int(labels.max()) + 1
    arguments = {
        "task": SINGLE_LABEL,
        "groups": np.arange(len(labels)),
        "class_weights": np.ones(n_classes),
        "seed": 0,
        **options,
    }
    return linear.solve(lambda indices: features[indices], np.arange(len(labels)), labels, n_classes, **arguments)


def _standardised(features: np.ndarray) -> np.ndarray:
    """As the head standardises them: variances are shrunk towards their mean."""
    n, variance = len(features), features.var(0)
    return (features - features.mean(0)) / np.sqrt((n * variance + 50 * variance.mean()) / (n + 50))


def test_the_solution_is_that_of_scikit_learn_with_the_same_l2() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = _blobs(600, 40, 4)
    head = _solve(features, labels)
    reference = LogisticRegression(C=1 / (head.l2 * len(labels)), tol=1e-8, max_iter=10_000)
    z = _standardised(features)
    expected = reference.fit(z, labels).predict_proba(z)
    logits = (features @ head.kernel + head.bias) * head.temperature
    actual = np.exp(logits - logits.max(1, keepdims=True))
    actual /= actual.sum(1, keepdims=True)
    assert np.abs(actual - expected).max() < 0.01


def test_multi_label_solutions_are_one_against_the_rest() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    features, classes = _blobs(600, 40, 4)
    labels = np.column_stack([classes == 0, classes >= 2, classes % 2 == 1, features[:, 0] > 4]).astype(np.uint8)
    options = {"task": get_task("multi-label"), "groups": np.arange(600), "class_weights": np.ones(4), "seed": 0}
    head = linear.solve(lambda indices: features[indices], np.arange(600), labels, 4, **options)
    reference = OneVsRestClassifier(LogisticRegression(C=1 / (head.l2 * 600), tol=1e-8, max_iter=10_000))
    z = _standardised(features)
    expected = reference.fit(z, labels).predict_proba(z)
    actual = 1 / (1 + np.exp(-(features @ head.kernel + head.bias)))
    assert np.abs(actual - expected).max() < 0.02
    assert np.abs(actual - expected).mean() < 0.002
    losses = {step["l2"]: step["log_loss"] for step in head.path}
    assert losses[head.l2] == pytest.approx(min(losses.values()), rel=2e-3)
    assert "accuracy" not in head.path[0]


def test_the_chosen_l2_has_the_lowest_held_out_loss() -> None:
    head = _solve(*_blobs(300, 60, 3))
    losses = {step["l2"]: step["log_loss"] for step in head.path}
    assert losses[head.l2] == pytest.approx(min(losses.values()), rel=2e-3)
    assert 1 < len(losses) <= len(linear.L2_GRID)


def test_out_of_fold_predictions_are_those_of_cross_validation() -> None:
    features, labels = _blobs(300, 60, 3)
    head = _solve(features, labels)
    assert head.out_of_fold is not None
    chosen = next(step["log_loss"] for step in head.path if step["l2"] == head.l2)
    assert chosen == pytest.approx(log_losses(labels, head.out_of_fold).mean())
    assert (head.out_of_fold.argmax(1) == labels).mean() < (
        (features @ head.kernel + head.bias).argmax(1) == labels
    ).mean()


def test_heads_on_few_examples_have_calibrated_confidence() -> None:
    """Strong regularisation finds the right direction with too little confidence, which the temperature corrects."""
    features, labels = _blobs(4000, 100, 2, spread=3)
    head = _solve(features[:30], labels[:30])
    weak = _solve(features[:30], labels[:30], l2_grid=(1e-3,))

    def loss(solved: linear.LinearHead) -> float:
        return float(log_losses(labels[30:], softmax(features[30:] @ solved.kernel + solved.bias)).mean())

    assert loss(head) < loss(weak) < np.log(2)
    assert loss(head) < 0.9 * float(
        log_losses(labels[30:], softmax((features[30:] @ head.kernel + head.bias) * head.temperature)).mean()
    )


def test_noise_is_regularised_more_than_signal() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    noise = rng.normal(0, 1, (200, 50)).astype(np.float32)
    signal = noise + labels[:, None] * 2
    assert _solve(noise, labels).l2 > _solve(signal, labels).l2


def test_copies_of_one_example_a_class_are_enough_to_train_on() -> None:
    """No example is left to evaluate on: l2 is 1."""
    features, labels = np.eye(2, 3, dtype=np.float32).repeat(5, axis=0), np.arange(2).repeat(5)
    head = _solve(features, labels, groups=labels)
    assert ((features @ head.kernel + head.bias).argmax(1) == labels).all()
    assert (head.l2, head.path) == (1.0, [])


def test_a_constant_feature_changes_nothing() -> None:
    features, labels = _blobs(200, 10, 2)
    with_constant = np.hstack([features, np.full((200, 1), 7, np.float32)])
    plain, padded = _solve(features, labels), _solve(with_constant, labels)
    assert np.abs(plain.kernel - padded.kernel[:10]).max() < 1e-3
    assert np.abs(padded.kernel[10]).max() < 1e-4


def test_from_disk_in_blocks_the_solution_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = _blobs(500, 30, 3)
    in_memory = _solve(features, labels, l2_grid=(0.1, 0.01))
    monkeypatch.setattr(linear, "MEMORY_BUDGET_BYTES", 0)
    monkeypatch.setattr(linear, "BLOCK_ROWS", 64)
    block_sizes: list[int] = []

    def rows(indices: np.ndarray) -> np.ndarray:
        block_sizes.append(len(indices))
        return features[indices]

    from_disk = linear.solve(
        rows, np.arange(500), labels, 3,
        task=SINGLE_LABEL, groups=np.arange(500), class_weights=np.ones(3), seed=0, l2_grid=(0.1, 0.01),
    )  # fmt: skip
    assert from_disk.l2 == in_memory.l2
    assert np.abs(from_disk.kernel - in_memory.kernel).max() < 5e-3
    assert sorted(block_sizes)[-2] <= 64  # except for the sample of the covariance, at most one block at a time


def test_class_weights_help_the_rare_class() -> None:
    features, labels = _blobs(600, 10, 2, spread=4)
    mask = (labels == 0) | (np.arange(600) % 8 == 0)
    features, labels = features[mask], labels[mask]
    counts = np.bincount(labels)

    def recall_of_rare(weights: np.ndarray) -> float:
        head = _solve(features, labels, class_weights=weights)
        return float(((features @ head.kernel + head.bias).argmax(1) == 1)[labels == 1].mean())

    assert recall_of_rare(len(labels) / (2 * counts)) > recall_of_rare(np.ones(2)) + 0.1


def test_the_same_seed_gives_the_same_head() -> None:
    features, labels = _blobs(150, 20, 3)
    first, second = _solve(features, labels, seed=3), _solve(features, labels, seed=3)
    assert np.array_equal(first.kernel, second.kernel)
    assert first.path == second.path


def test_features_that_are_not_numbers_are_refused() -> None:
    features, labels = _blobs(50, 5, 2)
    features[3, 2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        _solve(features, labels)


def test_lbfgs_finds_the_minimum_of_a_badly_scaled_quadratic() -> None:
    scales = np.geomspace(1, 1e4, 30)
    target = np.linspace(-1, 1, 30)

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(0.5 * (scales * (x - target) ** 2).sum()), scales * (x - target)

    assert np.abs(minimise(objective, np.zeros(30), tolerance=1e-8) - target).max() < 1e-4


def test_lbfgs_stops_where_it_starts_at_a_minimum() -> None:
    calls = []

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        calls.append(1)
        return float(x @ x), 2 * x

    assert not minimise(objective, np.zeros(3), tolerance=1e-3).any()
    assert len(calls) == 1
