"""Choosing the base of a detector: by short trainings on each."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.commands.base_comparison import BaseComparison, Budget, Row
from headstart.commands.compare import compare_on
from headstart.config import TrainConfig
from headstart.data.dataset import load_dataset
from headstart.tasks.comparison import Comparison
from tests.bases.darknet_numpy import Darknet
from tests.bases.test_yolo import cfg_text
from tests.conftest import DETECTOR

LITE0 = "embedded:efficientnet-lite0"
STAGES = ["conv filters=8 stride=4", "conv filters=16 stride=2", "conv filters=24 stride=2", "conv filters=32 stride=2"]


@pytest.fixture(scope="module")
def random_bases(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A base of random weights; and one whose only map is 64 times smaller than the image."""
    folder = tmp_path_factory.mktemp("darknet")
    handles = []
    for name, layers in (("random", STAGES), ("coarse", ["conv filters=8 stride=64"])):
        path = folder / f"{name}.cfg"
        path.write_text(cfg_text(layers, (64, 64)))
        reference = Darknet(path, None, (0, 2, 5))
        reference.run(np.zeros((3, 64, 64), np.float32))
        path.with_suffix(".weights").write_bytes(reference.bytes)
        handles.append(f"yolo:{path}")
    return handles


@pytest.mark.slow
def test_the_base_that_detects_better_is_the_best(shapes: Path, random_bases: list[str], tmp_path: Path) -> None:
    settings = {**DETECTOR, "detector_epochs": 10, "base": "auto", "bases": [LITE0, *random_bases, "hf:nowhere/model"]}
    found = compare_on(load_dataset(shapes), TrainConfig.from_settings(settings), is_size_set=True)
    assert found.best == LITE0
    assert [row.handle for row in found.rows] == [LITE0, random_bases[0]]
    first, second = (row.figure for row in found.rows)
    assert first["low"] <= first["value"] <= first["high"]
    assert second["value"] < 0.5 * first["value"]
    assert found.status(found.rows[1]) == "worse"
    reasons = {left_out.handle: left_out.reason for left_out in found.left_out}
    assert "no feature maps" in reasons[random_bases[1]]
    assert "cannot be downloaded" in reasons["hf:nowhere/model"]
    assert found.verdict().startswith(f"best: {LITE0}, mAP50-95 0.")
    assert " on 12 examples, " in found.verdict()
    page = found.report(tmp_path / "bases.html").read_text(encoding="utf-8")
    assert "mAP50-95 after a short training" in page
    assert "log loss" not in page
    assert json.loads(json.dumps(found.to_json()))["best"] == LITE0


def _row(handle: str, value: float, ms: float, against_top: Comparison | None) -> Row:
    return Row(handle, 10.0, ms, 100, {"value": value, "low": value - 0.1, "high": value + 0.1}, finished=True,
               against_top=against_top)  # fmt: skip


def test_a_fast_base_is_taken_only_within_one_standard_error_of_the_best() -> None:
    """The difference .60 - .57 has the interval of a normal distribution with a standard error of .02, and so on."""
    comparison = Comparison(50, "map_50_95", (0.57, 0.60), (0.03 - 0.0392, 0.03 + 0.0392))
    near = replace(comparison, value=(0.585, 0.6))
    assert comparison.standard_error == pytest.approx(0.02, abs=1e-4)
    rows = [_row("a:best", 0.6, 30, None), _row("a:near", 0.585, 20, near), _row("a:far", 0.57, 10, comparison)]
    assert [row.is_within_error for row in rows] == [True, True, False]
    blind = replace(comparison, value=(0.0, 0.01), value_gain=(0.0, 0.2))
    assert not _row("a:blind", 0.0, 1, blind).is_within_error  # the best one found hardly more in so short a training
    found = BaseComparison("d", "image", "detection", "map_50_95", "How.", Budget(), None, [50], rows, [], "a:near")
    assert found.verdict().startswith("fastest of those within one standard error of a:best: a:near, mAP50-95 0.585")
    assert found.difference(rows[2]) == "behind by 0.030 (-0.009 to 0.069)"
