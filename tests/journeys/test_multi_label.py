"""Multi-label data from a table to answers: any number of labels for each text or picture, also none."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import InputError
from tests.conftest import SIZE, WITHOUT_HEADSTART, WORDS, Command
from tests.serving.test_server import Server

pytestmark = pytest.mark.slow  # the first run of a base converts it

_OPEN_ELSEWHERE = (
    WITHOUT_HEADSTART
    + """
import json, os, zipfile
os.environ["KERAS_BACKEND"] = "openvino"  # quick to import
import keras, numpy as np
with np.load(sys.argv[2]) as golden:
    found = keras.models.load_model(sys.argv[1]).predict(golden["inputs"], verbose=0)
    print(float(abs(found - golden["probabilities"]).max()), float(found.sum(1).max()))
print(json.loads(zipfile.ZipFile(sys.argv[1]).read("headstart.json"))["thresholds"])
"""
)


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def labelled(sentences: Path) -> pd.DataFrame:
    """The sentences with a list of labels each: ``python`` or none, and what else can be seen in them."""
    frame = pd.read_csv(sentences)
    frame["label"] = [
        [
            *(["python"] if book == "python" else []),
            *(["function"] if re.search(r"\b(function|method|call|return)", text) else []),
            *(["number"] if re.search(r"\d", text) else []),
        ]
        for text, book in zip(frame["text"], frame["label"], strict=True)
    ]
    return frame


@pytest.fixture(scope="session")
def label_run(labelled: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """A run trained on them from lists; read it, do not change it."""
    return hs.train(labelled, base=WORDS, fine_tune="none", runs=tmp_path_factory.mktemp("runs"), name="lists")


def test_lists_of_labels_become_a_run(label_run: hs.Run, labelled: pd.DataFrame) -> None:
    assert label_run.classes == ["function", "number", "python"]
    assert next(iter(label_run.metrics)) == "micro_f1"
    assert label_run.metrics["micro_f1"] > 0.7
    low, high = label_run.intervals["macro_f1"]
    assert low < label_run.metrics["macro_f1"] < high
    assert set(label_run.facts.thresholds) == set(label_run.classes)
    without = sum(not names for names in labelled["label"])
    assert any(
        f"{without} of 220 examples have none of the labels" in finding.summary for finding in label_run.facts.audit
    )
    rows = _rows(label_run.folder / "predictions.csv")
    assert len(rows) == 220
    for row in rows:
        said = {name for name in label_run.classes if float(row[f"p_{name}"]) >= label_run.facts.thresholds[name]}
        assert said == set(row["predicted"].split(";")) - {""}
        assert (row["worst"] == "") == (row["predicted"] == row["label"])
        assert row["worst"] == "" or (row["worst"] in row["predicted"]) != (row["worst"] in row["label"])


def test_heads_are_searched_for_as_well(labelled: pd.DataFrame, tmp_path: Path) -> None:
    run = hs.train(labelled, base=WORDS, fine_tune="none", search=8, val=0.3, runs=tmp_path, name="searched")
    search = run.facts.search
    assert search.trials == 8
    assert "mean average precision 0." in search.reason
    assert search.outcome == ("kept" if run.facts.base.spec.taps else "not better")
    assert "Search for a head" in (run.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def texts(label_run: hs.Run) -> list[str]:
    """A text that the run gives several labels, and one that it gives none."""
    rows = _rows(label_run.folder / "predictions.csv")
    several = next(row["text"] for row in rows if row["predicted"].count(";") == 1)
    return [several, next(row["text"] for row in rows if not row["predicted"])]


def test_answers_are_labels_with_probabilities(label_run: hs.Run, texts: list[str]) -> None:
    many, none = label_run.predict(texts)
    assert isinstance(many, hs.MultiLabelPrediction)
    assert len(many.predicted) == 2
    assert many.predicted == list(many.probabilities)[:2]
    assert sum(many.probabilities.values()) != pytest.approx(1, abs=0.01)
    assert none.predicted == []
    assert len(none.probabilities) == 3


def test_it_is_served_with_the_probability_that_each_label_takes(
    label_run: hs.Run, texts: list[str], tmp_path: Path
) -> None:
    server = Server(tmp_path, label_run.folder)
    try:
        status, content = server.ask("/predict", json.dumps({"texts": texts}))
        assert status == 200
        for answer, expected in zip(content["answers"], label_run.predict(texts), strict=True):
            assert answer["predicted"] == expected.predicted
            assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-3)
            assert not {"probability", "unsure"} & set(answer)
        (facts,) = server.ask("/runs")[1]
        assert facts["task"] == "multi-label"
        assert facts["thresholds"] == label_run.facts.thresholds
        schema = server.ask("/openapi.json")[1]["components"]["schemas"]["Answered"]["properties"]
        assert {"type": "array", "items": {"type": "string"}} in schema["predicted"]["anyOf"]
    finally:
        server.end()


def test_the_model_opens_with_keras_alone_and_knows_its_thresholds(label_run: hs.Run) -> None:
    arguments = [str(label_run.model_path), str(label_run.folder / "golden.npz")]
    done = subprocess.run([sys.executable, "-c", _OPEN_ELSEWHERE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, thresholds = done.stdout.splitlines()
    difference, largest = map(float, first.split())
    assert difference < 1e-2  # Keras's OpenVINO backend takes bfloat16 where the CPU has it
    assert largest > 1.1  # no softmax
    assert json.loads(thresholds.replace("'", '"')) == label_run.facts.thresholds


def as_options(*texts: str) -> list[str]:
    return [part for text in texts for part in ("--text", text)]


def test_the_command_says_all_labels_or_none(headstart_here: Command, label_run: hs.Run, texts: list[str]) -> None:
    said = label_run.predict(texts)[0].predicted
    lines = headstart_here("predict", label_run.folder, *as_options(*texts, "")).stdout.splitlines()
    assert re.fullmatch(rf"{said[0]} +\d+\.\d%   {said[1]} +\d+\.\d%   {re.escape(texts[0])}", lines[0])
    assert re.fullmatch(rf"none +{re.escape(texts[1])}", lines[1])
    top = headstart_here("predict", label_run.folder, *as_options(*texts), "--top-k", 1).stdout.splitlines()
    assert top[0].startswith(f"{said[0]}*")
    assert "*" not in top[1].partition("%")[0]
    told = headstart_here("predict", label_run.folder, *as_options(*texts, ""), "--json").stdout.splitlines()
    assert [json.loads(line).get("predicted") for line in told] == [said, [], None]
    lines = headstart_here("predict", label_run.folder, *as_options(*texts, ""), "--csv").stdout.splitlines()
    table = list(csv.reader(lines))
    assert table[0] == ["file", "predicted", *label_run.classes, "problem"]
    assert [row[1] for row in table[1:]] == [";".join(said), "", ""]
    assert len({len(row) for row in table}) == 1


def test_the_report_tells_labels(label_run: hs.Run) -> None:
    page = (label_run.folder / "report.html").read_text(encoding="utf-8")
    split = label_run.figures.splits["test"]
    assert f"the model predicted <strong>{split.label_counts.predicted}</strong> labels" in page
    assert "Mean average precision" in page
    assert "Balanced accuracy" not in page
    assert f"threshold {split.per_class['python'].threshold:.3f}" in page
    mistakes = [row for row in _rows(label_run.folder / "predictions.csv") if row["split"] == "test" and row["worst"]]
    assert len(re.findall('<span class="soft">predicted:', page)) == min(len(mistakes), 12) > 0
    assert '<mark class="for' in page


def test_labels_in_doubt_are_listed_and_mended(label_run: hs.Run, labelled: pd.DataFrame, tmp_path: Path) -> None:
    suspects = _rows(label_run.folder / "suspects.csv")
    judged = {row["file"] for row in _rows(label_run.folder / "predictions.csv") if row["split"] != "test"}
    assert label_run.facts.label_issues.to_json() == {"examined": len(judged), "count": len(suspects)}
    assert 0 < len(suspects) < 0.3 * len(judged)
    assert {row["file"] for row in suspects} <= judged
    for row in suspects:
        assert set(row["label"].split(";")) != set(row["suggested"].split(";")) <= {*label_run.classes, ""}
    page = (label_run.folder / "report.html").read_text(encoding="utf-8")
    assert f"Labels of {len(suspects)} of {len(judged)} texts look wrong" in page
    fixes = tmp_path / "fixes.csv"
    pd.DataFrame(suspects).assign(label=[row["suggested"] for row in suspects]).to_csv(fixes, index=False)
    mended = hs.train(labelled, base=WORDS, fine_tune="none", relabel=fixes, runs=tmp_path)
    after = {row["file"]: row["label"] for row in _rows(mended.folder / "predictions.csv")}
    assert all(after[row["file"]] == row["suggested"] for row in suspects)
    assert mended.facts.data.corrections.changed == len(suspects)


def test_columns_and_a_separator_give_the_same_run(
    headstart_here: Command, label_run: hs.Run, labelled: pd.DataFrame, tmp_path: Path
) -> None:
    """And their tables serve to evaluate it, with the columns that training was told."""
    columns, joined = labelled[["text"]].copy(), labelled[["text"]].copy()
    for name in label_run.classes:
        columns[name] = [int(name in names) for names in labelled["label"]]
    joined["tags"] = ["|".join(names) for names in labelled["label"]]
    columns.to_csv(tmp_path / "columns.csv", index=False)
    joined.to_csv(tmp_path / "joined.csv", index=False)
    options = [
        "--base",
        WORDS,
        "--fine-tune",
        "none",
        "--runs",
        tmp_path,
        "--label-column",
        ",".join(label_run.classes),
    ]
    done = headstart_here("train", tmp_path / "columns.csv", *options)
    assert done.returncode == 0, done.stderr
    assert re.search(r"test micro F1 \d\.\d{3} \(95 % interval .*\), macro F1 .*, on 3\d texts", done.stdout)
    run = hs.load(tmp_path / "columns")
    assert run.figures == label_run.figures
    same = hs.evaluate(run.folder, tmp_path / "columns.csv")
    assert same.figures.splits["held-out"].examples == 220
    assert same.figures.leak_free.metrics.metrics["micro_f1"].value == pytest.approx(run.metrics["micro_f1"], abs=1e-6)
    other = hs.evaluate(run.folder, tmp_path / "joined.csv", label_column="tags", label_separator="|")
    assert other.metrics == same.metrics
    with pytest.raises(InputError, match=r"classes that the run does not know|is multi-label"):
        hs.evaluate(run.folder, joined, label_column="tags")


def test_runs_and_data_of_different_kinds_do_not_mix(
    label_run: hs.Run, text_run: hs.Run, labelled: pd.DataFrame, sentences: Path
) -> None:
    plain = pd.read_csv(sentences).query("label == 'python'")
    with pytest.raises(InputError, match=f"{label_run.folder} predicts any number of labels for each example"):
        hs.evaluate(label_run.folder, plain)
    lists = pd.DataFrame({"text": labelled["text"], "label": [["python"]] * len(labelled)})
    with pytest.raises(InputError, match=f"{text_run.folder} predicts one class for each example"):
        hs.evaluate(text_run.folder, lists)


def test_what_multi_label_data_cannot_have_is_said(labelled: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="class_weights: balanced is for single-label data"):
        hs.train(labelled, base=WORDS, class_weights="balanced", runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_fine_tuning_is_judged_by_mean_average_precision(labelled: pd.DataFrame, tmp_path: Path) -> None:
    once = hs.FineTuneConfig(fine_tune_epochs=1, keep="fine-tuned")
    run = hs.train(labelled, base=WORDS, fine_tune="all", config=once, runs=tmp_path)
    told = run.facts.fine_tuning
    assert told.outcome == "kept"
    for key, side in (("on_val", "val"), ("on_test", "test")):
        found = run.figures.splits[side].metrics["mean_average_precision"].value
        assert getattr(told, key).value[1] == pytest.approx(found, abs=1e-6)
    assert "mean average precision 0." in told.reason
    rows = [row for row in _rows(run.folder / "history.csv") if row["phase"] == "fine-tuning"]
    assert float(rows[1]["val_loss"]) < 0.8
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Mean average precision, validation" in page
    assert "mended" not in page


def test_pictures(photos: Path, tmp_path: Path) -> None:
    """Each is labelled by what it shows, and by whether it is bright."""
    files = sorted(photos.rglob("*.jpg"))
    bright = [np.asarray(Image.open(file)).mean() > 120 for file in files]
    table = {"path": files, "flower": [file.parent.name == "flower" for file in files], "bright": bright}
    run = hs.train(
        pd.DataFrame(table), label_column=["flower", "bright"], input_size=SIZE, fine_tune="none", runs=tmp_path
    )
    assert run.metrics["macro_f1"] > 0.8
    answer = run.predict(files[0], tta=True)
    assert ("bright" in answer.predicted, "flower" in answer.predicted) == (bright[0], False)
    assert "Images per label" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_more_examples_of_the_same_labels(label_run: hs.Run, labelled: pd.DataFrame, tmp_path: Path) -> None:
    more = labelled.head(40).copy()
    more["text"] = [f"Once more: {text[::-1]}" for text in more["text"]]
    extended = hs.extend(label_run.folder, more, runs=tmp_path)
    change = extended.facts.change
    assert extended.classes == label_run.classes
    assert change.overall.value[0] == pytest.approx(
        label_run.figures.splits["test"].metrics["mean_average_precision"].value, abs=1e-4
    )
    per_label = label_run.figures.splits["test"].per_class
    for one in change.classes:
        assert one.before[0] == pytest.approx(per_label[one.name].recall.value)
    tuned = hs.tune(extended.folder, fine_tune="none")
    assert tuned.facts.data.digest == extended.facts.data.digest
    more["label"] = [["python", "verse"]] * 40
    with pytest.raises(InputError, match=r"labels that .* does not know: 'verse'. It is unknown which"):
        hs.extend(label_run.folder, more, runs=tmp_path)
