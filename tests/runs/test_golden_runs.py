"""Runs of the last format and of this one: opened, used, extended; and refused by file and field once damaged."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.config import TrainConfig
from headstart.errors import HeadstartError, InputError, IntegrityError
from headstart.runs.files import read_facts
from headstart.runs.schema import FORMAT_VERSION
from headstart.runs.tables import (
    read_history,
    read_label_issues,
    read_outputs,
    read_predictions,
    read_skipped,
)
from headstart.tasks import get_task
from tests.damage import DAMAGES
from tests.files.runs.make import HERE, PLACE, make_boxes, make_images, make_texts

VERSIONS, KINDS = ("v1", "v2", "v3"), ("images", "texts", "multi-label")
NAMES = [f"{version}-{kind}" for version in VERSIONS for kind in KINDS]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data and the bases that the runs name, as :data:`PLACE` was when they were made."""
    folder = tmp_path_factory.mktemp("golden")
    shutil.copytree(HERE, folder / "bases", ignore=shutil.ignore_patterns("v*-*", "*.py", "__pycache__"))
    make_images(folder / "images")
    make_texts(folder / "texts.csv")
    make_boxes(folder / "boxes")
    return folder


@pytest.fixture
def golden(place: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies a run, which then names its data where they are."""

    def copied(name: str) -> Path:
        run = Path(shutil.copytree(HERE / name, tmp_path / name))
        for path in run.rglob("run.json"):
            path.write_text(path.read_text(encoding="utf-8").replace(str(PLACE), str(place)), encoding="utf-8")
        return run

    return copied


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_read_in_every_part(golden: Callable[[str], Path], name: str) -> None:
    folder = golden(name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run = hs.load(folder)
    facts, figures = run.facts, run.figures
    assert facts.format_version == int(name[1])
    assert (facts.kind, facts.name, facts.seed) == ("trained", name, 0)
    assert facts.task == ("multi-label" if name.endswith("multi-label") else "single-label")
    assert facts.modality.name == ("image" if name.endswith("images") else "text")
    assert (facts.data.examples, facts.data.splits["test"].examples) == (40, 10)
    assert facts.data.path.startswith(facts.data.root)
    assert TrainConfig.from_settings(facts.config).fine_tuning.fine_tune == facts.config["fine_tune"]
    assert facts.freeze_proof.changed == 0
    assert facts.golden.count == 4
    assert figures.headline == "test"
    assert next(iter(run.metrics.values())) == figures.splits["test"].metrics[figures.metrics[0]].value
    rows = read_predictions(folder, facts)
    assert [len([row for row in rows if row.split == split]) for split in ("train", "val", "test")] == [20, 10, 10]
    assert all((row.scores.mistake is None) == (row.predicted == row.labels) for row in rows)
    task, thresholds = get_task(facts.task), facts.thresholds and np.array(list(facts.thresholds.values()))
    decided = task.decide(read_outputs(rows, task, facts.classes), thresholds)
    assert [list(row.predicted) for row in rows] == [task.names(label, facts.classes) for label in decided]
    issues = read_label_issues(folder, facts)
    assert len(issues) == facts.label_issues.count
    assert {row.phase for row in read_history(folder, facts)} >= {"cross-validation"}
    assert min(row.l2 for row in read_history(folder, facts) if row.phase == "cross-validation") > 0
    assert len(read_skipped(folder, facts)) == name.endswith("images")
    assert {path: path.read_bytes() for path in before} == before


def test_a_detector_is_read_in_every_part(golden: Callable[[str], Path]) -> None:
    folder = golden("v4-boxes")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run = hs.load(folder)
    facts, figures = run.facts, run.figures
    assert (facts.format_version, facts.kind, facts.task) == (4, "trained", "detection")
    assert facts.classes == ["block", "frame"]
    assert (facts.data.examples, facts.data.splits["test"].examples) == (24, 6)
    assert (facts.freeze_proof.changed, facts.golden.count, figures.headline) == (0, 4, "test")
    assert run.metrics["map_50"] == figures.splits["test"].metrics["map_50"].value
    assert 0 < run.metrics["map_50_95"] < run.metrics["map_50"] <= 1
    rows, task = read_predictions(folder, facts), get_task("detection")
    assert [len([row for row in rows if row.split == split]) for split in ("train", "val", "test")] == [12, 6, 6]
    assert facts.thresholds is not None
    decided = task.decide(read_outputs(rows, task, facts.classes), np.array(list(facts.thresholds.values())))
    names = [{*task.names(boxes, facts.classes)} for boxes in decided]
    assert [{*row.predicted} for row in rows] == names
    assert {"block", "frame"} in names
    assert len(read_label_issues(folder, facts)) == facts.label_issues.count
    assert read_history(folder, facts)[-1].epoch == 60
    assert {path: path.read_bytes() for path in before} == before


def test_a_detector_answers_as_it_did_and_reports(golden: Callable[[str], Path], place: Path, tmp_path: Path) -> None:
    folder = golden("v4-boxes")
    run = hs.load(folder)
    with open(folder / "predictions.csv", newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    for row, answer in zip(rows, run.predict([place / "boxes" / row["file"] for row in rows]), strict=True):
        assert numbers_in(answer.cells()["predicted"]) == pytest.approx(numbers_in(row["predicted"]), abs=0.11)
    page = run.report().read_text(encoding="utf-8")
    assert "<title>v4-boxes · headstart</title>" in page
    assert "0 of 6 frozen tensors changed" in page
    old = hs.load(folder / "evaluations" / "new")
    assert "Evaluation of" in old.report().read_text(encoding="utf-8")
    evaluation = hs.evaluate(folder, make_boxes(tmp_path / "more", 4, start=50))
    assert evaluation.metrics == pytest.approx(old.metrics, abs=0.02)


def numbers_in(cell: str) -> list[float]:
    return [*map(float, re.findall(r"[\d.]+", cell))]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_answers_as_it_did_and_reports(golden: Callable[[str], Path], place: Path, name: str) -> None:
    folder = golden(name)
    run = hs.load(folder)
    rows = read_predictions(folder, run.facts)
    examples = [row.text or place / "images" / row.file for row in rows]
    answers = run.predict(examples)
    for row, answer in zip(rows, answers, strict=True):
        assert answer.cells()["predicted"] == ";".join(sorted(row.predicted, key=lambda c: -answer.probabilities[c]))
        told = {name: answer.probabilities[name] for name in row.scores.probabilities}
        assert told == pytest.approx(row.scores.probabilities, abs=2e-4)
    page = run.report().read_text(encoding="utf-8")
    assert f"<title>{name} · headstart</title>" in page
    assert "✓ base verified unchanged" in page


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_is_evaluated_and_extended(golden: Callable[[str], Path], tmp_path: Path, version: str) -> None:
    folder = golden(f"{version}-images")
    old = hs.load(folder / "evaluations" / "new")
    assert (old.facts.kind, old.facts.classes) == ("evaluation", ["columns", "rows"])
    assert "Evaluation of" in old.report().read_text(encoding="utf-8")
    with pytest.raises(InputError, match="is an evaluation: predict with the run that it is of"):
        old.predict(tmp_path)
    more = make_images(tmp_path / "more", 4, start=50)
    evaluation = hs.evaluate(folder, more)
    assert evaluation.metrics["accuracy"] == old.metrics["accuracy"]
    assert evaluation.facts.format_version == FORMAT_VERSION
    extended = hs.extend(folder, more, fine_tune="none", cache=tmp_path / "cache")
    assert extended.facts.change.overall.value[0] == pytest.approx(hs.load(folder).metrics["accuracy"])
    assert extended.facts.data.examples == 48


@pytest.mark.parametrize("file", ["run.json", "metrics.json"])
def test_a_newer_format_is_refused_by_name(golden: Callable[[str], Path], file: str) -> None:
    folder = golden("v3-texts")
    plain = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**plain, "format_version": 6, "unheard_of": 1}))
    expected = f"{file}: format_version 6 is newer than this version of headstart, which reads up to 5. Upgrade"
    with pytest.raises(InputError, match=re.escape(expected)):
        hs.load(folder)


def test_messages_name_file_field_and_value(golden: Callable[[str], Path]) -> None:
    folder = golden("v3-images")
    plain = json.loads((folder / "run.json").read_text())
    for place, value, expected in (
        (("base", "input_size"), "x", 'base.input_size: expected two whole numbers or null, got "x"'),
        (("base", "input_size"), [16, 1.5], "base.input_size: expected two whole numbers or null, got [16, 1.5]"),
        (("base", "input_size"), None, "base.input_size: expected a value: the base reads images, got null"),
        (("data", "splits", "test", "examples"), "10", 'data.splits.test.examples: expected a whole number, got "10"'),
        (("engine", "kind"), "abacus", 'engine.kind: expected "openvino" or "keras", got "abacus"'),
        (("seed",), True, "seed: expected a whole number, got true"),
        (("task",), 7, "task: expected a text, got 7"),
        (("classes",), ["rows", "rows"], "classes: expected at least one name, each of them once"),
        (("clases",), [], "clases: unknown field. Did you mean 'classes'?"),
        (("audit", 0, "files"), [], "audit[0].files: unknown field."),
        (("data",), None, "data: expected an object: the run is of the kind trained, got null"),
    ):
        changed = json.loads(json.dumps(plain))
        target = changed
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = value
        (folder / "run.json").write_text(json.dumps(changed))
        with pytest.raises(IntegrityError, match=re.escape(f"v3-images/run.json: {expected}")):
            hs.load(folder)


# --- damages: always an error of headstart's own, which names the file and, inside of JSON, the field ---------------


def error_of(act: Callable[[], object]) -> HeadstartError | None:
    """What headstart says; any other exception is a failure."""
    try:
        act()
    except HeadstartError as exc:
        return exc
    return None


def use_all(folder: Path) -> None:
    """Everything that reads a run."""
    run = hs.load(folder)
    run.predict("a wave near the harbour" if run.facts.modality.name == "text" else sorted(folder.glob("../*.bmp")))
    run.report()


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of nested data, and the first item of every list."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, below in items:
        yield (*path, key)
        yield from paths_in(below, (*path, key))


MAPPINGS = {
    "settings",
    "files",
    "versions",
    "class_weights",
    "splits",
    "per_class",
    "importance",
    "mattered",
    "thresholds",
    "tried",
}
"""Keys whose objects have no fixed fields; like lists, they may hold fewer. Format 1 left out what did not apply."""


@pytest.mark.parametrize(
    "name",
    [
        *("v3-images", "v3-texts", "v4-boxes"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("v1-images", "v1-multi-label", "v3-multi-label")),
    ],
)
@pytest.mark.parametrize("file", ["run.json", "metrics.json"])
def test_every_key_that_is_gone_or_of_another_kind_is_named(
    golden: Callable[[str], Path], name: str, file: str
) -> None:
    folder = golden(name)
    good = json.loads((folder / file).read_text(encoding="utf-8"))

    def attempt(plain: Any) -> HeadstartError | None:
        (folder / file).write_text(json.dumps(plain), encoding="utf-8")
        return error_of(lambda: hs.load(folder).report())

    for path in paths_in(good):
        if path[0] in ("config", "asked"):  # read by the settings of a training, not here
            continue
        for damage in ("gone", "of another kind"):
            plain = json.loads(json.dumps(good))
            target = plain
            for key in path[:-1]:
                target = target[key]
            if damage == "gone":
                del target[path[-1]]
            else:
                target[path[-1]] = {"strange": [1]} if not isinstance(target[path[-1]], dict) else 7
            error = attempt(plain)
            is_item = isinstance(path[-1], int) or (len(path) > 1 and path[-2] in MAPPINGS)
            may_lack = is_item or (name.startswith("v1") and damage == "gone")
            if error is None:
                assert may_lack, (path, damage)
            else:
                assert isinstance(error, InputError | IntegrityError)
                assert name in str(error)
                if not may_lack:  # which may contradict another file
                    assert f"{name}/{file}: " in str(error), (path, error)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v3-images", "v3-texts", "v3-multi-label"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_as_it_was_written_is_named(golden: Callable[[str], Path], name: str, damage: str) -> None:
    folder = golden(name)
    digests = read_facts(folder).files
    assert {"predictions.csv", "metrics.json", "engine/model.bin", "model.keras"} < digests.keys()
    for file in digests.keys() - {"model.keras"}:  # which is read by exports alone
        path = folder / file
        content = path.read_bytes()
        DAMAGES[damage](path)
        if path.exists() and path.read_bytes() == content:
            continue
        error = error_of(lambda: use_all(folder))
        assert isinstance(error, IntegrityError), (file, error)
        assert str(path) in str(error), error
        path.write_bytes(content)
    DAMAGES[damage](folder / "model.keras")
    error = error_of(lambda: hs.export(folder, "keras"))
    assert str(folder / "model.keras") in str(error)


@pytest.mark.parametrize("name", ["v1-images"])
@pytest.mark.parametrize("damage", ["removed", "emptied", "cut in half"])
def test_every_file_that_is_damaged_is_named(golden: Callable[[str], Path], name: str, damage: str) -> None:
    source = golden(name)
    unread = {"model.keras", "evaluations", "exports", "report.html"}  # by what is tried here
    files = [path for path in source.rglob("*") if path.is_file() and not unread & set(path.relative_to(source).parts)]
    for path in files:
        content = path.read_bytes()
        if damage == "removed":
            path.unlink()
        else:
            path.write_bytes(b"" if damage == "emptied" else content[: len(content) // 2])
        optional = damage == "removed" and path.name in (
            "heat.json",
            "words.json",
            *(["history.csv"] if "v1" in name else []),
        )
        is_whole = path.name in ("skipped.csv", "words.txt") and len(content) < 40
        error = error_of(lambda: use_all(source))
        if error is None:
            assert optional or is_whole, path
        else:  # of the tokenizer, its folder
            message = str(error)
            assert path.name in message or path.parent.name in message or "golden samples" in message, (path, message)
        path.write_bytes(content)
    use_all(source)


@pytest.mark.parametrize(
    ("file", "line", "column", "value", "expected"),
    [
        ("predictions.csv", 3, "split", "tests", "line 3, column split: expected train or val or test, got 'tests'"),
        ("predictions.csv", 2, "label", "horse", "line 2, column label: expected one of the classes, got 'horse'"),
        ("predictions.csv", 2, "file", "", "line 2, column file: expected a text, got ''"),
        ("predictions.csv", 4, "probability", "1.2", "line 4, column probability: expected a probability, got '1.2'"),
        ("predictions.csv", 4, "probability", "high", "line 4, column probability: expected a probability"),
        ("predictions.csv", 5, "sha256", "abc", "line 5, column sha256: expected a SHA-256, got 'abc'"),
        ("history.csv", 2, "val_loss", "low", "line 2, column val_loss: expected a number, got 'low'"),
        ("history.csv", 2, "epoch", "1.5", "line 2, column epoch: expected a whole number, got '1.5'"),
        ("skipped.csv", 2, "file", "", "line 2, column file: expected a text, got ''"),
    ],
)
def test_a_cell_that_cannot_be_is_named(
    golden: Callable[[str], Path], file: str, line: int, column: str, value: str, expected: str
) -> None:
    folder = golden("v3-images")
    with open(folder / file, newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    rows[line - 2][header.index(column)] = value
    with open(folder / file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    with pytest.raises(IntegrityError, match=re.escape(f"{file}, {expected}")):
        hs.load(folder).report()


def test_rows_and_columns_that_are_gone_are_named(golden: Callable[[str], Path]) -> None:
    folder = golden("v2-images")
    path = folder / "predictions.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for content, expected in (
        (lines[:-5], "predictions.csv: expected 40 rows, as run.json says, got 35"),
        ([lines[0].replace("label,", "lable,", 1), *lines[1:]], "predictions.csv, line 1: the column label is missing"),
        ([*lines[:3], "train,columns/00.bmp\n", *lines[4:]], "predictions.csv, line 4: expected 7 cells, got 2"),
    ):
        path.write_text("".join(content), encoding="utf-8")
        with pytest.raises(IntegrityError, match=re.escape(expected)):
            hs.load(folder).report()


def test_label_issues_may_be_edited_as_the_report_says(golden: Callable[[str], Path]) -> None:
    folder = golden("v2-multi-label")
    path = folder / "suspects.csv"
    with open(path, newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    at = header.index("label")
    rows[0][at], rows[1][at] = "drop", "sea"
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows[:2]])
    assert [issue.labels for issue in read_label_issues(folder, read_facts(folder))] == [(), ("sea",)]
    hs.load(folder).report()


def test_tables_with_quotes_newlines_and_strange_bytes_are_read_as_they_were_written(
    golden: Callable[[str], Path], tmp_path: Path
) -> None:
    table = tmp_path / "odd.csv"
    texts = [f'the wave, "{i}"\nof the sea' if i % 2 else f"moss; bark {i}\ttree" for i in range(24)]
    with open(table, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [("text", "label"), *((text, "sea" if i % 2 else "wood") for i, text in enumerate(texts))]
        )
    evaluation = hs.evaluate(golden("v2-texts"), table)
    rows = read_predictions(evaluation.folder, evaluation.facts)
    assert [row.text for row in rows] == texts
