import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import headstart as hs
from headstart.errors import InputError
from tests.conftest import SIZE, Command


@pytest.fixture
def fresh(run: hs.Run, tmp_path: Path) -> Path:
    """A copy of the run, so that evaluations do not pile up in the shared one."""
    return Path(shutil.copytree(run.folder, tmp_path / "run"))


def test_pictures_seen_in_training_are_found_and_left_out_of_the_second_figure(fresh: Path, photos: Path) -> None:
    evaluation = hs.evaluate(fresh, photos)
    held_out = evaluation.figures.splits["held-out"]
    leak_free = evaluation.figures.leak_free
    assert held_out.examples == 110
    assert (leak_free.examples, leak_free.removed) == (16, 94)
    original = hs.load(fresh)
    assert leak_free.metrics.metrics["accuracy"].value == original.metrics["accuracy"]
    assert leak_free.metrics.metrics["log_loss"].value == pytest.approx(original.metrics["log_loss"], abs=1e-4)
    exact, near = evaluation.facts.audit
    assert (exact.code, exact.state, exact.count) == ("HS038", "found", 94)
    assert near.code == "HS039"


def test_pictures_that_nearly_repeat_the_training_are_found(fresh: Path, photos: Path, tmp_path: Path) -> None:
    with open(fresh / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for split, size in (("train", 70), ("test", 80)):
        for row in [row for row in rows if row["split"] == split and "flower/2" in row["file"]][:3]:
            place = tmp_path / "again" / row["label"] / f"{split}-{Path(row['file']).name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(photos / row["file"]) as image:
                image.resize((size, size)).save(place)
    evaluation = hs.evaluate(fresh, tmp_path / "again")
    exact, near = evaluation.facts.audit
    assert (exact.state, near.state) == ("clean", "found")
    trained_on = [one.files for one in near.examples if one.files[0].startswith("flower/train-")]
    assert [Path(ours).name.partition("-")[2] for ours, _ in trained_on] == [
        Path(theirs).name for _, theirs in trained_on
    ]
    assert len(trained_on) == 3
    assert evaluation.figures.leak_free.removed == near.count
    assert "nearly repeat" in (evaluation.folder / "report.html").read_text(encoding="utf-8")


def test_training_pictures_are_looked_at_again_or_missed(
    fresh: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "elsewhere"))
    with Image.open(photos / "flower/21.jpg") as image:
        (tmp_path / "again/flower").mkdir(parents=True)
        image.resize((80, 80)).save(tmp_path / "again/flower/21.png")
    assert hs.evaluate(fresh, tmp_path / "again").facts.audit[1].state == "found"
    facts = json.loads((fresh / "run.json").read_text())
    facts["data"]["root"] = str(tmp_path / "nowhere")
    (fresh / "run.json").write_text(json.dumps(facts))
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another"))
    near = hs.evaluate(fresh, tmp_path / "again").facts.audit[1]
    assert (near.state, near.summary) == (
        "skipped",
        "The images that the run was trained on are no longer where they were.",
    )


def test_near_copies_across_a_given_split_are_left_out_of_a_second_figure(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [
        (photos / name / f"{i:02}.jpg", name, "test" if i % 3 == 0 else "train")
        for name in ("china", "flower")
        for i in range(40, 55)
    ]
    for i in (40, 41, 43):  # of the training part
        with Image.open(photos / "flower" / f"{i:02}.jpg") as image:
            image.resize((70, 75)).save(tmp_path / f"{i}.png")
        rows.append((tmp_path / f"{i}.png", "flower", "test"))
    table.write_text("path,label,split\n" + "".join(f"{path},{label},{split}\n" for path, label, split in rows))
    run = hs.train(table, input_size=SIZE, val=0, fine_tune="none", runs=tmp_path / "runs")
    leaks = next(finding for finding in run.facts.audit if finding.check == "near-leaks")
    assert {"40.png", "41.png", "43.png"} <= {Path(file).name for one in leaks.examples for file in one.files}
    leak_free = run.figures.leak_free
    assert leak_free.removed >= 3
    assert leak_free.examples + leak_free.removed == run.figures.splits["test"].examples
    assert "Some of these images were used in training" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_an_evaluation_is_never_overwritten_and_opens_like_a_run(fresh: Path, photos: Path) -> None:
    folders = [hs.evaluate(fresh, photos).folder for _ in range(2)]
    assert [folder.relative_to(fresh).as_posix() for folder in folders] == [
        "evaluations/photos",
        "evaluations/photos-2",
    ]
    assert hs.load(folders[0]).classes == ["china", "flower"]
    assert (folders[0] / "report.html").stat().st_size > 1000


def test_one_class_alone_can_be_evaluated(
    fresh: Path, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(photos / "flower", tmp_path / "held-out/flower")
    (tmp_path / "held-out/flower/bad.jpg").write_bytes(b"")
    evaluation = hs.evaluate(fresh, tmp_path / "held-out")
    assert evaluation.figures.splits["held-out"].per_class["china"].support == 0
    assert "bad.jpg" in (evaluation.folder / "skipped.csv").read_text()
    assert "1 file left out:\n  flower/bad.jpg: empty" in caplog.text
    with pytest.raises(InputError, match="strict: 1 file left out"):
        hs.evaluate(fresh, tmp_path / "held-out", strict=True)


def test_classes_that_the_run_does_not_know_are_named(fresh: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "flower", tmp_path / "held-out/flowers")
    with pytest.raises(InputError, match=r"'flowers'.*knows 'china', 'flower'.* Did you mean 'flower'"):
        hs.evaluate(fresh, tmp_path / "held-out")


def test_nothing_usable_is_an_error(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "held-out/flower").mkdir(parents=True)
    (tmp_path / "held-out/flower/bad.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"no example can be used: 1 file left out:\n.*bad.jpg: empty"):
        hs.evaluate(fresh, tmp_path / "held-out")
    assert not (fresh / "evaluations").exists()


def test_of_divided_data_the_test_part_is_taken(fresh: Path, photos: Path, tmp_path: Path) -> None:
    for side, numbers in (("train", range(20)), ("test", range(20, 25))):
        for name in ("china", "flower"):
            (tmp_path / "data" / side / name).mkdir(parents=True)
            for number in numbers:
                shutil.copy(photos / name / f"{number:02}.jpg", tmp_path / "data" / side / name)
    assert hs.evaluate(fresh, tmp_path / "data").figures.splits["held-out"].examples == 10


@pytest.mark.parametrize(
    ("limit", "code", "message"),
    [
        ("accuracy=0.6", 0, ""),
        ("log_loss=2", 0, ""),
        ("accuracy=1.01", 2, "accuracy is 100.0%: worse than 101.0%."),
        ("log_loss=0", 2, "log loss is "),
        (
            "acuracy=0.9",
            2,
            "--fail-under: expected METRIC=VALUE, such as accuracy=0.9, got 'acuracy=0.9'. Did you mean",
        ),
        ("accuracy=good", 2, "--fail-under: expected a number after accuracy=, such as 0.9, got 'good'."),
    ],
)
def test_a_figure_that_is_too_low_fails_the_command(
    limit: str, code: int, message: str, headstart_here: Command, fresh: Path, photos: Path
) -> None:
    done = headstart_here("evaluate", fresh, photos, "--fail-under", limit)
    assert (done.returncode, message in done.stderr) == (code, True)
    assert (fresh / "evaluations").exists() == (message[:2] != "--")
