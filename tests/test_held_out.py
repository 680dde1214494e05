import shutil
from pathlib import Path

import pytest

import headstart as hs
from headstart.errors import InputError


@pytest.fixture
def fresh(run: hs.Run, tmp_path: Path) -> Path:
    """A copy of the run, so that evaluations do not pile up in the shared one."""
    return Path(shutil.copytree(run.folder, tmp_path / "run"))


def test_pictures_seen_in_training_are_found_and_left_out_of_the_second_figure(fresh: Path, photos: Path) -> None:
    evaluation = hs.evaluate(fresh, photos)
    held_out = evaluation.figures["splits"]["held-out"]
    leak_free = evaluation.facts["leak_free"]
    assert held_out["examples"] == 110
    assert (leak_free["examples"], leak_free["removed"]) == (16, 94)
    original = hs.load(fresh)
    assert leak_free["metrics"]["accuracy"]["value"] == original.metrics["accuracy"]
    assert leak_free["metrics"]["log_loss"]["value"] == pytest.approx(original.metrics["log_loss"], abs=1e-4)
    assert evaluation.facts["audit"][0]["state"] == "found"


def test_an_evaluation_is_never_overwritten_and_opens_like_a_run(fresh: Path, photos: Path) -> None:
    folders = [hs.evaluate(fresh, photos).folder for _ in range(2)]
    assert [folder.relative_to(fresh).as_posix() for folder in folders] == [
        "evaluations/photos",
        "evaluations/photos-2",
    ]
    assert hs.load(folders[0]).classes == ["china", "flower"]
    assert (folders[0] / "report.html").stat().st_size > 1000


def test_one_class_alone_can_be_evaluated(fresh: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "flower", tmp_path / "held-out/flower")
    (tmp_path / "held-out/flower/bad.jpg").write_bytes(b"")
    evaluation = hs.evaluate(fresh, tmp_path / "held-out")
    assert evaluation.figures["splits"]["held-out"]["per_class"]["china"]["support"] == 0
    assert "bad.jpg" in (evaluation.folder / "skipped.csv").read_text()
    with pytest.raises(InputError, match=r"--strict, and 1 file"):
        hs.evaluate(fresh, tmp_path / "held-out", strict=True)


def test_classes_that_the_run_does_not_know_are_named(fresh: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "flower", tmp_path / "held-out/flowers")
    with pytest.raises(InputError, match=r"'flowers'.*knows 'china', 'flower'.* Did you mean 'flower'"):
        hs.evaluate(fresh, tmp_path / "held-out")


def test_nothing_usable_is_an_error(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "held-out/flower").mkdir(parents=True)
    (tmp_path / "held-out/flower/bad.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"nothing is left.*\n.*bad.jpg: empty"):
        hs.evaluate(fresh, tmp_path / "held-out")
    assert not (fresh / "evaluations").exists()


def test_of_divided_data_the_test_part_is_taken(fresh: Path, photos: Path, tmp_path: Path) -> None:
    for side, numbers in (("train", range(20)), ("test", range(20, 25))):
        for name in ("china", "flower"):
            (tmp_path / "data" / side / name).mkdir(parents=True)
            for number in numbers:
                shutil.copy(photos / name / f"{number:02}.jpg", tmp_path / "data" / side / name)
    assert hs.evaluate(fresh, tmp_path / "data").figures["splits"]["held-out"]["examples"] == 10
