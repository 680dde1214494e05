"""Data with boxes and detectors on the page: shown, uploaded, trained on, looked at and tried."""

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image
from starlette.datastructures import QueryParams

import headstart as hs
from headstart.cli.summary import summary
from headstart.data.dataset import load_dataset
from headstart.errors import InputError
from headstart.ui.root_folder import RootFolder
from headstart.ui.train_form import train_settings
from headstart.ui.uploads import Upload
from tests.ui.conftest import Server
from tests.ui.test_browser import CHROMIUM, browser  # noqa: F401 - a fixture

VOC = """<annotation><filename>{name}</filename><size><width>{width}</width><height>{height}</height></size>
<object><name>disc</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>50</ymax></bndbox></object></annotation>"""


@pytest.fixture(scope="module")
def server(shapes: Path, detector: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("detectors") / "root"
    shutil.copytree(shapes, root / "shapes")
    shutil.copytree(detector.folder, root / "runs" / "shapes")
    path = root / "runs" / "shapes" / "run.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["data"] |= {"root": str(root / "shapes"), "path": str(root / "shapes")}
    path.write_text(json.dumps(facts), encoding="utf-8")
    started = Server(root)
    yield started
    started.end()


def test_data_are_shown_with_their_boxes(server: Server) -> None:
    text = server.ask("GET", "/data?path=shapes").text
    assert "56 images with objects of 2 classes, already split into train, val, test." in text
    assert text.count("<svg") == 12  # six images of each class
    assert text.count('<rect class="mark-right"') >= 12
    assert re.search(r"disc</strong> <span[^>]*>\d+ objects in \d+ images<", text)
    names = set(re.findall(r'name="(\w+)"', text))
    assert {"detector_epochs", "detector_views", "no_mirror", "time_limit", "input_size"} <= names
    assert names.isdisjoint({"fine_tune", "dense", "search", "min_precision"})
    assert "Compares the bases on this machine" in text
    assert 'Use this<span class="unseen"> shapes' in server.ask("GET", "/new").text


def test_boxes_in_another_file_are_named_on_the_page(server: Server, tmp_path: Path) -> None:
    """A folder of images alone is not read; with a path, from the data or from the root, it is."""
    _coco(server.root / "apart")
    (server.root / "exports").mkdir()
    (server.root / "apart/annotations/instances.json").rename(server.root / "exports/boxes.json")
    (server.root / "apart/annotations").rmdir()
    alone = server.ask("GET", "/data?path=apart")
    assert alone.status == 422
    assert 'name="annotations"' in alone.text
    for typed in ("exports/boxes.json", "../exports/boxes.json"):
        text = server.ask("GET", "/data?" + urlencode({"path": "apart", "annotations": typed})).text
        assert "2 images with objects of 1 class." in text
        assert text.count(f'<input type="hidden" name="annotations" value="{typed}">') == 2  # to check, and to train
        assert f'name="annotations" value="{typed}" placeholder' in text
    for typed, problem in (("exports/none.json", "does not exist"), ("/etc/passwd", "is outside")):
        answer = server.ask("GET", "/data?" + urlencode({"path": "apart", "annotations": typed}))
        assert answer.status == 422
        assert problem in answer.text
    fields = {"path": "apart", "annotations": "exports/boxes.json"}
    started = server.ask("POST", "/data/check", fields)
    assert started.status == 303


def test_a_run_is_shown_with_its_boxes(server: Server) -> None:
    assert re.search(r"mAP50-95, 0\.\d{3} to [01]\.\d{3}<", server.ask("GET", "/").text)
    text = server.ask("GET", "/runs/shapes").text
    assert "the detector found" in text
    assert text.count('<li class="box-example">') == 12
    assert '<script src="/boxes.js" defer></script>' in text
    assert "<script>" not in text  # which the policy of the server forbids
    assert "showFrom" in server.ask("GET", "/boxes.js").text
    assert server.ask("GET", "/runs/shapes/download/predictions.csv").text.startswith("split,file,label,predicted,")
    image = server.ask("GET", unescape(re.search(r'href="(/runs/shapes/image\?file=[^"]+)"', text)[1]))
    assert (image.status, image.headers["content-type"]) == (200, "image/jpeg")
    outside = server.ask("GET", "/runs/shapes/image?" + urlencode({"file": "../../secret.jpg"}))
    assert outside.status == 422


def test_classes_that_were_not_learned_are_marked(detector: hs.Run, tmp_path: Path) -> None:
    assert detector.facts.data.few_trained == {}
    folder = Path(shutil.copytree(detector.folder, tmp_path / "run"))
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    facts["data"]["splits"]["train"]["per_class"] = {"disc": 0, "square": 1}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    run = hs.load(folder)
    text = run.report().read_text(encoding="utf-8")
    assert re.search(
        r"disc</bdi><span class=\"explain\"><span class=\"wrong-text\">not learned: no training image<", text
    )
    assert re.search(
        r"square</bdi><span class=\"explain\"><span class=\"wrong-text\">hardly learned: 1 training image<", text
    )
    assert "not learned, or hardly: disc (no training image), square (1 training image)" in summary(run)


def test_an_image_is_tried(server: Server, shapes: Path) -> None:
    file = next((shapes / "test/images").glob("*.jpg"))
    answer = server.ask("POST", "/runs/shapes/answer?name=a.jpg", file.read_bytes())
    assert answer.status == 200
    boxes = re.findall(r"<rect class=\"mark-right( off)?\"( data-below)? data-score=\"(.*?)\" x", answer.text)
    scores = [float(score) for _, _, score in boxes]
    assert scores
    assert min(scores) >= 0.05
    n_predicted = sum(not below for _, below, _ in boxes)
    predicted = hs.load(server.root / "runs/shapes").predict(file)
    assert n_predicted == len(predicted.boxes)
    assert predicted.label() in answer.text
    rows = re.findall(r"<tr data-score=\"(.*?)\"( data-below)?", answer.text)
    assert [(score, below) for score, below in rows] == [(score, below) for _, below, score in boxes]
    broken = server.ask("POST", "/runs/shapes/answer?name=a.jpg", b"no image")
    assert (broken.status, broken.text.startswith("A.jpg: ") or broken.text.startswith("a.jpg: ")) == (422, True)
    text = server.ask("POST", "/runs/shapes/answer", b"a text", {"content-type": "text/plain"})
    assert (text.status, "predicts labels for images" in text.text) == (422, True)


def test_the_form_gives_settings_of_a_detector(shapes: Path) -> None:
    dataset = load_dataset(str(shapes))
    fields = {"detector_epochs": "3", "no_mirror": "true", "time_limit": "1m", "dense": "64", "base": ""}
    settings = train_settings(QueryParams(fields), dataset)
    assert settings == {"detector_epochs": 3, "no_mirror": True, "time_limit": 60.0}
    one_class = [("classes", "ticked"), ("class", "disc")]
    assert train_settings(QueryParams(one_class), dataset) == {"classes": ["disc"]}
    assert train_settings(QueryParams({"base": "auto"}), dataset) == {"base": "auto"}
    with pytest.raises(InputError, match="is not one of the bases on this page"):
        train_settings(QueryParams({"base": "file:/etc/model.keras"}), dataset)
    with pytest.raises(InputError, match="at least 1 class"):
        train_settings(QueryParams({"classes": "ticked"}), dataset)


def _voc(folder: Path) -> None:
    for number in range(2):
        for name in ("Annotations", "JPEGImages"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (120, 90), (9, 9, number)).save(folder / f"JPEGImages/{number}.jpg")
        annotation = VOC.format(name=f"{number}.jpg", width=120, height=90)
        (folder / f"Annotations/{number}.xml").write_text(annotation, encoding="utf-8")


def _coco(folder: Path) -> None:
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    files = [f"{number}.jpg" for number in range(2)]
    for number, file in enumerate(files):
        Image.new("RGB", (120, 90), (9, 9, number)).save(folder / "images" / file)
    images = [{"id": i, "file_name": file, "width": 120, "height": 90} for i, file in enumerate(files, 1)]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [10, 20, 30, 30]} for i in (1, 2)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "disc"}]}
    (folder / "annotations/instances.json").write_text(json.dumps(content), encoding="utf-8")


def _yolo(folder: Path) -> None:
    for number in range(2):
        for name in ("images", "labels"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (120, 90), (9, 9, number)).save(folder / f"images/{number}.jpg")
        (folder / f"labels/{number}.txt").write_text("0 0.2083333 0.3888889 0.25 0.3333333\n", encoding="utf-8")
    (folder / "classes.txt").write_text("disc\n", encoding="utf-8")


@pytest.mark.parametrize("make", [_voc, _coco, _yolo])
@pytest.mark.parametrize("wrapper", ["", "mine/"])
def test_a_zip_with_boxes_is_a_data_set(make, wrapper: str, tmp_path: Path) -> None:
    make(tmp_path / "made")
    root_folder = RootFolder(tmp_path)
    upload = Upload.begin(root_folder, "boxes", 10)
    with zipfile.ZipFile(upload.folder / "boxes.zip", "w") as archive:
        for path in sorted((tmp_path / "made").rglob("*.*")):
            archive.write(path, wrapper + path.relative_to(tmp_path / "made").as_posix())
    dataset = load_dataset(str(upload.finish()))
    assert (len(dataset), dataset.classes, dataset.task.name) == (2, ["disc"], "detection")
    assert dataset.labels[0].coordinates.round(3).tolist() == [[10, 20, 40, 50]]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine to open the page in")
def test_the_slider_of_a_report_hides_boxes(detector: hs.Run, browser) -> None:  # noqa: F811
    page = browser.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto((detector.folder / "report.html").as_uri())
    counts = (
        "[...document.querySelectorAll('[data-by-score]')].map(total => Number(total.textContent.replace(',', '')))"
    )
    visible = "document.querySelectorAll('#boxes rect[data-score]:not(.mark-true, .off)').length"
    before, shown_before = page.evaluate(counts), page.evaluate(visible)
    slider = page.locator("#boxes input[type=range]")
    slider.fill("1")
    assert page.inner_text("#boxes output") == "1.00"
    right, wrong, missed = page.evaluate(counts)
    assert (right, wrong, page.evaluate(visible)) == (0, 0, 0)
    assert missed >= before[0]
    assert page.inner_text("#boxes [data-count=right]") == "0"
    page.get_by_role("button", name="Reset").click()
    assert (page.evaluate(counts), page.evaluate(visible)) == (before, shown_before)
    assert troubles == []
