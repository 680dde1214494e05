"""TensorFlow, torch and JAX fine-tune to the same model. Those that are not installed are skipped: CI has them all."""

import csv
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from tests.conftest import SIZE
from tests.weights import changed_weights

pytestmark = pytest.mark.slow

STEPS = hs.FineTuneConfig(fine_tune_epochs=2, label_smoothing=0, learning_rate=1e-3, keep="fine-tuned")
TOLERANCE = 1e-4  # of a probability, after two epochs of float32 arithmetic in another order


# Dropout draws other numbers on every backend, so it is left out.
OPTIONS = {"augment": "none", "dropout": 0}


def _tuned(photos: Path, base: str, runs: Path, backend: str) -> hs.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", backend)
        return hs.train(photos, base=base, runs=runs, name=backend, fine_tune="last:3", config=STEPS, **OPTIONS)


def _probabilities(run: hs.Run) -> np.ndarray:
    with open(run.folder / "predictions.csv", newline="", encoding="utf-8") as file:
        return np.array([float(row["label_probability"]) for row in csv.DictReader(file)])


@pytest.fixture(scope="module")
def few_photos(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third of the photos."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    for path in sorted(photos.rglob("*.jpg")):
        if int(path.stem) % 3 == 0:
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.parent.name)
    return folder


@pytest.fixture(scope="module")
def by_tensorflow(few_photos: Path, small_base: str, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    return _tuned(few_photos, small_base, tmp_path_factory.mktemp("runs"), "tensorflow")


def test_fine_tuning_changes_the_answers(
    few_photos: Path, small_base: str, tmp_path: Path, by_tensorflow: hs.Run
) -> None:
    """Or the backends could not differ in it."""
    head_only = hs.train(few_photos, base=small_base, runs=tmp_path, fine_tune="none", **OPTIONS)
    assert np.abs(_probabilities(by_tensorflow) - _probabilities(head_only)).max() > 3 * TOLERANCE


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_same_model_comes_out(
    few_photos: Path, small_base: str, tmp_path: Path, by_tensorflow: hs.Run, backend: str
) -> None:
    if not find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    other = _tuned(few_photos, small_base, tmp_path, backend)
    assert other.facts.fine_tuning.process.backend == backend
    assert other.facts.freeze_proof.changed == 0
    np.testing.assert_allclose(_probabilities(other), _probabilities(by_tensorflow), atol=TOLERANCE)


def test_the_batch_normalization_of_the_embedded_base_is_frozen(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    """Of the blocks that are trained, kernels change, and of BatchNormalization neither statistics nor scale."""
    config = hs.FineTuneConfig(fine_tune_epochs=1, views=0, keep="fine-tuned", augment="none")
    tuned = hs.train(photos, input_size=SIZE, runs=tmp_path, fine_tune="last:2", config=config)
    changed = changed_weights(run.model_path, tuned.model_path)
    assert {re.sub(r"[\d_]*/vars/\d", "", name.removeprefix("layers/")) for name in changed} == {
        "functional/layers/conv2d", "functional/layers/depthwise_conv2d", "dense"
    }  # fmt: skip
    proof = tuned.facts.freeze_proof
    assert (proof.statistics, proof.changed, proof.trained) == (98, 0, len(changed) - 2)
