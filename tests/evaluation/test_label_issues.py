import numpy as np

from headstart.config import HeadConfig
from headstart.evaluation.label_issues import find_label_issues
from headstart.tasks import get_task
from headstart.tasks.label_issues import MIN_EXAMPLES, find_single_label_issues
from headstart.training import TrainingData, fit_head


class _Rows:
    """Features in memory, as a cache gives them."""

    key = "digits"

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.digests = values, [row.tobytes() for row in values]

    def rows(self, indices: np.ndarray) -> np.ndarray:
        return self.values[indices]


def test_planted_errors_are_found_in_training_and_validation_examples(tmp_path) -> None:
    from sklearn.datasets import load_digits

    pixels, truth = load_digits(return_X_y=True)
    n = 900
    features, labels = pixels[:n].astype(np.float32), truth[:n].copy()
    rng = np.random.default_rng(0)
    planted = rng.permutation(n)[:45]
    labels[planted] = (labels[planted] + rng.integers(1, 10, 45)) % 10
    everyone = np.arange(n)
    data = TrainingData(
        _Rows(features),
        get_task("single-label"),
        labels,
        10,
        everyone[:700],
        everyone[700:800],
        everyone,
        everyone[800:],
    )  # type: ignore[arg-type]
    found = find_label_issues(data, fit_head(data, HeadConfig(), tmp_path))
    again = find_label_issues(data, fit_head(data, HeadConfig(), tmp_path))  # the second head comes from the cache
    assert found.examined == 800
    assert found.indices.tolist() == again.indices.tolist()
    to_find = planted[planted < 800]
    hits = np.isin(found.indices, to_find)
    assert hits.mean() > 0.7
    assert hits.sum() > 0.85 * len(to_find)
    assert hits[:20].all()
    assert (found.suggested[hits] == truth[found.indices[hits]]).mean() > 0.95
    assert (np.diff(found.label_probability) >= 0).all()


def test_of_several_labels_those_planted_are_found(tmp_path) -> None:
    """Of 5 % of the handwritten digits one of three labels is wrong."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    n = 900
    truth = np.stack([np.isin(digits, some) for some in ((0, 6), (6, 2, 3), (4, 0, 7))], 1)[:n].astype(np.uint8)
    rng = np.random.default_rng(0)
    planted, flipped = rng.permutation(n)[:45], rng.integers(0, 3, 45)
    labels = truth.copy()
    labels[planted, flipped] ^= 1
    everyone = np.arange(n)
    features = _Rows(pixels[:n].astype(np.float32))
    data = TrainingData(
        features, get_task("multi-label"), labels, 3, everyone[:700], everyone[700:800], everyone, everyone[800:]
    )  # type: ignore[arg-type]
    found = find_label_issues(data, fit_head(data, HeadConfig(), tmp_path))
    hits = np.isin(found.indices, planted)
    assert hits.sum() > 0.7 * (planted < 800).sum()
    assert hits.mean() > 0.5
    assert hits[:10].sum() > 7
    assert (found.suggested[hits] == truth[found.indices[hits]]).all(1).mean() > 0.9
    assert (found.suggested != labels[found.indices]).any(1).all()
    assert (found.label_probability < 0.5).all()


def test_small_classes_have_no_issues() -> None:
    labels = np.array([0] * 40 + [1] * 40 + [2] * (MIN_EXAMPLES - 1))
    probabilities = np.full((len(labels), 3), 0.05)
    probabilities[np.arange(len(labels)), labels] = 0.9
    probabilities[[3, 80]] = [0.02, 0.96, 0.02]  # one of the first class, and one of the small one
    positions, suggested = find_single_label_issues(labels, probabilities)
    assert positions.tolist() == [3]
    assert suggested.tolist() == [1]


def test_what_is_right_has_no_issues() -> None:
    labels = np.arange(60) % 3
    probabilities = np.full((60, 3), 0.2)
    probabilities[np.arange(60), labels] = np.linspace(0.5, 0.9, 60)
    assert not len(find_single_label_issues(labels, probabilities)[0])
