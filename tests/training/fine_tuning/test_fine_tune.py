"""Fine-tuning from end to end, on scanned digits and a small base; of the embedded one in tests/contracts/."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.errors import InputError
from tests.conftest import SIZE
from tests.weights import changed_weights, stored_weights

pytestmark = pytest.mark.slow

OPTIONS = {  # dropout harms heads on features as few as those of the small base; all its blocks are as good as tuning
    "augment": "none",
    "dropout": 0,
    "features": "own",
}
HELPS = hs.FineTuneConfig(
    fine_tune_epochs=10, batch_size=16, learning_rate=2e-3, rate_decay=1, label_smoothing=0, patience=10
)
FEW_EPOCHS = hs.FineTuneConfig(
    fine_tune_epochs=2,
    batch_size=16,
    learning_rate=1e-4,
    label_smoothing=0,
    views=1,
    keep="fine-tuned",
    fine_tune_precision="float32",
)
MANY_EPOCHS = replace(
    FEW_EPOCHS,
    fine_tune_epochs=30,
    patience=30,
    learning_rate=3e-4,
    augment=[("RandomBrightness", {"factor": 0.02, "value_range": [0, 255]})],
)
"""Long enough to be killed in between; the last epochs are the best."""
FEW = {"val": 0.25, "dropout": 0}
HARMS = hs.FineTuneConfig(fine_tune_epochs=1, learning_rate=0.1)


def _history(run: hs.Run) -> list[dict[str, str]]:
    with open(run.folder / "history.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["phase"] == "fine-tuning"]


@pytest.fixture(scope="module")
def head_only(digits: Path, small_base: str, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    return hs.train(digits, base=small_base, runs=tmp_path_factory.mktemp("runs"), fine_tune="none", **OPTIONS)


@pytest.fixture(scope="module")
def fine_tuned(digits: Path, small_base: str, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    runs = tmp_path_factory.mktemp("runs")
    return hs.train(digits, base=small_base, runs=runs, fine_tune="all", config=HELPS, **OPTIONS)


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
    changed = changed_weights(head_only.model_path, fine_tuned.model_path)
    kernels = {name for name in stored_weights(head_only.model_path) if "conv2d" in name}
    assert len(kernels) == 8
    assert changed == {*kernels, "layers/dense/vars/0", "layers/dense/vars/1"}
    proof = fine_tuned.facts.freeze_proof
    assert (proof.statistics, proof.changed) == (16, 0)
    assert (proof.tensors, proof.trained) == (4 * 8, 8)


@pytest.fixture(scope="module")
def with_batch_norm(digits: Path, small_base: str, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """Trained with BatchNormalization until the time limit."""
    config = hs.FineTuneConfig(
        fine_tune_epochs=500, time_limit=2, patience=500, train_batch_norm=True, keep="fine-tuned"
    )
    runs = tmp_path_factory.mktemp("runs")
    return hs.train(digits, base=small_base, runs=runs, fine_tune="last:2", config=config, **OPTIONS)


def test_batch_normalization_changes_with_train_batch_norm(with_batch_norm: hs.Run, head_only: hs.Run) -> None:
    proof = with_batch_norm.facts.freeze_proof
    assert (proof.statistics, proof.changed) == (16 - 2 * 3, 0)
    means = {name for name in stored_weights(head_only.model_path) if re.search(r"batch_normalization.*/vars/2", name)}
    changed = changed_weights(head_only.model_path, with_batch_norm.model_path)
    assert changed & means == {name for name in means if re.search("normalization_[567]/", name)}
    assert len(changed & means) == 3


def test_a_time_limit_ends_training_with_the_best_epoch(with_batch_norm: hs.Run) -> None:
    facts = with_batch_norm.facts.fine_tuning
    assert facts.process.stopped == "time limit"
    assert facts.process.views_s + facts.process.seconds == pytest.approx(2, abs=3)
    assert facts.outcome == "kept"


def test_mixed_precision_learns_as_single_precision_does(few_digits: Path, small_base: str, tmp_path: Path) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        config = replace(FEW_EPOCHS, fine_tune_precision=precision)
        run = hs.train(few_digits, base=small_base, runs=tmp_path, fine_tune="last:2", config=config, **FEW)
        assert run.facts.fine_tuning.process.precision == precision
        rows = _history(run)
        losses[precision] = float(rows[-1]["val_loss"])
        assert abs(losses[precision] - float(rows[0]["val_loss"])) > 1e-3
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_a_first_epoch_that_raises_the_loss_is_repeated_at_a_lower_rate(
    few_digits: Path, small_base: str, tmp_path: Path
) -> None:
    config = hs.FineTuneConfig(fine_tune_epochs=2, learning_rate=0.02, label_smoothing=0)
    run = hs.train(few_digits, base=small_base, runs=tmp_path, fine_tune="last:1", config=config, **OPTIONS)
    facts = run.facts.fine_tuning
    assert facts.process.slowed >= 1
    assert facts.process.learning_rate == pytest.approx(0.02 / 4**facts.process.slowed)
    history = _history(run)
    assert [row["epoch"] for row in history] == ["0", "1", "2"]
    assert float(history[1]["val_loss"]) < 1.5 * float(history[0]["val_loss"]) + 0.5
    assert f"training restarted with a learning rate of {facts.process.learning_rate:.2g}" in run.report().read_text()


def test_a_time_limit_that_is_too_short_is_reported(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = hs.FineTuneConfig(time_limit=0.01, keep="fine-tuned")  # or it would not be tried on so few mistakes
    run = hs.train(photos, input_size=SIZE, runs=tmp_path, fine_tune="auto", config=config)
    assert "fine-tuning the last 10 blocks, block7 to head_conv" in caplog.text  # 63 % of the arithmetic
    facts = run.facts.fine_tuning
    assert facts.outcome == "not tried"
    assert "over before the first step" in facts.reason


def test_a_worse_model_is_rejected_unless_keep_is_fine_tuned(
    digits: Path, small_base: str, head_only: hs.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"base": small_base, "runs": tmp_path, "fine_tune": "last:1", **OPTIONS}
    rejected = hs.train(digits, config=HARMS, **options)
    first_figure = head_only.figures.splits["val"].metrics["accuracy"]
    assert f"with the head alone: validation accuracy {first_figure.value:.1%} (95 % interval" in caplog.text
    facts = rejected.facts.fine_tuning
    assert facts.outcome == "not better"
    assert facts.on_val.value[1] < facts.on_val.value[0]
    assert rejected.metrics == head_only.metrics
    assert rejected.facts.freeze_proof == head_only.facts.freeze_proof
    assert len(_history(rejected)) == 2  # the head alone, and one epoch
    page = rejected.report().read_text()
    assert "The head alone was kept" in page

    forced = hs.train(digits, config=replace(HARMS, keep="fine-tuned"), **options)
    assert forced.facts.fine_tuning.outcome == "kept"
    assert "keep: fine-tuned" in forced.facts.fine_tuning.reason
    assert forced.metrics["accuracy"] == pytest.approx(facts.on_test.value[1])
    assert forced.facts.freeze_proof.trained == 1


def test_a_killed_run_resumes_and_ends_with_the_same_model(few_digits: Path, small_base: str, tmp_path: Path) -> None:
    """Killed with SIGKILL after an epoch; the model of the resumed run is that of an uninterrupted one, bit for bit."""
    uninterrupted = hs.train(few_digits, base=small_base, runs=tmp_path, fine_tune="last:2", config=MANY_EPOCHS, **FEW)
    command = [sys.executable, "-m", "headstart", "train", str(few_digits), "--name", "killed"]
    command += ["--config", str(uninterrupted.folder / "run.json"), "--runs", str(tmp_path / "runs")]
    cache = tmp_path / "cache"

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
        (epoch,) = re.findall(r"continuing after epoch (\d+)", log)
    resumed = hs.load(tmp_path / "runs/killed")
    assert int(epoch) < uninterrupted.facts.fine_tuning.process.best_epoch
    assert _history(resumed) == _history(uninterrupted)
    assert changed_weights(uninterrupted.model_path, resumed.model_path) == set()
    assert resumed.facts.freeze_proof == uninterrupted.facts.freeze_proof
    assert resumed.facts.freeze_proof.trained > 0


def test_the_figures_of_an_epoch_are_means_over_its_batches(digits: Path, small_base: str, tmp_path: Path) -> None:
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
    options = {"fine_tune": "last:1", "config": config, "class_weights": "none", **OPTIONS}
    run = hs.train(table, base=small_base, runs=tmp_path, **options)
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
def test_unknown_blocks_are_refused(photos: Path, tmp_path: Path, fine_tune: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hs.train(photos, input_size=SIZE, runs=tmp_path, fine_tune=fine_tune)
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
