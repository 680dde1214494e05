"""Explanations of real runs: the heat lies on what it is about, and what is hot matters."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.data.examples import FileExample, TextExample
from headstart.data.modalities import IMAGE
from headstart.errors import InputError
from headstart.explanation.explain import Explainer
from headstart.reports.explanation import summarize, write_explanations
from headstart.runs.predictor import Predictor, Problem

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """A run whose base ends in a map of 5 x 5 cells."""
    return hs.train(photos, input_size=160, fine_tune="none", runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def halves(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images of both classes: ``china`` on the left or at the top, ``flower`` on the right or at the bottom."""
    folder = tmp_path_factory.mktemp("halves")
    for i in range(0, 55, 5):
        parts = [np.asarray(Image.open(photos / name / f"{i:02}.jpg")) for name in ("china", "flower")]
        for axis in (0, 1):
            Image.fromarray(np.concatenate(parts, axis)).save(folder / f"{i:02}-{axis}.png")
    return sorted(folder.iterdir())


def share_on_china(heat: np.ndarray) -> float:
    h, w = heat.shape
    return float((heat[: h // 2] if h > w else heat[:, : w // 2]).sum() / heat.sum())


@pytest.mark.parametrize(("method", "step", "at_least"), [("grad-cam", 1, 1.0), ("occlusion", 7, 0.75)])
def test_the_heat_of_each_class_lies_on_its_object(
    run: hs.Run, halves: list[Path], method: str, step: int, at_least: float
) -> None:
    is_right = []
    for name in run.classes:
        explained = hs.explain(run, halves[::step], class_name=name, method=method, nearest=0)
        assert {one.method for one in explained} == {method}
        is_right += [(share_on_china(one.heat) > 0.5) == (name == "china") for one in explained if one.heat.any()]
    assert len(is_right) > len(halves[::step])
    assert np.mean(is_right) >= at_least


def test_what_is_hot_matters_more_than_what_is_not(run: hs.Run, halves: list[Path]) -> None:
    """Deletion: the hottest fifth of each image is hidden, or any fifth of it in one piece."""
    predictor, rng = Predictor(run.folder, expected=1), np.random.default_rng(0)
    fallen_hot, fallen_any = [], []
    for one in [one for name in run.classes for one in hs.explain(run, halves, class_name=name, nearest=0)]:
        pixels = np.asarray(Image.open(one.file))
        h, w = one.heat.shape
        masks = np.zeros((5, h, w), bool)
        masks[0].flat[np.argsort(-one.heat, axis=None)[: h * w // 5]] = True
        for mask in masks[1:]:
            top, left = rng.integers(0, h - 2 * h // 5), rng.integers(0, w - w // 2)
            mask[top : top + 2 * h // 5, left : left + w // 2] = True
        assert masks.mean((1, 2)) == pytest.approx(0.2, abs=0.01)
        hidden = np.where(masks[..., np.newaxis], pixels.mean((0, 1)), pixels).astype(np.uint8)
        shrunk = [Image.fromarray(image).resize((160, 160), Image.Resampling.BICUBIC) for image in hidden]
        rest = predictor.values(np.stack(shrunk))[:, run.classes.index(one.class_name)]
        fallen_hot.append(one.probability - rest[0])
        fallen_any.append(one.probability - rest[1:].mean())
    assert np.mean(fallen_hot) > 0.1 > 2 * abs(np.mean(fallen_any))


def test_an_explanation_says_what_prediction_says(run: hs.Run, photos: Path) -> None:
    path = photos / "flower/03.jpg"
    one = hs.explain(run, path)
    assert isinstance(one, hs.Explanation)
    predicted = run.predict(path)
    assert (one.file, one.answer.predicted, one.class_name) == (str(path), predicted.predicted, predicted.predicted)
    assert one.probability == pytest.approx(predicted.probability, abs=run.facts.engine.tolerance)
    assert (one.heat.shape, one.heat.dtype) == ((96, 96), np.float32)
    other = hs.explain(run, path, class_name="china")
    assert other.probability == pytest.approx(1 - one.probability, abs=1e-3)
    plain = json.loads(json.dumps(other.to_json()))
    assert (plain["class_name"], plain["predicted"], plain["size"]) == ("china", "flower", [96, 96])


def test_the_most_similar_training_examples_are_named(run: hs.Run, photos: Path) -> None:
    with open(run.folder / "predictions.csv", newline="") as file:
        rows = {row["file"]: row["split"] for row in csv.DictReader(file)}
    trained = next(file for file in rows if rows[file] == "train")
    nearest = hs.explain(run, photos / trained, nearest=4).nearest
    assert len(nearest) == 4
    assert (nearest[0].file, nearest[0].is_same, nearest[0].labels) == (trained, True, [trained.split("/")[0]])
    assert nearest[0].similarity == pytest.approx(1, abs=1e-2)
    assert not any(other.is_same for other in nearest[1:])
    assert sorted((other.similarity for other in nearest), reverse=True) == [other.similarity for other in nearest]
    new = next(file for file in rows if rows[file] == "test" and file.startswith("flower"))
    alike = hs.explain(run, photos / new).nearest
    assert all(rows[other.file] == "train" for other in alike)
    assert sum(other.labels == ["flower"] for other in alike) > len(alike) / 2


def test_features_that_are_no_longer_cached_are_computed_again(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    path = photos / "flower/03.jpg"
    cached = hs.explain(run, path).nearest
    for _ in range(2):  # what was computed the first time is in the new cache then
        anew = hs.explain(run, path, cache=tmp_path / "cache").nearest
        assert [other.file for other in anew] == [other.file for other in cached]
        assert [other.similarity for other in anew] == pytest.approx([o.similarity for o in cached], abs=2e-2)


def test_what_cannot_be_compared_is_said(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "copy"))
    facts = json.loads((copy / "run.json").read_text())
    facts["data"]["root"] = str(tmp_path)
    (copy / "run.json").write_text(json.dumps(facts))
    gone = Explainer(copy, cache=tmp_path / "cache").training
    assert gone is not None
    assert gone.missing == 78
    assert "78 training images could not be compared" in (gone.note("image") or "")
    header = (copy / "predictions.csv").read_text().splitlines()[0]
    (copy / "predictions.csv").write_text(header + "\n")
    del facts["files"]["predictions.csv"]
    adopted = {"kind": "adopted", "adopted": {"path": "model.h5", "sha256": "0" * 64}, "data": None}
    (copy / "run.json").write_text(json.dumps({**facts, **adopted}))
    unknown = Explainer(copy)
    (one,) = unknown.explain([FileExample(str(photos / "flower/03.jpg"))])
    assert isinstance(one, hs.Explanation)
    assert one.nearest == []
    page = write_explanations(unknown, [one], tmp_path, "why").read_text(encoding="utf-8")
    assert "The training images of this run are not known, so no similar images are shown." in page


def test_what_cannot_be_explained(run: hs.Run, text_run: hs.Run, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"class_name: the run has no class 'flour'. Did you mean 'flower'\? Its classes are: ch"
    ):
        hs.explain(run, photos / "flower/03.jpg", class_name="flour")
    with pytest.raises(InputError, match="method: occlusion is for images"):
        hs.explain(text_run, "some text", method="occlusion")
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"bad\.jpg: not an image"):
        hs.explain(run, tmp_path / "bad.jpg")
    good, bad = hs.explain(run, [photos / "flower/03.jpg", tmp_path / "bad.jpg"])
    assert isinstance(good, hs.Explanation)
    assert isinstance(bad, Problem)
    with pytest.raises(InputError, match="only an image has a heat map"):
        hs.explain(text_run, "import the data").heat  # noqa: B018


def test_a_text_has_words_and_similar_texts(text_run: hs.Run) -> None:
    text = "The statement raises an exception if the object has no such attribute."
    one = hs.explain(text_run, text)
    assert (one.class_name, one.method) == ("python", "words")
    words = [word for word, _ in one.words or []]
    assert ("".join(words), [word.strip() for word in words]) == (text, text.split())
    assert max(weight for _, weight in one.words or []) > 0
    assert [other.labels for other in one.nearest[:3]] == [["python"]] * 3
    assert all(other.text for other in one.nearest)
    assert hs.explain(text_run, text, class_name="data").words == [(word, -weight) for word, weight in one.words or []]


def test_pages_are_whole_and_numbered(run: hs.Run, text_run: hs.Run, photos: Path, tmp_path: Path) -> None:
    from tests.reports.test_run import Page, words

    explainer = Explainer(run.folder)
    explained = list(explainer.explain([FileExample(str(photos / f"{name}/03.jpg")) for name in run.classes]))
    explained[1] = replace(explained[1], answer=replace(explained[1].answer, out_of_distribution=True))
    pages = [write_explanations(explainer, explained, tmp_path, "both") for _ in range(2)]
    assert [page.parent.name for page in pages] == ["both", "both-2"]
    assert sorted(path.name for path in pages[0].parent.iterdir()) == ["03-2.jpg", "03.jpg", "explanation.html"]
    with Image.open(pages[0].parent / "03.jpg") as drawn:
        assert drawn.size == (96, 96)
    text = pages[0].read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not {"script", "iframe", "link"} & set(page.tags)
    assert len(page.addresses) == 2 * (2 + 6)
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    page_words = words(text)
    assert page_words.count("Out-of-distribution: this image is unlike the training images") == 1
    for one in explained:
        assert summarize(one.heat_map, one.class_name).replace("\u202f", " ") in page_words
    explainer = Explainer(text_run.folder)
    texts = ["the <b>data</b> set & its attributes", "print the object"]
    explained = [*explainer.explain(map(TextExample, texts))]
    page_text = write_explanations(explainer, explained, tmp_path, "texts").read_text("utf-8")
    assert Page(page_text).open == []
    assert "&lt;b&gt;data" in page_text
    assert "Most similar training texts" in page_text


def test_a_report_shows_where_it_looked_in_its_mistakes(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "copy"))
    shutil.copytree(photos / "china", tmp_path / "swapped/flower")
    shutil.copytree(photos / "flower", tmp_path / "swapped/china")
    evaluation = hs.evaluate(copy, tmp_path / "swapped")
    heat = json.loads((evaluation.folder / "heat.json").read_text())
    assert len(heat["evidence"]) == IMAGE.mistakes_shown
    file, cells = next(iter(heat["evidence"].items()))
    heat_map = hs.explain(copy, tmp_path / "swapped" / file).heat_map
    assert cells == (100 * heat_map.evidence / np.abs(heat_map.evidence).max()).round().tolist()
    assert heat["cells"] == list(heat_map.cells)
    page = (evaluation.folder / "report.html").read_text(encoding="utf-8")
    assert page.count('alt="heat map: the regions that mattered for the prediction"') == IMAGE.mistakes_shown
