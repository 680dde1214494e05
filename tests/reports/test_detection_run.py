"""The files and the report of an evaluation of a detector: tables are read again, and mistakes are drawn."""

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.data.examples import FileExample
from headstart.data.modalities import get_modality
from headstart.data.thumbnails import closeup
from headstart.errors import IntegrityError
from headstart.reports.run import write_report
from headstart.runs.answers import Answers, figures_of
from headstart.runs.files import read_facts, read_figures
from headstart.runs.schema import ClassFigures
from headstart.runs.tables import read_predictions, write_predictions, write_skipped
from headstart.tasks import get_task
from tests.tasks.detection_cases import array, boxes, detections

GOLDEN = sorted((Path(__file__).parent.parent / "files" / "runs").glob("v*-images"))[-1] / "evaluations" / "new"
CLASSES, SIZE = ["cat & co", "dog"], (60, 80)
LABELS = array(
    [
        boxes((0, 10, 10, 30, 30), (1, 40, 10, 70, 50), size=SIZE),
        boxes((1, 5, 5, 25, 25), size=SIZE),
        boxes(size=SIZE),
    ]
)
OUTPUTS = array(
    [
        detections((0, 10, 10, 30, 31, 0.9), (0, 41, 10, 70, 50, 0.8), (1, 0, 40, 9, 55, 0.1)),
        detections((1, 45, 30, 65, 50, 0.7)),
        detections(),
    ]
)


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder, data, task = tmp_path / "evaluation", tmp_path / "data", get_task("detection")
    folder.mkdir()
    data.mkdir()
    files = [f"{i}.png" for i in range(3)]
    for i, file in enumerate(files):
        Image.fromarray(np.full((*SIZE, 3), 80 * i, np.uint8)).save(data / file)
    examples = [FileExample(str(data / file)) for file in files]
    answers = Answers(
        np.full(3, "new"), files, LABELS, OUTPUTS, [example.digest() for example in examples], task, examples,
        get_modality("image"), np.array([0.5, 0.5]),
    )  # fmt: skip
    figures = figures_of({"new": answers.metrics(np.ones(3, bool), CLASSES, seed=0)}, "new")
    facts = json.loads((GOLDEN / "run.json").read_text(encoding="utf-8"))
    split = {"examples": 3, "per_class": task.class_counts(LABELS, CLASSES)}
    facts |= {"task": "detection", "classes": CLASSES, "thresholds": dict.fromkeys(CLASSES, 0.5), "files": {}}
    facts["data"] |= {"root": str(data), "examples": 3, "splits": {"new": split}}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "metrics.json").write_text(json.dumps(figures.to_json()), encoding="utf-8")
    write_predictions(folder, CLASSES, answers)
    write_skipped(folder, [])
    return folder


def test_tables_are_read_as_they_were_written(evaluation: Path) -> None:
    facts = read_facts(evaluation)
    assert read_figures(evaluation, facts).headline_figures.of_task()["errors"]["ghost"]["number"] == 1
    first, second, third = read_predictions(evaluation, facts)
    assert (first.labels, first.predicted) == (("cat & co", "dog"), ("cat & co", "cat & co"))
    assert first.label_cell == "80x60; cat & co 10 10 30 30; dog 40 10 70 50"
    assert second.scores.mistake.confidence == pytest.approx(0.7)
    assert (third.labels, third.predicted, third.scores.mistake) == ((), (), None)


def test_a_damaged_cell_is_named(evaluation: Path) -> None:
    path = evaluation / "predictions.csv"
    path.write_text(path.read_text().replace("dog 40 10 70 50", "dog 40 10 70"))
    with pytest.raises(IntegrityError, match=r"line 2, column label: expected the size of the image and its objects"):
        read_predictions(evaluation, read_facts(evaluation))


def test_a_damaged_cell_of_what_is_below_the_thresholds_is_named(evaluation: Path) -> None:
    path = evaluation / "predictions.csv"
    path.write_text(path.read_text().replace("dog 0 40 9 55 (0.1000)", "dog 0 40 9"))
    with pytest.raises(IntegrityError, match="line 2, column below_thresholds: expected"):
        read_predictions(evaluation, read_facts(evaluation))


def test_the_report_counts_and_draws_the_mistakes(evaluation: Path) -> None:
    page = write_report(evaluation).read_text(encoding="utf-8")
    text = _text(page)
    for expected in (
        "mAP50-95",
        "ghost: a detection where nothing is 1 +0.000",
        "missed 1: an object without a detection",
        "wrong class 1: a detection on an object of another class",
        "cat &amp; co 0.80, label dog",
        "class objects precision",
        "Recall: share of its objects that were found",
    ):
        assert expected in text
    assert page.count('aria-label="precision by recall →: ') == 2
    assert page.count('<rect class="mark-wrong"') == 4  # two mistakes, from nearby and in the whole image
    assert page.count('<rect class="mark-missed"') == 2
    assert page.count('<rect class="mark-right"') == 1
    assert (
        page.count('<rect class="mark-true"') == 3
    )  # below the right one and the wrong class, which is from nearby, too
    right = (
        '<rect class="mark-right" data-score="0.9000" x="10.0" y="10.0" width="20.0" height="21.0"><title>cat &amp; co'
    )
    assert right in page
    assert "the detector found 1 of 3 objects" in text
    assert "cat &amp; co 1 100.0 % 0 0 dog 1 50.0 % 0 1 50.0 % background 0 1 100.0 % 0" in text.replace("\u202f", " ")
    assert "“ dog ” predicted as “ cat &amp; co ”, 1 of 2 objects" in text
    assert "All 3 images: 1 right, 2 wrong, 1 missed." in text
    for said in ("calibration", "probable", "confident", "probabilit"):
        assert said not in text.lower()


def test_the_slider_counts_all_boxes_by_their_score(evaluation: Path) -> None:
    page = write_report(evaluation).read_text(encoding="utf-8")
    right, wrong, missed = (json.loads(found) for found in re.findall(r'data-by-score="(.*?)"', page))
    for score, expected in ((0, (1, 3, 1)), (0.3, (1, 2, 1)), (0.75, (1, 1, 1)), (0.85, (1, 0, 2)), (0.95, (0, 0, 3))):
        at = round(100 * score)
        assert (right[at], wrong[at], missed[at]) == expected
    assert re.findall(r'data-at-thresholds="(.*?)"', page) == ["1", "2", "1"]
    assert '<rect class="mark-wrong off" data-below data-score="0.1000"' in page  # drawn where the slider asks for it
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\">" in page
    assert page.count("<script") == 1


def test_the_report_of_a_detector(detector: "hs.Run") -> None:
    page = (detector.folder / "report.html").read_text(encoding="utf-8")
    text = _text(page)
    facts = detector.facts
    for expected in (
        f"detector found {round(sum(c.recall.value * c.support for c in _classes(detector)))} of",
        f"{facts.detector.points:,}, each with one box",
        f"{facts.detector.epochs} epochs; validation mAP50-95",
        "Images per class",
        "Objects per class class training validation test disc",
        "12 of 12 test images",
    ):
        assert expected in text
    assert page.count('<li class="box-example">') == 12
    for said in ("calibration", "most probable", "learning curve", "fine-tuned model"):
        assert said not in text.lower()
    assert len(page) < 600_000


def _text(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def _classes(run: "hs.Run") -> list[ClassFigures]:
    return [*read_figures(run.folder, run.facts).headline_figures.per_class.values()]


def test_label_issues_are_drawn_as_labelled_and_as_suggested(evaluation: Path) -> None:
    facts = json.loads((evaluation / "run.json").read_text(encoding="utf-8"))
    facts["label_issues"] = {"examined": 3, "count": 3}
    (evaluation / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    lines = [
        "split,file,label,suggested,probability,label_probability,sha256",
        "new,0.png,80x60; dog 10 10 30 30; dog 40 10 70 50,80x60; dog 10 10 30 30; dog 40 10 60 20,0.9,0.1,",
        "new,1.png,drop,80x60; dog 1 1 30 30,0.8,0.2,",
        "new,2.png,80x60,80x60; dog 2 2 9 9,0.7,0.3,",
    ]
    (evaluation / "suspects.csv").write_text("\n".join(lines), encoding="utf-8")
    page = write_report(evaluation).read_text(encoding="utf-8")
    section = page[page.index('id="label-issues"') :]
    assert "Boxes in 3 of 3 images look wrong" in section
    assert section.count('<rect class="mark-right"') == 1
    assert [section.count(f'<rect class="mark-{kind}"') for kind in ("wrong", "true", "missed")] == [2, 1, 0]
    assert '<rect class="mark-wrong" x="2.0" y="2.0"' in section


@pytest.mark.parametrize(
    ("box", "part"),
    [
        ((30, 20, 40, 30), (30, 20, 40, 30)),
        ((-20, -20, 20, 20), (0, 0, 40, 40)),
        ((70, 50, 90, 70), (60, 40, 80, 60)),
        ((0, 0, 80, 80), (0, 0, 80, 60)),
        ((40, 30, 41, 31), (36.5, 26.5, 44.5, 34.5)),
    ],
)
def test_a_part_of_an_image_is_shown_from_nearby(
    tmp_path: Path, box: tuple[float, ...], part: tuple[float, ...]
) -> None:
    y, x = np.mgrid[:60, :80]
    Image.fromarray(np.stack([x * 3, y * 4, 0 * x], 2).astype(np.uint8)).save(tmp_path / "a.png")
    view = closeup(FileExample(str(tmp_path / "a.png")), box, 0.1, 200)
    assert view.box == part
    left, upper, right, lower = part
    assert view.pixels[0, 0].tolist() == [3 * int(left), 4 * int(upper), 0]
    assert view.pixels.shape[:2] == pytest.approx((lower - upper, right - left), abs=1)
    small = closeup(FileExample(str(tmp_path / "a.png")), (0, 0, 60, 60), 0.1, 30)
    assert small.pixels.shape == (30, 30, 3)
    assert closeup(FileExample(str(tmp_path / "none.png")), box, 0.1, 200) is None
