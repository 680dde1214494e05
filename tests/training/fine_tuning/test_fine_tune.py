"""Fine-tuning from end to end, on scanned digits at 32 pixels: they are far from ImageNet, so it can help."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import headstart as hs
from headstart.errors import InputError
from headstart.system.settings import cache_folder

pytestmark = pytest.mark.slow

OPTIONS = {"input_size": 32, "augment": "none"}
HELPS = hs.FineTuneConfig(fine_tune_epochs=6, batch_size=32, learning_rate=2.5e-4, rate_decay=1)
TWO_EPOCHS = hs.FineTuneConfig(
    fine_tune_epochs=2,
    batch_size=16,
    learning_rate=3e-5,
    label_smoothing=0,
    views=1,
    keep="fine-tuned",
    fine_tune_precision="float32",
)
FEW = {"input_size": 32, "val": 0.25}
HARMS = hs.FineTuneConfig(fine_tune_epochs=1, learning_rate=0.03)


def _history(run: hs.Run) -> list[dict[str, str]]:
    with open(run.folder / "history.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["phase"] == "fine-tuning"]


def _weights(run: hs.Run) -> dict[str, np.ndarray]:
    """All tensors of ``model.keras`` by their paths in it."""
    actual: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(run.model_path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: actual.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return actual


@pytest.fixture(scope="module")
def head_only(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    return hs.train(digits, runs=tmp_path_factory.mktemp("runs"), fine_tune="none", **OPTIONS)


@pytest.fixture(scope="module")
def fine_tuned(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    return hs.train(digits, runs=tmp_path_factory.mktemp("runs"), fine_tune="all", config=HELPS, **OPTIONS)


def test_the_fine_tuned_model_is_kept_where_it_is_better(fine_tuned: hs.Run, head_only: hs.Run) -> None:
    facts = fine_tuned.facts.fine_tuning
    assert facts.outcome == "kept"
    assert facts.on_val.fixed > facts.on_val.regressed
    assert facts.on_val.value[0] == pytest.approx(head_only.figures.splits["val"].metrics["accuracy"].value)
    assert facts.on_val.value[1] == pytest.approx(fine_tuned.figures.splits["val"].metrics["accuracy"].value)
    assert facts.on_test.value[1] == pytest.approx(fine_tuned.metrics["accuracy"])
    assert "kept" in fine_tuned.report().read_text()


def test_frozen_weights_do_not_change(fine_tuned: hs.Run, head_only: hs.Run) -> None:
    """All blocks are trained, but no BatchNormalization changes: neither its statistics nor its scale and shift."""
    import keras

    before, after = (keras.models.load_model(run.model_path) for run in (head_only, fine_tuned))
    layers = [model.get_layer("efficientnet_lite0").layers for model in (before, after)]
    with_batch_norm = {
        type(old).__name__
        for old, new in zip(*layers, strict=True)
        if any((a != b).any() for a, b in zip(old.get_weights(), new.get_weights(), strict=True))
    }
    assert with_batch_norm == {"Conv2D", "DepthwiseConv2D"}
    proof = fine_tuned.facts.freeze_proof
    assert (proof.statistics, proof.changed) == (98, 0)
    assert (proof.tensors, proof.trained) == (4 * 49, 49)


@pytest.fixture(scope="module")
def with_batch_norm(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """Trained with BatchNormalization until the time limit."""
    config = hs.FineTuneConfig(
        fine_tune_epochs=500, time_limit=3, patience=500, train_batch_norm=True, keep="fine-tuned"
    )
    return hs.train(digits, runs=tmp_path_factory.mktemp("runs"), fine_tune="last:2", config=config, **OPTIONS)


def test_batch_normalization_changes_with_train_batch_norm(with_batch_norm: hs.Run, head_only: hs.Run) -> None:
    import keras

    proof = with_batch_norm.facts.freeze_proof
    assert (proof.statistics, proof.changed) == (98 - 2 * 4, 0)
    names = {
        run: keras.models.load_model(run.model_path).get_layer("efficientnet_lite0")
        for run in (head_only, with_batch_norm)
    }
    before, after = (
        {layer.name: layer.moving_mean.numpy() for layer in base.layers if hasattr(layer, "moving_mean")}
        for base in names.values()
    )
    changed = {name for name, mean in before.items() if (mean != after[name]).any()}
    assert changed == set(list(before)[-4:])


def test_a_time_limit_ends_training_with_the_best_epoch(with_batch_norm: hs.Run) -> None:
    facts = with_batch_norm.facts.fine_tuning
    assert facts.process.stopped == "time limit"
    assert facts.process.views_s + facts.process.seconds == pytest.approx(3, abs=4)
    assert facts.outcome == "kept"


@pytest.fixture(scope="module")
def uninterrupted(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """Two epochs in float32."""
    return hs.train(few_digits, runs=tmp_path_factory.mktemp("runs"), fine_tune="last:2", config=TWO_EPOCHS, **FEW)


def test_mixed_precision_learns_as_single_precision_does(
    few_digits: Path, tmp_path: Path, uninterrupted: hs.Run
) -> None:
    config = replace(TWO_EPOCHS, fine_tune_precision="bfloat16")
    mixed = hs.train(few_digits, runs=tmp_path, fine_tune="last:2", config=config, **FEW)
    losses = {}
    for precision, run in (("float32", uninterrupted), ("bfloat16", mixed)):
        assert run.facts.fine_tuning.process.precision == precision
        rows = _history(run)
        losses[precision] = float(rows[-1]["val_loss"])
        assert abs(losses[precision] - float(rows[0]["val_loss"])) > 1e-3
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_a_first_epoch_that_raises_the_loss_is_repeated_at_a_lower_rate(few_digits: Path, tmp_path: Path) -> None:
    config = hs.FineTuneConfig(fine_tune_epochs=2, learning_rate=0.02)
    run = hs.train(few_digits, runs=tmp_path, fine_tune="last:1", config=config, **OPTIONS)
    facts = run.facts.fine_tuning
    assert facts.process.slowed >= 1
    assert facts.process.learning_rate == pytest.approx(0.02 / 4**facts.process.slowed)
    history = _history(run)
    assert [row["epoch"] for row in history] == ["0", "1", "2"]
    assert float(history[1]["val_loss"]) < 1.5 * float(history[0]["val_loss"]) + 0.5
    assert f"training restarted with a learning rate of {facts.process.learning_rate:.2g}" in run.report().read_text()


def test_a_time_limit_that_is_too_short_is_reported(
    digits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = hs.train(digits, runs=tmp_path, fine_tune="auto", config=hs.FineTuneConfig(time_limit=0.01), **OPTIONS)
    assert "fine-tuning the last 10 blocks, block7 to head_conv" in caplog.text  # 63 % of the arithmetic
    facts = run.facts.fine_tuning
    assert facts.outcome == "not tried"
    assert "over before the first step" in facts.reason


def test_a_worse_model_is_rejected_unless_keep_is_fine_tuned(digits: Path, head_only: hs.Run, tmp_path: Path) -> None:
    rejected = hs.train(digits, runs=tmp_path, fine_tune="last:1", config=HARMS, **OPTIONS)
    facts = rejected.facts.fine_tuning
    assert facts.outcome == "not better"
    assert facts.on_val.value[1] < facts.on_val.value[0]
    assert rejected.metrics == head_only.metrics
    assert rejected.facts.freeze_proof == head_only.facts.freeze_proof
    assert len(_history(rejected)) == 2  # the head alone, and one epoch
    page = rejected.report().read_text()
    assert "The head alone was kept" in page

    forced = hs.train(digits, runs=tmp_path, fine_tune="last:1", config=replace(HARMS, keep="fine-tuned"), **OPTIONS)
    assert forced.facts.fine_tuning.outcome == "kept"
    assert "keep: fine-tuned" in forced.facts.fine_tuning.reason
    assert forced.metrics["accuracy"] == pytest.approx(facts.on_test.value[1])
    assert forced.facts.freeze_proof.trained == 1


def test_a_killed_run_resumes_and_ends_with_the_same_model(
    few_digits: Path, tmp_path: Path, uninterrupted: hs.Run
) -> None:
    """Killed with SIGKILL after an epoch; the model of the resumed run is that of an uninterrupted one, bit for bit."""
    options = "--input-size 32 --val 0.25 --fine-tune last:2 --fine-tune-epochs 2 --batch-size 16 --views 1"
    options += " --learning-rate 3e-5 --label-smoothing 0 --keep fine-tuned"
    command = [sys.executable, "-m", "headstart", "train", str(few_digits), *options.split()]
    command += ["--runs", str(tmp_path / "runs"), "--name", "killed"]
    cache = tmp_path / "cache"
    shutil.copytree(cache_folder() / "engines", cache / "engines")  # so nothing is converted twice

    def start() -> subprocess.Popen:
        environment = {**os.environ, "HEADSTART_CACHE": str(cache)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    with start() as first_process:
        deadline = time.monotonic() + 120
        while not list(cache.glob("tuning/*/state.npz")):
            assert time.monotonic() < deadline
            assert first_process.poll() is None
            time.sleep(0.02)
        first_process.send_signal(signal.SIGKILL)
        first_process.communicate()
    with start() as restarted:
        _, log = restarted.communicate(timeout=200)
        assert restarted.returncode == 0, log
        assert "continuing after epoch" in log
    resumed = hs.load(tmp_path / "runs/killed")
    expected, actual = _weights(uninterrupted), _weights(resumed)
    assert expected.keys() == actual.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(actual[name], values, err_msg=name)
    assert resumed.facts.freeze_proof == uninterrupted.facts.freeze_proof
    assert resumed.facts.freeze_proof.trained > 0


@pytest.mark.usefixtures("head_only")  # which prepares the base
def test_the_figures_of_an_epoch_are_means_over_its_batches(digits: Path, tmp_path: Path) -> None:
    """At a learning rate of almost 0 they are those of the head alone on the training examples, which are all used."""
    table = tmp_path / "digits.csv"
    splits = ["train"] * 200 + ["val"] * 60 + ["test"] * 60
    paths = sorted(digits.rglob("*.png"), key=lambda path: path.name)
    with open(table, "w", newline="") as file:
        rows = [[path, path.parent.name, split] for path, split in zip(paths, splits, strict=False)]
        csv.writer(file).writerows([["path", "label", "split"], *rows])
    config = hs.FineTuneConfig(
        fine_tune_epochs=1, batch_size=20, learning_rate=1e-9, label_smoothing=0, keep="fine-tuned"
    )
    run = hs.train(table, runs=tmp_path, fine_tune="last:1", config=config, dropout=0, class_weights="none", **OPTIONS)
    with open(run.folder / "predictions.csv", newline="") as file:
        train = [row for row in csv.DictReader(file) if row["split"] == "train"]
    assert len(train) == 200
    figures = _history(run)[-1]
    expected = np.mean([row["predicted"] == row["label"] for row in train])
    assert float(figures["accuracy"]) == pytest.approx(expected, abs=0.006)
    expected = -np.mean(np.log([float(row["label_probability"]) for row in train]))
    assert float(figures["loss"]) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("fine_tune", "message"),
    [("last:99", "expected last:1 to last:18"), ("from:blok3", "Did you mean"), ("some", "expected auto, none, all")],
)
def test_unknown_blocks_are_refused(digits: Path, tmp_path: Path, fine_tune: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hs.train(digits, runs=tmp_path, fine_tune=fine_tune, **OPTIONS)
    assert not list(tmp_path.iterdir())


def test_auto_does_not_try_what_validation_could_not_show(run: hs.Run) -> None:
    """The head makes too few mistakes on the validation images for any gain to be significant."""
    facts = run.facts.fine_tuning
    assert facts.outcome == "not tried"
    assert "validation examples" in facts.reason


def test_a_text_encoder_is_fine_tuned_by_low_rank_changes(sentences: Path, tmp_path: Path) -> None:
    """A run is only written if its model reproduces training; here only the Dense kernels of one block differ."""
    folder = Path(__file__).parents[2] / "files/transformers/bert"
    config = hs.FineTuneConfig(fine_tune_epochs=1, lora=2, keep="fine-tuned")
    run = hs.train(sentences, base=f"hf:{folder}", fine_tune="last:1", config=config, runs=tmp_path)
    assert run.facts.fine_tuning.process.blocks == ["layer_1"]
    assert (run.facts.freeze_proof.changed, run.facts.freeze_proof.trained) == (0, 6)


def test_a_rank_below_1_is_refused() -> None:
    with pytest.raises(InputError, match=r"lora: expected a whole number of at least 1"):
        hs.FineTuneConfig(lora=0)
