"""Features of all blocks of a base, beside its own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.bases import BaseSpec, load_base
from headstart.bases.block_features import own_width, with_block_features
from headstart.bases.blocks import find_blocks
from headstart.errors import InputError
from headstart.explanation.activations import KerasActivations, open_activations
from headstart.explanation.grad_cam import GRID, grad_cam, score_and_gradient
from headstart.runs.predictor import Predictor
from headstart.tasks import get_task
from headstart.training.head import linear

SIZE = 64


def write_grain(folder: Path, n: int) -> Path:
    """Grey clouds with two kinds of grain that nobody would call an object: about 1 and about 2 pixels wide."""
    rng = np.random.default_rng(0)
    for label, width in (("fine", 1), ("coarse", 2)):
        (folder / label).mkdir(parents=True)
        for i in range(n):
            clouds = np.kron(rng.normal(120, 30, (4, 4)), np.ones((SIZE // 4, SIZE // 4)))
            grain = np.kron(rng.normal(0, 9, (SIZE // width, SIZE // width)), np.ones((width, width)))
            pixels = np.clip(clouds + grain, 0, 255).astype(np.uint8)
            Image.fromarray(np.repeat(pixels[..., None], 3, 2)).save(folder / label / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def grain_run(tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    folder = tmp_path_factory.mktemp("grain")
    return hs.train(write_grain(folder / "grain", 90), input_size=SIZE, fine_tune="none", runs=folder / "runs")


@pytest.mark.slow
def test_wide_features_are_the_own_ones_and_moments_of_blocks() -> None:
    keras = pytest.importorskip("keras")
    base = load_base(BaseSpec("embedded:efficientnet-lite0", input_size=(SIZE, SIZE)))
    network = base.build(False)
    blocks = find_blocks(network)
    wide = with_block_features(base, blocks)
    assert wide is not None
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    features = wide.model().predict(pixels, verbose=0)
    own = base.model().predict(pixels, verbose=0)
    width = own_width(wide.spec.taps, blocks, features.shape[1])
    assert width == own.shape[1]
    np.testing.assert_allclose(features[:, :width], own, rtol=1e-4, atol=1e-5)
    uppermost = keras.Model(network.inputs[0], blocks[-2].output)
    values = np.asarray(uppermost(base.preprocessing.array(pixels)))
    channels = values.shape[-1]
    np.testing.assert_allclose(features[:, width : width + channels], values.mean((1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        features[:, width + channels : width + 2 * channels], values.std((1, 2)), rtol=1e-2, atol=2e-3
    )


def test_wide_features_are_solved_along_their_principal_axes() -> None:
    """The head is as good as one on the 20 hidden values that 3,000 features are made of."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(1400, 20))
    labels = (hidden[:, :3] @ np.array([1, -1, 0.5]) + rng.normal(0, 0.3, 1400) > 0).astype(int)
    features = (hidden @ rng.normal(size=(20, 3000)) + rng.normal(0, 1, (1400, 3000))).astype(np.float32)
    train, test = np.arange(1200), np.arange(1200, 1400)
    head = linear.solve(
        features.__getitem__, train, labels[train], 2, task=get_task("single-label"), groups=train,
        class_weights=np.ones(2), seed=0,
    )  # fmt: skip
    answers = (features[test] @ head.kernel + head.bias).argmax(1)
    assert head.kernel.shape == (3000, 2)
    assert (answers == labels[test]).mean() > 0.9
    assert head.out_of_fold is not None
    assert (head.out_of_fold.argmax(1) == labels[train]).mean() > 0.9


@pytest.mark.slow
def test_blocks_are_taken_where_they_are_better(grain_run: hs.Run) -> None:
    choice = grain_run.facts.head.features
    assert choice.kind == "blocks"
    assert choice.own == 1280 < choice.blocks == grain_run.facts.base.feature_dim
    assert choice.gain > choice.standard_error > 0
    assert grain_run.facts.base.spec.taps[0] == "own"
    assert "of all blocks" in (grain_run.folder / "report.html").read_text(encoding="utf-8")
    own = hs.train(grain_run.facts.data.path, **settings_of(grain_run), features="own", runs=grain_run.folder.parent)
    assert own.facts.head.features is None
    assert own.facts.base.spec.taps is None
    assert own.facts.cost.examples_computed == 0  # its features came with the others


def settings_of(run: hs.Run) -> dict[str, object]:
    return {"input_size": SIZE, "fine_tune": "none", "name": f"{run.folder.name}-own"}


@pytest.mark.slow
def test_a_run_on_all_blocks_is_explained_by_all_its_maps(grain_run: hs.Run) -> None:
    keras = pytest.importorskip("keras")
    on_engine = open_activations(Predictor(grain_run.folder, expected=1))
    on_keras = KerasActivations(keras.models.load_model(grain_run.model_path), "softmax")
    with np.load(grain_run.folder / "golden.npz") as golden:
        pixels = golden["inputs"]
    numbers = np.zeros(len(pixels), int)
    evidence = {}
    for name, activations in (("engine", on_engine), ("keras", on_keras)):
        computed = activations(pixels)
        assert len(activations.pooled_maps) == len(grain_run.facts.base.spec.taps)
        evidence[name] = grad_cam(activations, computed, numbers)
        score = score_and_gradient(computed.features, activations.head, numbers)[0]
        assert evidence[name].shape == (len(pixels), GRID, GRID)
        np.testing.assert_allclose(evidence[name].mean((1, 2)), score, rtol=1e-3, atol=1e-3)
    assert np.corrcoef(evidence["engine"].ravel(), evidence["keras"].ravel())[0, 1] > 0.98


@pytest.mark.slow
def test_evidence_is_where_the_grain_is(grain_run: hs.Run) -> None:
    rng = np.random.default_rng(1)
    pixels = np.full((1, SIZE, SIZE, 3), 120.0)
    pixels[0, :, : SIZE // 2] += rng.normal(0, 9, (SIZE, SIZE // 2, 1))  # fine on the left
    pixels[0, :, SIZE // 2 :] += np.kron(rng.normal(0, 9, (SIZE // 2, SIZE // 4)), np.ones((2, 2)))[..., None]
    activations = open_activations(Predictor(grain_run.folder, expected=1))
    number = grain_run.classes.index("fine")
    evidence = grad_cam(activations, activations(pixels.astype(np.uint8)), np.array([number]))[0]
    assert evidence[:, : GRID // 2].mean() > evidence[:, GRID // 2 :].mean()


def test_a_base_without_blocks_is_named(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("text,label\n" + "good film,a\nbad film,b\n" * 10)
    with pytest.raises(InputError, match="no blocks with several positions"):
        hs.train(table, base="embedded:glove-6b-50d", features="blocks", runs=tmp_path)
