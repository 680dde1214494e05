"""On CPUs that compute in bfloat16 that is what is taken, and everything has to hold there as well."""

from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.errors import InputError
from headstart.features.engines import can_compute_bfloat16, resolve_precision
from tests.conftest import SIZE


@pytest.fixture
def as_fast_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine chooses, and has bfloat16."""
    if not can_compute_bfloat16():
        pytest.skip("this CPU has no bfloat16")
    monkeypatch.delenv("HEADSTART_PRECISION")


@pytest.mark.slow
@pytest.mark.usefixtures("as_fast_as_can_be")
def test_a_run_is_tuned_saved_used_and_exported(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    ways = hs.FineTuneConfig(fine_tune_epochs=1, views=1, keep="fine-tuned")
    fast = hs.train(photos, input_size=SIZE, fine_tune="last:1", config=ways, runs=tmp_path)
    assert fast.facts.engine.precision == "bfloat16"
    assert fast.facts.freeze_proof.changed == 0
    assert fast.metrics["accuracy"] > 0.85
    answers = hs.load(fast.folder).predict(sorted(photos.rglob("*.jpg")))
    right = np.mean([answer.predicted == Path(answer.file).parent.name for answer in answers])
    assert right > 0.9
    (made,) = hs.export(fast.folder, "openvino", out=tmp_path / "out")
    assert (made.folder / "predict.py").exists()


@pytest.mark.usefixtures("as_fast_as_can_be")
def test_the_machine_decides_unless_it_is_told() -> None:
    assert resolve_precision("auto") == "bfloat16"
    assert resolve_precision("float32") == "float32"


def test_what_is_told_holds_for_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_precision("auto") == "float32"
    monkeypatch.setenv("HEADSTART_PRECISION", "float16")
    with pytest.raises(InputError, match="HEADSTART_PRECISION=float16: expected float32, bfloat16 or auto"):
        resolve_precision("auto")
