from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.config import HeadConfig
from headstart.errors import InputError
from headstart.features import FeatureSet
from headstart.tasks import get_task
from headstart.training import Head, TrainingData, fit_head
from tests.conftest import SIZE


@pytest.fixture(scope="module")
def features(photos: Path) -> FeatureSet:
    data = hs.load_dataset(photos)
    return hs.extract(hs.load_base(input_size=SIZE), data.examples)


def _fit(features: FeatureSet, cache: Path, **changes: object) -> Head:
    n = len(features)
    arguments = {
        "labels": (np.arange(n) >= n // 2).astype(int),
        "train": np.arange(0, n, 2),
        "val": np.arange(1, n, 2),
        "groups": np.arange(n),
        **changes,
    }
    config = arguments.pop("config", HeadConfig())
    return fit_head(TrainingData(features, get_task("single-label"), n_classes=2, **arguments), config, cache)


def _count(cache: Path) -> int:
    return len(list((cache / "heads").iterdir()))


def test_the_same_head_is_not_trained_again(features: FeatureSet, tmp_path: Path) -> None:
    first, second = _fit(features, tmp_path), _fit(features, tmp_path)
    assert _count(tmp_path) == 1
    assert np.array_equal(first.layers[0][0], second.layers[0][0])
    assert (first.l2, first.history) == (second.l2, second.history)


@pytest.mark.parametrize(
    "change",
    [
        {"config": HeadConfig(seed=1)},
        {"config": HeadConfig(class_weights="balanced")},
        {"train": np.arange(0, 110, 3)},
        {"groups": np.arange(110) // 2},
        {"labels": (np.arange(110) >= 50).astype(int)},
    ],
)
def test_other_data_or_settings_give_another_head(
    features: FeatureSet, tmp_path: Path, change: dict[str, object]
) -> None:
    _fit(features, tmp_path)
    _fit(features, tmp_path, **change)
    assert _count(tmp_path) == 2


def test_the_head_is_softmax_of_relu_layers() -> None:
    rng = np.random.default_rng(0)
    first_kernel, second_kernel = rng.normal(size=(5, 4)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    head = Head(((first_kernel, np.zeros(4, np.float32)), (second_kernel, np.ones(3, np.float32))))
    x = rng.normal(size=(7, 5)).astype(np.float32)
    logits = np.maximum(x @ first_kernel, 0) @ second_kernel + 1
    assert np.allclose(head(x), np.exp(logits) / np.exp(logits).sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    ("counts", "choice", "expected"),
    [
        ([30, 11], "auto", [1, 1]),
        ([30, 10], "auto", [2 / 3, 2]),
        ([30, 10], "none", [1, 1]),
        ([30, 20], "balanced", [5 / 6, 5 / 4]),
    ],
)
def test_class_weights(counts: list[int], choice: str, expected: list[float]) -> None:
    labels = np.repeat([0, 1], counts)
    assert get_task("single-label").class_weights(labels, 2, choice) == pytest.approx(expected)


def test_a_config_knows_its_kind() -> None:
    assert HeadConfig().kind == HeadConfig(head="linear").kind == "linear"
    assert HeadConfig(dense=(8,)).kind == HeadConfig(head="mlp").kind == "mlp"
    assert HeadConfig(head="mlp").units == (256,)
    with pytest.raises(InputError, match=r"dropout: expected a number of at least 0 and below 1, got '1\.5'"):
        HeadConfig(dropout=1.5)
