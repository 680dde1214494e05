"""A detector in use: terminal, files for annotation tools, drawn images, Python, server, evaluation, explanation."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.data.boxes.drawing import class_colour
from headstart.data.dataset import load_dataset
from headstart.tasks.detection.boxes import ious
from tests.conftest import Command
from tests.serving.test_server import Server, form

Headstart = Callable[..., tuple[str, str]]


@pytest.fixture
def headstart(headstart_here: Command) -> Headstart:
    """Runs a command, checks its exit code, and gives standard output and standard error."""

    def run(*arguments: object, code: int = 0, cwd: Path | None = None) -> tuple[str, str]:
        done = headstart_here(*arguments, cwd=cwd)
        assert done.returncode == code, done.stderr
        return done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def images(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``shape.jpg``; the same image stored on its side; one without objects; and a file that is no image."""
    folder = tmp_path_factory.mktemp("new")
    shutil.copyfile(shapes / "test" / "images" / "00.jpg", folder / "shape.jpg")
    orientation = Image.Exif()
    orientation[0x0112] = 6  # the viewer turns it clockwise
    with Image.open(folder / "shape.jpg") as image:
        image.rotate(90, expand=True).save(folder / "turned.jpg", exif=orientation, quality=100, subsampling=0)
    Image.new("RGB", (128, 96), (128, 128, 128)).save(folder / "empty.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def truth(shapes: Path) -> list[tuple[str, np.ndarray]]:
    """Class and edges of each object in ``shape.jpg``."""
    dataset = load_dataset(shapes)
    label = dataset.labels[dataset.files.index("test/images/00.jpg")]
    return [(dataset.classes[n], edges) for n, edges in zip(label.classes, label.coordinates, strict=True)]


def test_a_table_has_a_row_for_each_box_in_pixels_of_the_upright_image(
    headstart: Headstart, detector: hs.Run, images: Path, truth: list[tuple[str, np.ndarray]]
) -> None:
    out, err = headstart("predict", detector.folder, images, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["file", "label", "score", "x1", "y1", "x2", "y2", "problem"]
    by_file = {name: [row for row in rows if row["file"] == str(images / name)] for name in os.listdir(images)}
    for name in ("shape.jpg", "turned.jpg"):
        assert sorted(row["label"] for row in by_file[name]) == sorted(label for label, _ in truth)
        found = np.array([[float(row[edge]) for edge in ("x1", "y1", "x2", "y2")] for row in by_file[name]])
        overlap = ious(found, np.array([edges for _, edges in truth]))
        assert overlap.max(1).min() > 0.7
    assert [set(row.values()) for row in by_file["empty.png"]] == [{str(images / "empty.png"), ""}]
    (problem,) = by_file["broken.jpg"]
    assert problem["problem"]
    assert f"{problem['file']}: {problem['problem']}" in err
    headstart("predict", detector.folder, images, "--csv", "--strict", code=2)


def test_lines_count_objects_by_class_and_give_each_box(
    headstart: Headstart, detector: hs.Run, images: Path, truth: list[tuple[str, np.ndarray]]
) -> None:
    out, _ = headstart("predict", detector.folder, images / "shape.jpg", images / "empty.png")
    first, *boxes, last = out.splitlines()
    counts = Counter(label for label, _ in truth)
    assert first == f"{images / 'shape.jpg'}: {', '.join(f'{counts[name]} {name}' for name in sorted(counts))}"
    assert last == f"{images / 'empty.png'}: none"
    assert len(boxes) == len(truth)
    label, score, *_ = boxes[0].split()
    assert label in counts
    assert 0 < float(score) <= 1


def test_scores_decide_what_is_predicted(headstart: Headstart, detector: hs.Run, images: Path) -> None:
    path = images / "shape.jpg"
    out, _ = headstart(
        "predict", detector.folder, path, "--json", "--min-score", "disc=1", "--min-score", "square=0.01"
    )
    many = json.loads(out)
    assert (many["width"], many["height"]) == (128, 96)
    assert {box["label"] for box in many["boxes"]} == {"square"}
    assert len(many["boxes"]) > len(detector.predict(path, min_score=0.5).boxes)
    assert min(box["score"] for box in many["boxes"]) < 0.1
    assert all(box.score >= 0.5 for box in detector.predict(path, min_score=0.5).boxes)
    assert detector.predict(path, min_score={"disc": 1, "square": 1}).boxes == []
    assert detector.predict(path, min_score={}).boxes == detector.predict(path).boxes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top-k", "1"], "--top-k is for runs that predict classes of whole images"),
        (["--tta"], "--tta is for runs that predict classes of whole images"),
        (["--min-confidence", "auto"], "--min-confidence is for runs that predict classes"),
        (["--min-score", "3"], "--min-score: expected a score from 0 to 1, got 3"),
        (["--min-score", "disk=0.3"], "no class 'disk'. Did you mean 'disc'?"),
        (["--min-score", "0.3", "--min-score", "disc=0.2"], "one score for all classes, or CLASS=SCORE"),
        (["--format", "coco"], "use --format and --out together"),
        (["--text", "disc"], "--text is for runs on texts"),
    ],
)
def test_options_of_other_runs_are_refused_by_name(
    headstart: Headstart, detector: hs.Run, images: Path, options: list[str], message: str
) -> None:
    out, err = headstart("predict", detector.folder, images / "shape.jpg", *options, code=2)
    assert out == ""
    assert message in err


def test_options_of_detectors_are_refused_by_name(
    headstart: Headstart, run: hs.Run, images: Path, tmp_path: Path
) -> None:
    for options in (["--min-score", "0.3"], ["--draw", tmp_path / "a"], ["--format", "voc", "--out", tmp_path / "b"]):
        _, err = headstart("predict", run.folder, images / "shape.jpg", *options, code=2)
        assert f"{options[0]} is for runs that detect objects, and this is a single-label run" in err
    with pytest.raises(hs.InputError, match="min_score: it is for runs that detect objects"):
        run.predict(images / "shape.jpg", min_score=0.3)


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_labels_for_annotation_tools_are_read_back(
    headstart: Headstart, detector: hs.Run, images: Path, tmp_path: Path, form: str
) -> None:
    out, err = headstart(
        "predict",
        detector.folder,
        images / "shape.jpg",
        images / "empty.png",
        "--format",
        form,
        "--out",
        tmp_path / "l",
    )
    assert "shape.jpg: " in out
    assert f"labels in {tmp_path / 'l'}" in err
    shutil.copytree(images, tmp_path / "l" / "images", ignore=shutil.ignore_patterns("broken*", "turned*"))
    if form == "yolo":
        (tmp_path / "l" / "data.yaml").write_text("train: images\nnames: [disc, square]\n")
    dataset = load_dataset(tmp_path / "l")
    by_file = {Path(file).name: label for file, label in zip(dataset.files, dataset.labels, strict=True)}
    expected = detector.predict(images / "shape.jpg").to_detections()
    np.testing.assert_allclose(by_file["shape.jpg"].coordinates, expected.coordinates, atol=0.51)
    assert len(by_file["empty.png"]) == 0


def test_images_whose_label_files_would_collide_are_named(
    headstart: Headstart, detector: hs.Run, images: Path, tmp_path: Path
) -> None:
    for name in ("a.jpg", "a.png"):
        with Image.open(images / "shape.jpg") as image:
            image.save(tmp_path / name)
    out, err = headstart("predict", detector.folder, tmp_path, "--format", "yolo", "--out", tmp_path / "l", code=2)
    assert (out, (tmp_path / "l").exists()) == ("", False)
    assert "a.jpg" in err
    assert "a.png would have the same label file" in err


def test_drawn_images_are_upright_and_overwrite_nothing(
    headstart: Headstart, detector: hs.Run, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "new", ignore=shutil.ignore_patterns("broken*"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    _, err = headstart("predict", detector.folder, "new", "--draw", "new", cwd=tmp_path)
    assert "images in new-2" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before
    drawn = {}
    for path in (tmp_path / "new-2").iterdir():
        with Image.open(path) as image:
            drawn[path.name] = np.asarray(image.convert("RGB")).astype(int)
    assert {name: pixels.shape for name, pixels in drawn.items()} == dict.fromkeys(before, (480, 640, 3))
    assert np.ptp(drawn["empty.png"]) == 0
    for name in ("shape.jpg", "turned.jpg"):
        for box in detector.predict(images / name).boxes:
            colour = class_colour(detector.classes.index(box.label))
            rows, edge = slice(round(5 * box.y1), round(5 * box.y2)), round(5 * box.x1)
            distances = np.abs(drawn[name][rows, max(edge - 2, 0) : edge + 6] - colour).sum(-1)
            assert np.median(distances.min(1)) < 120  # JPEG mixes the colours of thin lines; names cover a part


def test_standard_input_is_drawn_as_well(detector: hs.Run, images: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "predict", str(detector.folder), "-", "--draw", str(tmp_path / "d")],
        input=(images / "shape.jpg").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"standard input: ")
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["standard input.png"]


def test_predict_loads_no_keras(detector: hs.Run, images: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from headstart.cli.main import cli
cli.main(["predict", {str(detector.folder)!r}, {str(images / "shape.jpg")!r}, "--draw", {str(tmp_path / "d")!r}],
         standalone_mode=False)
print(sorted({{"keras", "tensorflow", "pandas", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_prediction_in_python(detector: hs.Run, images: Path) -> None:
    answer = detector.predict(images / "shape.jpg")
    assert isinstance(answer, hs.DetectionPrediction)
    box = answer.boxes[0]
    assert [box.score, box.label, box.x1 < box.x2, box.y1 < box.y2] == [
        max(b.score for b in answer.boxes),
        box.label,
        1,
        1,
    ]
    first, *lines = repr(answer).splitlines()
    assert first == f"<{answer.file}, 128 x 96: {answer.label()}>"
    assert len(lines) == len(answer.boxes)
    frame = answer.to_pandas()
    assert list(frame.columns) == ["file", "label", "score", "x1", "y1", "x2", "y2"]
    assert frame["x2"].tolist() == [b.x2 for b in answer.boxes]
    empty = detector.predict(images / "empty.png")
    assert (empty.boxes, len(empty.to_pandas()), repr(empty)) == ([], 0, f"<{empty.file}, 128 x 96: none>")
    with pytest.raises(hs.InputError, match="top_k: it is for runs that predict classes of whole images"):
        detector.predict(images / "shape.jpg", top_k=1)
    with pytest.raises(hs.InputError, match="tta: it averages probabilities"):
        detector.predict(images / "shape.jpg", tta=True)


_SUPERVISION = '''
"""What supervision 0.31 documents of Detections, for machines without it."""
from dataclasses import dataclass, field
import numpy as np

@dataclass
class Detections:
    xyxy: np.ndarray
    mask: np.ndarray | None = None
    confidence: np.ndarray | None = None
    class_id: np.ndarray | None = None
    tracker_id: np.ndarray | None = None
    data: dict = field(default_factory=dict)
    metadata: dict = field(default_factory=dict)

    def __post_init__(self):
        n = len(self.xyxy)
        assert self.xyxy.shape == (n, 4)
        assert self.confidence.shape == self.class_id.shape == self.data["class_name"].shape == (n,)
        assert np.issubdtype(self.class_id.dtype, np.integer)
'''


def test_supervision(detector: hs.Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = detector.predict([images / "shape.jpg", images / "empty.png"])
    try:
        import supervision  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(hs.UnavailableError, match="pip install supervision"):
            answers[0].to_supervision()
        (tmp_path / "supervision.py").write_text(_SUPERVISION)
        monkeypatch.syspath_prepend(tmp_path)
    found, nothing = (answer.to_supervision() for answer in answers)
    np.testing.assert_array_equal(found.xyxy, np.array([box.edges for box in answers[0].boxes], np.float32))
    assert [detector.classes[number] for number in found.class_id] == found.data["class_name"].tolist()
    assert found.data["class_name"].tolist() == [box.label for box in answers[0].boxes]
    assert found.confidence.tolist() == pytest.approx([box.score for box in answers[0].boxes])
    assert (nothing.xyxy.shape, nothing.class_id.shape) == ((0, 4), (0,))


def test_an_object_is_explained_by_where_it_is(
    headstart: Headstart, detector: hs.Run, images: Path, tmp_path: Path
) -> None:
    path = images / "turned.jpg"
    answer = detector.predict(path)
    for number, box in enumerate(answer.boxes, 1):
        explanation = hs.explain(detector, path, box=number)
        assert explanation.box == box
        assert (explanation.method, explanation.probability) == ("occlusion", box.score)
        rows, columns = np.mgrid[:96, :128] + 0.5
        inside = (rows > box.y1 - 4) & (rows < box.y2 + 4) & (columns > box.x1 - 4) & (columns < box.x2 + 4)
        assert explanation.heat.shape == (96, 128)
        assert explanation.heat[inside].mean() > 3 * explanation.heat[~inside].mean()
    out, err = headstart("explain", detector.folder, path, images / "empty.png", "--out", tmp_path / "e")
    assert out.startswith(answer.boxes[0].label)
    assert f"{images / 'empty.png'}: has 0 objects, and number 1 was to be explained" in err
    assert "a detector has no features of whole images" in err
    with Image.open(tmp_path / "e" / "turned.jpg") as drawn:
        assert drawn.size == (640, 480)
    with pytest.raises(hs.InputError, match="grad-cam is for runs that predict classes of whole images"):
        hs.explain(detector, path, method="grad-cam")


def test_boxes_are_numbered_in_detectors_only(run: hs.Run, images: Path) -> None:
    with pytest.raises(hs.InputError, match="box: it is for runs that detect objects"):
        hs.explain(run, images / "shape.jpg", box=2)


def test_held_out_images_are_evaluated_and_what_was_trained_on_is_found(
    headstart: Headstart, detector: hs.Run, shapes: Path, tmp_path: Path
) -> None:
    held_out = tmp_path / "held"
    (held_out / "images").mkdir(parents=True)
    (held_out / "labels").mkdir()
    for split, names in (("test", ("00", "01", "02", "03")), ("train", ("05", "06"))):
        for name in names:
            shutil.copyfile(shapes / split / "images" / f"{name}.jpg", held_out / "images" / f"{split}-{name}.jpg")
            shutil.copyfile(shapes / split / "labels" / f"{name}.txt", held_out / "labels" / f"{split}-{name}.txt")
    (held_out / "data.yaml").write_text("train: images\nnames: [disc, square]\n")
    folder = shutil.copytree(detector.folder, tmp_path / "run")
    out, _ = headstart("evaluate", folder, held_out, "--name", "held")
    assert "mAP50" in out
    evaluation = hs.load(folder / "evaluations" / "held")
    assert evaluation.metrics["map_50"] > 0.9
    assert evaluation.figures.leak_free.removed >= 2
    with open(evaluation.folder / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert all("disc" in row["predicted"] or "square" in row["predicted"] for row in rows)
    assert (evaluation.folder / "report.html").stat().st_size > 10_000


def test_held_out_images_may_have_some_of_the_classes_in_another_form(
    detector: hs.Run, images: Path, truth: list[tuple[str, np.ndarray]], tmp_path: Path
) -> None:
    held_out = tmp_path / "held"
    held_out.mkdir()
    shutil.copyfile(images / "shape.jpg", held_out / "shape.jpg")
    name = truth[0][0]
    x1, y1, x2, y2 = truth[0][1].tolist()
    annotation = {"id": 0, "image_id": 7, "category_id": 9, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    content = {
        "images": [{"id": 7, "file_name": "shape.jpg", "width": 128, "height": 96}],
        "categories": [{"id": 9, "name": name}],
        "annotations": [annotation],
    }
    (held_out / "labels.json").write_text(json.dumps(content))
    folder = shutil.copytree(detector.folder, tmp_path / "run")
    figures = hs.evaluate(folder, held_out).figures.splits["held-out"]
    assert {cls: per_class.support for cls, per_class in figures.per_class.items()} == {
        "disc": int(name == "disc"), "square": int(name == "square"),
    }  # fmt: skip
    assert figures.metrics["map_50"].value > 0.9
    content["annotations"].append({**annotation, "id": 1, "bbox": [300, 300, 20, 20]})
    (held_out / "labels.json").write_text(json.dumps(content))
    assert hs.evaluate(folder, held_out).figures.splits["held-out"].per_class[name].support == 1
    with pytest.raises(
        hs.InputError, match=r"strict: 1 object left out:\n  shape.jpg: annotation 1 of labels.json lies"
    ):
        hs.evaluate(folder, held_out, strict=True)
    content["categories"][0]["name"] = "triangle"
    (held_out / "labels.json").write_text(json.dumps(content))
    with pytest.raises(hs.InputError, match="triangle"):
        hs.evaluate(folder, held_out)


@pytest.fixture(scope="module")
def server(detector: hs.Run, run: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), f"shapes={detector.folder}", f"photos={run.folder}")
    yield running
    assert running.end() == 0


def test_the_server_answers_with_boxes_of_the_original_image(server: Server, detector: hs.Run, images: Path) -> None:
    names = ["shape.jpg", "turned.jpg", "empty.png", "broken.jpg"]
    body = form(*((name, (images / name).read_bytes()) for name in names))
    kind = "multipart/form-data; boundary=XX"
    status, content = server.ask("/predict/shapes", body, kind)
    assert (status, content["run"]) == (200, "shapes")
    *answers, broken = content["answers"]
    assert set(broken) == {"file", "reason"}
    for name, answer in zip(names, answers, strict=False):
        expected = detector.predict(images / name).to_dict()
        assert {key: answer[key] for key in ("file", "width", "height")} == {"file": name, "width": 128, "height": 96}
        assert [box["label"] for box in answer["boxes"]] == [box["label"] for box in expected["boxes"]]
        for box, expected_box in zip(answer["boxes"], expected["boxes"], strict=True):
            assert [box[edge] for edge in ("x1", "y1", "x2", "y2")] == pytest.approx(
                [expected_box[edge] for edge in ("x1", "y1", "x2", "y2")], abs=0.1
            )
    few, many = (
        sum(
            len(answer["boxes"])
            for answer in server.ask(f"/predict/shapes?min_score={p}", body, kind)[1]["answers"][:3]
        )
        for p in (0.99, 0.02)
    )
    assert few < many
    status, content = server.ask("/predict/shapes?top_k=1", body, kind)
    assert (status, content["detail"][:34]) == (422, "top_k: it is for runs that predict")
    status, content = server.ask("/predict/photos?min_score=0.5", body, kind)
    assert (status, content["detail"][:42]) == (422, "min_score: it is for runs that detect obje")
    assert 'headstart_answers_total{kind="problem",run="shapes"}' in server.ask("/metrics")[1]


def test_the_description_has_boxes(server: Server) -> None:
    schemas = server.ask("/openapi.json")[1]["components"]["schemas"]
    assert set(schemas["DetectedObject"]["required"]) == {"label", "score", "x1", "y1", "x2", "y2"}
    assert "#/components/schemas/AnsweredObjects" in json.dumps(schemas["Answers"])
    facts = {run["name"]: run for run in server.ask("/runs")[1]}
    assert (facts["shapes"]["task"], set(facts["shapes"]["thresholds"])) == ("detection", {"disc", "square"})


def test_what_a_detector_cannot_do_is_refused_before_the_work(detector: hs.Run, shapes: Path) -> None:
    with pytest.raises(hs.InputError, match="is a detection run, whose base is not fine-tuned: train again"):
        hs.tune(detector.folder)
    with pytest.raises(hs.InputError, match="search: it tries heads on the features of whole images"):
        hs.train(shapes, search=3)
    with pytest.raises(hs.InputError, match="nothing to add: all 56 images"):
        hs.extend(detector.folder, shapes)
    with pytest.raises(hs.InputError, match="tta: it averages probabilities of whole images"):
        hs.evaluate(detector.folder, shapes, tta=True)


def test_settings_that_change_nothing_are_named_once(headstart: Headstart, shapes: Path, photos: Path) -> None:
    end = ("--base", "embedded:nothing")  # ends the command before the training
    _, err = headstart("train", shapes, "--head", "mlp", "--dense", "8", "--min-precision", "0.9", *end, code=2)
    (warning,) = [line for line in err.splitlines() if line.startswith("warning")]
    assert "a detector has its own head and keeps its base as it is" in warning
    assert warning.endswith("hidden layers, head, precision of sure answers")
    _, err = headstart("train", shapes, "--detector-epochs", "3", "--time-limit", "60", *end, code=2)
    assert "warning" not in err
    _, err = headstart("train", photos, "--detector-epochs", "3", *end, code=2)
    assert "warning: not used, because the data have no boxes: epochs of a detector" in err
