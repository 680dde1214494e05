"""Label issues, calibration, unsure and out-of-distribution answers, the learning curve: in whole runs on texts."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.errors import InputError
from headstart.evaluation.out_of_distribution import FILE, load_detector
from tests.conftest import WORDS, Command

pytestmark = pytest.mark.slow
STRANGE = "xylem phloem stomata mitochondria chloroplast"


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def planted(sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The sentences with 8 wrong labels, and the right ones of these, by row."""
    rows = _rows(sentences)
    right = {}
    for i in range(5, len(rows), len(rows) // 8):
        right[f"row {i + 2}"] = rows[i]["label"]
        rows[i]["label"] = {"python": "data", "data": "python"}[rows[i]["label"]]
    table = tmp_path_factory.mktemp("data") / "planted.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("text", "label"))
        writer.writeheader()
        writer.writerows(rows)
    return table, right


@pytest.fixture(scope="module")
def doubtful(planted: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """Trained on these with enough validation examples to calibrate on."""
    runs = tmp_path_factory.mktemp("runs")
    return hs.train(planted[0], base=WORDS, fine_tune="none", val=0.3, min_precision=0.8, runs=runs)


def test_wrong_labels_are_listed_and_mended(
    doubtful: hs.Run, planted: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    table, right = planted
    suspects = _rows(doubtful.folder / "suspects.csv")
    test = {row["file"] for row in _rows(doubtful.folder / "predictions.csv") if row["split"] == "test"}
    assert not test & {row["file"] for row in suspects}
    to_find, found = set(right) - test, {row["file"] for row in suspects}
    assert len(found & to_find) > 0.6 * len(to_find)
    assert len(found) < 0.2 * doubtful.facts.label_issues.examined
    assert doubtful.facts.label_issues.count == len(suspects)
    report = (doubtful.folder / "report.html").read_text(encoding="utf-8")
    assert "Label issues" in report
    assert suspects[0]["text"][:30] in report

    fixes = tmp_path / "fixes.csv"
    dropped = suspects[-1]["file"]
    with open(fixes, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, suspects[0])
        writer.writeheader()
        for row in suspects:
            label = "drop" if row["file"] == dropped else right.get(row["file"], row["label"])
            writer.writerow({**row, "label": label})
    mended = hs.train(table, base=WORDS, fine_tune="none", val=0.3, relabel=fixes, runs=tmp_path)
    before = {row["file"]: row for row in _rows(doubtful.folder / "predictions.csv")}
    after = {row["file"]: row for row in _rows(mended.folder / "predictions.csv")}
    assert set(before) - set(after) == {dropped}
    assert all(row["split"] == before[file]["split"] for file, row in after.items())
    changed = {file for file, row in after.items() if row["label"] != before[file]["label"]}
    assert changed == (found & set(right)) - {dropped}
    assert mended.facts.data.corrections.to_json() == {"table": str(fixes), "changed": len(changed), "left_out": 1}
    assert mended.facts.cost.examples_computed == 0
    assert not changed & {row["file"] for row in _rows(mended.folder / "suspects.csv")}


def test_the_temperature_is_part_of_the_head(doubtful: hs.Run, tmp_path: Path) -> None:
    told = doubtful.facts.calibration
    splits = doubtful.facts.data.splits
    assert told.chosen_on == "validation and cross-validation"
    assert told.on_chosen.examples == splits["train"].examples + splits["val"].examples
    assert (told.temperature != 1) == (told.outcome == "kept")
    test = [row for row in _rows(doubtful.folder / "predictions.csv") if row["split"] == "test"]
    losses = -np.log([float(row["label_probability"]) for row in test])
    assert losses.mean() == pytest.approx(told.on_test.log_loss[told.outcome == "kept"], abs=1e-3)
    assert "Temperature scaling" in (doubtful.folder / "report.html").read_text(encoding="utf-8")


def test_without_validation_data_cross_validation_calibrates(sentences: Path, tmp_path: Path) -> None:
    run = hs.train(sentences, base=WORDS, fine_tune="none", val=0.0, min_precision=0.8, runs=tmp_path)
    assert run.facts.calibration.chosen_on == "cross-validation"
    assert run.facts.calibration.on_chosen.examples == run.facts.data.splits["train"].examples
    assert run.facts.selective_prediction.chosen_on == "cross-validation"
    assert run.facts.out_of_distribution is None


def test_unsure_answers_are_marked(doubtful: hs.Run, text_run: hs.Run, sentences: Path) -> None:
    rejection = doubtful.facts.selective_prediction
    assert rejection.threshold is not None
    assert rejection.on_chosen.precision > 0.8
    texts = [row["text"] for row in _rows(sentences)][::10]
    plain, marked = doubtful.predict(texts), doubtful.predict(texts, min_confidence=0.9)
    assert not any(answer.unsure for answer in plain)
    assert [answer.unsure for answer in marked] == [answer.probability < 0.9 for answer in marked]
    assert [answer.predicted for answer in marked] == [answer.predicted for answer in plain]
    limit = rejection.threshold
    by_itself = doubtful.predict(texts, min_confidence="auto")
    assert [answer.unsure for answer in by_itself] == [answer.probability < limit for answer in by_itself]

    with pytest.raises(InputError, match=r"no threshold of its own, .* No confidence with a precision of 95 %"):
        text_run.predict(texts, min_confidence="auto")
    for wrong, message in ((1.5, "got 1.5"), (-0.1, "got -0.1")):
        with pytest.raises(InputError, match=message):
            doubtful.predict(texts, min_confidence=wrong)


def test_the_command_says_unsure_and_out_of_distribution(headstart_here: Command, doubtful: hs.Run) -> None:
    command = ["predict", str(doubtful.folder), "--text", STRANGE, "--min-confidence", "1"]
    told = headstart_here(*command)
    assert told.returncode == 0
    assert told.stdout.startswith("unsure")
    assert f"{STRANGE}   (out-of-distribution, " in told.stdout
    answer = json.loads(headstart_here(*command, "--json").stdout)
    assert answer["unsure"]
    assert answer["out_of_distribution"]
    assert answer["predicted"] in doubtful.classes
    (row,) = csv.DictReader(headstart_here(*command, "--csv").stdout.splitlines())
    assert (row["unsure"], row["out_of_distribution"]) == ("true", "true")


def test_what_is_like_the_training_data_is_familiar(doubtful: hs.Run, sentences: Path, tmp_path: Path) -> None:
    detector = load_detector(doubtful.folder / FILE)
    assert detector is not None
    assert (doubtful.folder / FILE).stat().st_size < 100_000
    texts = [row["text"] for row in _rows(sentences)]
    assert np.mean([answer.out_of_distribution for answer in doubtful.predict(texts)]) < 0.05
    evaluation = hs.evaluate(doubtful.folder, sentences, name="again")
    assert evaluation.facts.out_of_distribution.count == sum(
        answer.out_of_distribution for answer in doubtful.predict(texts)
    )
    assert evaluation.facts.selective_prediction.on_held_out.examples == len(texts)
    assert "unlike those that the run was trained on" in (evaluation.folder / "report.html").read_text(encoding="utf-8")


def test_the_learning_curve_is_in_the_report(doubtful: hs.Run) -> None:
    told = doubtful.facts.learning_curve
    assert told.n_train == doubtful.facts.data.splits["train"].examples
    assert [round(point[0] / told.n_train, 1) for point in told.points] == [0.1, 0.2, 0.4, 0.8]
    middle, low, high = told.gain
    assert low <= middle <= high
    assert "Learning curve" in (doubtful.folder / "report.html").read_text(encoding="utf-8")
