"""A run as TensorBoard events and in MLflow, written by their own packages and read back by them."""

import subprocess
import sys
from pathlib import Path

import pytest

import headstart as hs
from headstart.errors import UnavailableError
from tests.conftest import SIZE
from tests.lazy import needs

pytestmark = needs("tensorboardX", "mlflow")


@pytest.fixture(scope="module")
def tracked(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    folder = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"file:{folder}/mlruns")
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        return hs.train(
            photos, runs=folder, input_size=SIZE, dense=[8], epochs=3, fine_tune="none", tensorboard=True, mlflow=True
        )


@pytest.mark.slow
def test_events_hold_curves_and_figures(tracked: hs.Run) -> None:
    from tensorboardX.proto.event_pb2 import Event

    (file,) = (tracked.folder / "tensorboard").iterdir()
    data, seen, place = file.read_bytes(), [], 0
    while place < len(data):  # TFRecord: length, its checksum, the record, its checksum
        length = int.from_bytes(data[place : place + 8], "little")
        event = Event.FromString(data[place + 12 : place + 12 + length])
        seen += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        place += 16 + length
    assert [step for tag, step, _ in seen if tag == "head/val_loss"] == [1, 2, 3]
    assert ("test/accuracy", 0, pytest.approx(tracked.metrics["accuracy"])) in seen


@pytest.mark.slow
def test_mlflow_has_parameters_figures_and_the_report(tracked: hs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(f"file:{tracked.folder.parent}/mlruns")
    (entry,) = client.search_runs(["0"])
    assert entry.info.status == "FINISHED"
    assert entry.data.params["base"] == "embedded:efficientnet-lite0"
    assert entry.data.metrics["test/accuracy"] == pytest.approx(tracked.metrics["accuracy"])
    assert [metric.step for metric in client.get_metric_history(entry.info.run_id, "head/loss")] == [1, 2, 3]
    assert {item.path for item in client.list_artifacts(entry.info.run_id)} >= {"report.html", "run.json"}


@pytest.mark.slow
def test_a_run_is_complete_even_if_mlflow_declines(
    tracked: hs.Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.runs.tracking import track

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tracked.folder}/nowhere")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    track(tracked, tensorboard=False, mlflow=True)
    assert "is complete, but MLflow did not take all of it" in caplog.text


def test_a_missing_package_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    """In a process where the package cannot be imported, as where it is not installed."""
    code = (
        "import sys; sys.modules['tensorboardX'] = None; import headstart; headstart.train('nowhere', tensorboard=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert UnavailableError.__name__ in done.stderr
    assert "pip install 'headstart[tensorboard]'" in done.stderr
    assert "does not exist" not in done.stderr
