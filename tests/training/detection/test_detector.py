"""A detector: it learns, its base stays frozen, its file opens in plain Keras, and a killed training resumes."""

import csv
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.cli.summary import summary
from headstart.errors import InputError
from headstart.runs.predictor import Predictor
from headstart.system.settings import cache_folder
from tests.conftest import DETECTOR, WITHOUT_HEADSTART

OPEN_IN_PLAIN_KERAS = """
import numpy, os
os.environ.update(KERAS_BACKEND={backend!r}, XLA_FLAGS="--xla_backend_optimization_level=0")  # of JAX: compiled sooner
import keras
with numpy.load({golden!r}) as golden:
    inputs, expected = golden["inputs"], golden["probabilities"]
values = numpy.asarray(keras.models.load_model({model!r}).predict(inputs, verbose=0))
assert values.dtype == numpy.float32 and values.shape == expected.shape, values.shape
print(abs(values - expected).max())
"""


def test_it_finds_what_it_learned(detector: "hs.Run") -> None:
    assert detector.figures.headline == "test"
    assert detector.metrics["map_50"] > 0.7
    low, high = detector.intervals["map_50"]
    assert low <= detector.metrics["map_50"] <= high


def test_boxes_are_where_the_objects_are(detector: "hs.Run", shapes: Path) -> None:
    answers = detector.predict(shapes / "test/images")
    ious = []
    for answer in answers:
        truth = np.loadtxt(shapes / "test/labels" / Path(answer.file).with_suffix(".txt").name, ndmin=2)
        for number, x, y, w, h in truth:
            edges = np.array([(x - w / 2) * 128, (y - h / 2) * 96, (x + w / 2) * 128, (y + h / 2) * 96])
            same_class = [box for box in answer.boxes if box.label == ("disc", "square")[int(number)]]
            ious.append(max((_iou(edges, np.array([box.x1, box.y1, box.x2, box.y2])) for box in same_class), default=0))
    assert np.median(ious) > 0.75


def test_the_base_is_proved_to_be_frozen(detector: "hs.Run") -> None:
    proof = detector.facts.freeze_proof
    assert proof.changed == 0
    assert proof.statistics > 0
    assert proof.tensors > 100
    assert proof.trained > 50


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def test_its_file_opens_in_plain_keras(detector: "hs.Run", backend: str) -> None:
    program = WITHOUT_HEADSTART + OPEN_IN_PLAIN_KERAS.format(
        backend=backend, golden=str(detector.folder / "golden.npz"), model=str(detector.model_path)
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-4


def test_validation_labels_are_examined(detector: "hs.Run") -> None:
    """Those of the shapes are right; the rows that are in doubt are few, and only of validation images."""
    assert detector.facts.label_issues.examined == 12
    with open(detector.folder / "suspects.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == detector.facts.label_issues.count < 4
    assert {row["split"] for row in rows} <= {"val"}


@pytest.mark.slow
def test_labels_of_training_images_are_examined_by_detectors_that_did_not_see_them(
    detector: "hs.Run", shapes: Path, tmp_path: Path
) -> None:
    """The training itself comes from the cache, and so do the fits of the second run."""
    settings: dict[str, Any] = {
        **DETECTOR,
        "check_train_labels": True,
        "learning_curve": True,
        "runs": tmp_path / "runs",
    }
    run = hs.train(shapes, **settings)
    assert (run.folder / "engine/model.bin").read_bytes() == (detector.folder / "engine/model.bin").read_bytes()
    assert run.facts.label_issues.examined == 32 + 12
    rows = (run.folder / "suspects.csv").read_text(encoding="utf-8")
    assert len(rows.splitlines()) - 1 == run.facts.label_issues.count < 8
    _check_curve(run)
    started = time.monotonic()
    again = hs.train(shapes, **settings)
    assert time.monotonic() - started < 10
    assert (again.folder / "suspects.csv").read_text(encoding="utf-8") == rows


def _check_curve(run: "hs.Run") -> None:
    """Detectors that were trained on a part of the images are worse, and the finished one is the last point."""
    curve = run.facts.learning_curve
    assert [size for size, *_ in curve.points] == [8, 16, 32]
    quarter, half, whole = (value for _, value, *_ in curve.points)
    assert 0.05 < quarter < whole
    assert whole == pytest.approx(
        run.figures.splits["val"].metrics["map_50_95"].value, abs=0.03
    )  # a median, and a mean
    assert half < whole + 0.1
    assert (curve.n_train, curve.more_per_class) == (32, 30)
    assert "another 30 images to train on should give about +0." in summary(run)
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Detectors were trained on a quarter and on half of the training images alone" in report
    assert re.search(r"nother 30 images should give about (<strong>)?\+0\.\d{3} mAP50-95", report)


def test_a_changed_engine_is_noticed(detector: "hs.Run", tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(detector.folder, copy)
    path = copy / "engine/model.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(hs.IntegrityError, match=r"model\.bin"):
        Predictor(copy)


def test_the_mean_with_the_mirror_image_is_refused(detector: "hs.Run", shapes: Path) -> None:
    with pytest.raises(InputError, match="whole images"):
        detector.predict(shapes / "test/images/00.jpg", tta=True)


class _Killer:
    """Ends the training after an epoch, as a crash of the process would."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)

    def epoch(self, row: dict[str, Any], left_s: float) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_killed_training_resumes_and_ends_with_the_same_model(
    detector: "hs.Run", shapes: Path, tmp_path: Path
) -> None:
    """The detector that was trained without a break is the one of all tests; only conversions come from its cache."""
    from headstart.system.progress import NO_PROGRESS

    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "engines").symlink_to(cache_folder() / "engines")
    settings: dict[str, Any] = {**DETECTOR, "runs": tmp_path / "runs", "cache": cache}
    with pytest.raises(KeyboardInterrupt):
        hs.train(shapes, **settings, progress=_Killer(NO_PROGRESS))
    resumed = hs.train(shapes, **settings, progress=False)
    assert (resumed.folder / "engine/model.bin").read_bytes() == (detector.folder / "engine/model.bin").read_bytes()


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    common = float(np.prod(np.maximum(sides, 0)))
    return common / float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - common)
