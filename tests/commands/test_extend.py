"""A finished run with more examples: what was there stays where it was, and what became of it is said."""

import csv
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import headstart as hs
from headstart.errors import InputError
from tests.conftest import SIZE, Command

pytestmark = pytest.mark.slow  # the first run of a base converts it


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _sides(folder: Path) -> dict[str, tuple[str, str]]:
    return {row["sha256"]: (row["split"], row["label"]) for row in _rows(folder)}


def _digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "evaluations" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _digits(folder: Path, which: range) -> None:
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True, exist_ok=True)
    images = load_digits().images
    for number in which:
        pixels = (255 - images[number] * 15).astype(np.uint8)
        Image.fromarray(pixels).resize((96, 96), Image.Resampling.NEAREST).save(folder / f"{number:02}.png")


@pytest.fixture(scope="module")
def tested(run: hs.Run) -> Path:
    """A picture that the run was tested on; not of the plain sky, which has no near-duplicates."""
    held = [row["file"] for row in _rows(run.folder) if (row["split"], row["label"]) == ("test", "flower")]
    return Path(run.facts.data.root, held[3])


@pytest.fixture(scope="module")
def more(photos: Path, tested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 pictures of a new class; and of old ones three that are there, one nearly, and one as if it were new."""
    folder = tmp_path_factory.mktemp("data") / "more"
    _digits(folder / "digit", range(30))
    (folder / "flower").mkdir()
    for name in ("00.jpg", "01.jpg", "02.jpg"):
        shutil.copy(photos / "flower" / name, folder / "flower")
    shutil.copy(photos / "china/07.jpg", folder / "digit")
    ImageEnhance.Brightness(Image.open(tested)).enhance(1.05).save(folder / "flower/again.jpg", quality=90)
    return folder


@pytest.fixture(scope="module")
def extended(run: hs.Run, more: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[hs.Run]:
    """The run with these; the old one is the same afterwards."""
    before = _digests(run.folder)
    yield hs.extend(run.folder, more, runs=tmp_path_factory.mktemp("runs"), name="wider")
    assert _digests(run.folder) == before


def test_old_examples_stay_where_they_are_and_come_from_the_cache(run: hs.Run, extended: hs.Run) -> None:
    old, new = _sides(run.folder), _sides(extended.folder)
    assert {digest: new[digest] for digest in old} == old
    added = [row for row in _rows(extended.folder) if row["sha256"] not in old]
    assert Counter(row["label"] for row in added) == {"digit": 30, "flower": 1}
    assert {row["split"] for row in added if row["label"] == "digit"} == {"train", "val", "test"}
    again = next(row for row in added if row["file"].endswith("again.jpg"))
    assert again["split"] == "test"  # like the picture that it nearly repeats
    cost = extended.facts.cost
    assert (cost.examples_computed, cost.examples_from_cache) == (31, 111)  # 110 and one of them as a digit
    assert extended.classes == [*run.classes, "digit"]


def test_an_old_picture_under_another_label_is_left_out_and_named(extended: hs.Run, more: Path) -> None:
    skipped = (extended.folder / "skipped.csv").read_text(encoding="utf-8")
    assert f"{more / 'digit/07.jpg'},an exact copy of " in skipped
    assert skipped.count("\n") == 2
    assert _sides(extended.folder)[hashlib.sha256((more / "digit/07.jpg").read_bytes()).hexdigest()][1] == "china"


def test_every_old_class_is_compared_on_what_was_held_out(run: hs.Run, extended: hs.Run) -> None:
    change = extended.facts.change
    after = {row["sha256"]: row["predicted"] == row["label"] for row in _rows(extended.folder)}
    held = [(row, row["predicted"] == row["label"], after[row["sha256"]]) for row in _rows(run.folder)]
    held = [one for one in held if one[0]["split"] == "test"]
    assert list(change.overall.value) == pytest.approx([np.mean([one[k] for one in held]) for k in (1, 2)])
    assert change.overall.log_loss[0] == pytest.approx(run.figures.splits["test"].metrics["log_loss"].value, abs=1e-5)
    for one in change.classes:
        mine = [(before, now) for row, before, now in held if row["label"] == one.name]
        assert one.examples == len(mine)
        assert one.before[0] == pytest.approx(np.mean([before for before, _ in mine]))
        assert one.after[0] == pytest.approx(np.mean([now for _, now in mine]))
        assert (one.fixed, one.regressed) == (mine.count((False, True)), mine.count((True, False)))
    assert [one.name for one in change.classes] == run.classes
    assert change.added_classes == ["digit"]
    page = (extended.folder / "report.html").read_text(encoding="utf-8")
    assert "Old classes, before and after" in page
    assert change.verdict[1:] in page


def test_an_extended_run_is_a_run(extended: hs.Run, more: Path, photos: Path, tmp_path: Path, caplog) -> None:
    assert extended.predict(more / "digit/01.png").predicted == "digit"
    assert hs.explain(extended.folder, photos / "china/03.jpg").nearest
    tuned = hs.tune(extended.folder, fine_tune="none", runs=tmp_path)
    assert _sides(tuned.folder) == _sides(extended.folder)
    assert tuned.facts.data.digest == extended.facts.data.digest
    assert "have changed" not in caplog.text
    shutil.rmtree(extended.folder / "evaluations", ignore_errors=True)
    judged = hs.evaluate(extended.folder, more)
    assert judged.figures.leak_free.removed > 20  # of the 34, whatever was not tested on


def test_it_can_be_extended_again_on_the_command_line(
    headstart_here: Command, extended: hs.Run, tmp_path: Path
) -> None:
    _digits(tmp_path / "more/digit", range(30, 36))
    options = ["--fine-tune", "none", "--runs", tmp_path / "runs"]
    done = headstart_here("extend", extended.folder, tmp_path / "more", *options)
    assert done.returncode == 0, done.stderr
    again = hs.load(tmp_path / "runs/wider")
    old, new = _sides(extended.folder), _sides(again.folder)
    assert {digest: new[digest] for digest in old} == old
    assert len(new) == len(old) + 6
    assert again.facts.config["input_size"] == extended.facts.config["input_size"] == [SIZE, SIZE]
    lines = done.stdout.split("\n")
    assert lines[0] == f"features of {len(old)} of {len(new)} images came from the cache"
    assert lines[1] == again.facts.change.verdict
    assert [line.split()[0] for line in lines[4:7]] == extended.classes
    assert all(line.count("%") == 6 for line in lines[4:7])
    with pytest.raises(InputError, match=r"nothing to add: all 6 images in .* are in .* already"):
        hs.extend(again.folder, tmp_path / "more")


def test_groups_go_where_they_are(photos: Path, tmp_path: Path) -> None:
    run = hs.train(photos, input_size=SIZE, group_by=r"(\d+)\.", fine_tune="none", runs=tmp_path)
    _digits(tmp_path / "more/digit", range(26))
    extended = hs.extend(run.folder, tmp_path / "more")
    side = {Path(row["file"]).stem: row["split"] for row in _rows(run.folder)}
    new = [row for row in _rows(extended.folder) if row["label"] == "digit"]
    assert {row["split"] for row in new} == {"train", "val", "test"}
    assert [row["split"] for row in new] == [side[Path(row["file"]).stem] for row in new]
    tuned = hs.tune(extended.folder, fine_tune="none")
    assert tuned.facts.data.digest == extended.facts.data.digest
    with open(tuned.folder / "examples.jsonl", encoding="utf-8") as file:
        assert json.loads(next(file))["group"] == "00"
    _digits(tmp_path / "again/digit", range(26, 30))
    twice = hs.extend(extended.folder, tmp_path / "again")
    assert len(_rows(twice.folder)) == len(_rows(extended.folder)) + 4


def test_what_cannot_be_added_is_said(run: hs.Run, sentences: Path, more: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is made of images, and .*sentences.csv holds texts"):
        hs.extend(run.folder, sentences)
    _digits(tmp_path / "data/China", range(3))
    with pytest.raises(
        InputError, match=r"the class 'China', and 'china' is there already: their names are nearly the same"
    ):
        hs.extend(run.folder, tmp_path / "data")
    table = tmp_path / "labels.csv"
    table.write_text(f"path,tags\n{more / 'digit/01.png'},china;digit\n")
    with pytest.raises(
        InputError, match=r"has one class for each example \(single-label\), and .* any number of labels"
    ):
        hs.extend(run.folder, table, label_separator=";")
    changed = shutil.copytree(run.folder, tmp_path / "changed")
    data = shutil.copytree(run.facts.data.root, tmp_path / "photos")
    facts = json.loads((changed / "run.json").read_text())
    facts["data"]["root"] = str(data)
    (changed / "run.json").write_text(json.dumps(facts))
    (data / "china/04.jpg").unlink()
    shutil.copy(data / "flower/08.jpg", data / "flower/09.jpg")
    told = r"2 of 110 images .*\n  china/04.jpg: is not there\n  flower/09.jpg: has another content\nRestore them"
    with pytest.raises(InputError, match=told):
        hs.extend(changed, more)
