"""A modality that is added from outside the package: signals, as numbers in files.

A package adds a modality, and a source of bases for it. Without a change in headstart, data are found and audited, and
runs are trained, evaluated, extended, explained and served.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import headstart as hs
from headstart.bases.base import Base, BaseSpec, DataFormat
from headstart.cli.main import cli
from headstart.data.dataset import load_dataset
from headstart.data.examples import Example, FileExample
from headstart.data.modalities import Modality, get_modality, modalities, register_modality, unregister_modality
from headstart.data.readers import Reader
from headstart.errors import BadExample, InputError
from headstart.system.progress import NO_PROGRESS, Progress

LENGTH = 16


class SignalReader:
    """Reads the numbers."""

    key = "signal-v1"

    def decode(self, data: bytes, suffix: str | None = None) -> np.ndarray:
        try:
            values = np.array(data.split(), np.float32)
        except ValueError as exc:
            raise BadExample("damaged: it holds other things than numbers") from exc
        return np.resize(values, LENGTH)

    def check(self, data: bytes, suffix: str | None = None) -> None:
        self.decode(data, suffix)

    def batch(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(arrays)


class Signal(Modality):
    """Numbers in text files."""

    name = "signal"
    noun = "signal"
    plural = "signals"
    extensions = (".sig",)
    base_fields = ()
    default_bases = ("signals:waves",)
    mistakes_shown = 4
    command_input = shell_input = "signal.sig"
    python_input = '"signal.sig"'
    labelled_data = "folder/"

    def find_examples(self, items: Sequence[Path | str]) -> list[Example]:
        return self.list_examples(items)

    def is_single(self, item: Path | str) -> bool:
        return True

    def list_examples(self, items: Iterable[Path | str], text_column: Sequence[str] | None = None) -> list[Example]:
        return [FileExample(str(item)) for item in items]

    def open_reader(self, base: Mapping[str, Any], folder: Path) -> Reader:
        return SignalReader()

    def check(self, data: bytes) -> None:
        SignalReader().check(data)

    def check_size(self, data: bytes, *, max_megapixels: float, max_text_bytes: int) -> None:
        if len(data) > max_text_bytes:
            raise BadExample("too long")


SIGNAL = Signal()


@dataclass(frozen=True, kw_only=True)
class SignalBase(Base):
    """A fixed layer on the numbers."""

    modality = SIGNAL

    def input_facts(self) -> dict[str, Any]:
        return {}

    def _network_facts(self) -> dict[str, Any]:
        return {}

    def reader(self) -> Reader:
        return SignalReader()

    def input_tensors(self) -> tuple[Any, Any]:
        import keras

        values = keras.Input((LENGTH,), name="values")
        return values, values

    def pool(self, x: Any) -> Any:
        return x

    def pool_by(self, x: Any, pooling: str) -> Any:
        return x

    def model(self, *, include_top: bool = False, data_format: DataFormat = "channels_last") -> Any:
        import keras

        network = self.build(False)
        network.trainable = False
        values, x = self.input_tensors()
        return keras.Model(values, self.features(network(x, training=False)), name="base")


def _build(include_top: bool) -> Any:
    import keras

    values = keras.Input((LENGTH,))
    network = keras.Model(values, keras.layers.Dense(8, activation="tanh")(values))
    network.set_weights([np.random.default_rng(0).normal(size=(LENGTH, 8)) / 4, np.zeros(8)])
    return network


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> SignalBase:
    """The base ``signals:waves``."""
    return SignalBase(
        spec=spec, build=_build, weights_path=Path(__file__), weights_sha256="signals", feature_dim=8,
        frozen_reason="it has one layer",
    )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def signal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modality]:
    """The modality, and an installed package that names the source of its bases."""
    place = tmp_path_factory.mktemp("installed")
    (place / "signals-1.0.dist-info").mkdir()
    (place / "signals-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: signals\nVersion: 1.0\n")
    (place / "signals-1.0.dist-info/entry_points.txt").write_text(
        f"[headstart.sources]\nsignals = {__name__}\n\n[headstart.modalities]\nsignal = {__name__}:Signal\n"
    )
    root = Path(__file__).parents[__name__.count(".")]
    register_modality(SIGNAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        patch.setenv("PYTHONPATH", ":".join([str(place), str(root), *filter(None, sys.path)]))  # of Keras's processes
        yield get_modality("signal")
    unregister_modality("signal")


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of noisy signals that rise or fall."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("signals")
    for name, slope in (("rising", 1), ("falling", -1)):
        (folder / name).mkdir()
        for i in range(30):
            values = slope * np.linspace(-1, 1, LENGTH) + rng.normal(size=LENGTH)
            (folder / name / f"{i}.sig").write_text(" ".join(f"{value:.3f}" for value in values))
    return folder


@pytest.fixture(scope="module")
def run(signals: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    return hs.train(signals, runs=tmp_path_factory.mktemp("runs"), progress=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("rising/1.sig", "rising/2.sig", "falling/1.sig", "falling/2.sig", "falling/notes.doc"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{len(name)} {name[-5]}" if name.endswith(".sig") else "x")
    return tmp_path


def test_examples_are_found_in_folders_and_tables(folder: Path, signal: Modality) -> None:
    dataset = load_dataset(folder)
    assert dataset.modality is signal
    assert dataset.files == ["falling/1.sig", "falling/2.sig", "rising/1.sig", "rising/2.sig"]
    assert dataset.examples[0] == FileExample(str(folder / "falling/1.sig"))
    assert dataset.skipped[0].reason == "its extension .doc is not that of a signal"
    (folder / "table.csv").write_text("path,label\nrising/1.sig,up\nfalling/1.sig,down\n")
    assert load_dataset(folder / "table.csv").modality is signal


def test_an_audit_reads_them_with_their_own_check(folder: Path) -> None:
    (folder / "rising/1.sig").write_text("1 2 wave")
    (folder / "rising/3.sig").write_text((folder / "rising/2.sig").read_text())
    audited = hs.audit(folder, features=False, progress=False)
    by_name = {finding.check: finding for finding in audited.findings}
    assert by_name["unreadable"].examples[0].files == ("rising/1.sig",)
    assert by_name["exact-duplicates"].state == "found"
    assert by_name["blank"].summary == "It applies to images."
    assert by_name["mojibake"].summary == "It applies to texts."


def test_modalities_have_one_name_each(signal: Modality) -> None:
    assert [modality.name for modality in modalities()] == ["image", "text", "signal"]
    with pytest.raises(InputError, match="there is a modality named 'signal' already"):
        register_modality(Signal())
    with pytest.raises(InputError, match="unknown modality 'sound': expected one of image, text, signal"):
        get_modality("sound")


def test_a_run_is_trained_reopened_and_predicts(run: hs.Run, signals: Path) -> None:
    assert (run.facts.base.handle, run.facts.base.modality) == ("signals:waves", "signal")
    assert run.metrics["accuracy"] > 0.7
    again = hs.load(run.folder)
    answer = again.predict(signals / "rising/0.sig")
    assert answer.predicted in run.facts.classes
    found = CliRunner().invoke(cli, ["predict", str(run.folder), str(signals / "rising/0.sig"), "--json"])
    assert json.loads(found.stdout)["predicted"] == answer.predicted


def test_its_reports_name_the_examples(run: hs.Run) -> None:
    page = (run.folder / "report.html").read_text()
    assert "Predict labels for new signals" in page
    assert "image not found" not in page
    assert ".sig</span>" in page.replace("<wbr>", "")  # a mistake or a label issue


def test_it_is_evaluated_against_what_it_was_trained_on(run: hs.Run, signals: Path) -> None:
    evaluated = hs.evaluate(run.folder, signals, progress=False)
    summaries = {finding.check: finding.summary for finding in evaluated.facts.audit}
    assert "among those that the run was trained on" in summaries["seen-in-training"]
    assert summaries["nearly-seen-in-training"] == "The contents of signals are compared exactly only."


def test_a_prediction_is_explained_by_similar_examples(run: hs.Run, signals: Path, tmp_path: Path) -> None:
    explanation = hs.explain(run, signals / "rising/0.sig")
    assert explanation.method == "similar examples"
    assert explanation.nearest[0].file
    assert set(explanation.to_json()) >= {"nearest", "class_name"}
    arguments = ["explain", str(run.folder), str(signals / "rising/0.sig"), "--out", str(tmp_path)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    with pytest.raises(InputError, match="only an image has a heat map"):
        explanation.heat  # noqa: B018
    with pytest.raises(InputError, match=r"grad-cam is for images\.$"):
        hs.explain(run, signals / "rising/0.sig", method="grad-cam")


def test_it_is_extended(run: hs.Run, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for i in range(12):
        (tmp_path / f"flat/{i}.sig").write_text(" ".join(["0.1"] * (LENGTH - 1) + [f"{i / 100}"]))
    extended = hs.extend(run.folder, tmp_path, progress=False)
    assert extended.facts.classes == ["falling", "rising", "flat"]


def test_it_is_served_and_its_pages_show_it(run: hs.Run, signals: Path) -> None:
    from fastapi.testclient import TestClient

    from headstart.serving.app import create_app
    from headstart.serving.limits import Limits
    from headstart.serving.runs import open_run

    signal = signals / "rising/0.sig"
    with TestClient(create_app({run.name: open_run(run.folder)}, Limits())) as client:
        (answer,) = client.post("/predict", files={"files": ("0.sig", signal.read_bytes())}).json()["answers"]
        assert answer["predicted"] == run.predict(signal).predicted
        refused = client.post("/predict", files={"files": ("bad.sig", b"no numbers")})
        assert "damaged: it holds other things than numbers" in refused.text


def test_other_processes_find_it_by_its_entry_points(run: hs.Run, signals: Path, tmp_path: Path) -> None:
    def headstart(*arguments: str) -> str:
        command = [sys.executable, "-m", "headstart", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    headstart("audit", str(signals), "--no-features", "--report", str(tmp_path / "audit.html"))
    assert "60 signals" in (tmp_path / "audit.html").read_text()
    assert "rising" in headstart("predict", str(run.folder), str(signals / "rising/0.sig"))


def test_its_pages_in_the_web_ui(run: hs.Run, signals: Path, tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    from headstart.ui.app import build
    from headstart.ui.root_folder import RootFolder

    shutil.copytree(signals, tmp_path / "signals")
    shutil.copytree(run.folder, tmp_path / "runs" / "waves")
    with TestClient(build(RootFolder(tmp_path), max_upload_mb=1), base_url="http://localhost") as client:
        data = client.get("/data?path=signals").text
        assert "60 signals" in data
        assert "rising/" in data
        assert "<img" not in data
        question = client.get("/runs/waves/try").text
        assert "Choose a signal" in question
        assert 'accept=".sig"' in question
        answer = client.post(
            "/runs/waves/answer?name=0.sig", content=(signals / "rising/0.sig").read_bytes(), headers={"X-Part": "1"}
        )
        assert "Most similar training signals" in answer.text


def test_an_export_without_code_that_reads_it_is_refused(run: hs.Run) -> None:
    with pytest.raises(InputError, match="headstart has no code that reads signals without headstart"):
        hs.export(run.folder, "onnx")
