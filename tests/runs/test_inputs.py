"""What `predict` and the commands take in Python: whatever holds images or texts is answered as its file would be."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import InputError


@pytest.fixture(scope="module")
def photo(photos: Path) -> Path:
    return sorted(photos.glob("*/*"))[0]


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


ONE: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "string": str,
    "bytes": Path.read_bytes,
    "pil": Image.open,
    "array": _pixels,
    "rgba": lambda path: np.dstack([_pixels(path), np.full(_pixels(path).shape[:2], 255, np.uint8)]),
}


@pytest.mark.parametrize("kind", ONE)
def test_one_image_in_any_form_has_one_and_the_same_answer(kind: str, run: hs.Run, photo: Path) -> None:
    assert run.predict(ONE[kind](photo)).probabilities == run.predict(photo).probabilities


def test_many_images_have_a_list_in_their_order(run: hs.Run, photos: Path) -> None:
    paths = sorted(photos.glob("*/*"))[:3]
    expected = [answer.probabilities for answer in run.predict(paths)]
    frame = pd.DataFrame({"file": map(str, paths), "label": ["a", "b", "c"]})
    stack = [Image.open(path) for path in paths]
    many = {
        "frame": frame, "series": frame["file"], "index": pd.Index(frame["file"]), "strings": np.array(frame["file"]),
        "images": stack, "generator": (path for path in paths), "content": [path.read_bytes() for path in paths],
        "frame of bytes": pd.DataFrame({"image": [path.read_bytes() for path in paths]}),
        "batch": np.stack([_pixels(path) for path in paths]) if len({image.size for image in stack}) == 1 else paths,
    }  # fmt: skip
    for kind, inputs in many.items():
        assert [answer.probabilities for answer in run.predict(inputs)] == expected, kind
    assert np.allclose(run.predict_proba(frame), [[row[name] for name in run.classes] for row in expected])
    assert run.predict_proba(paths[0]).shape == (1, len(run.classes))


def test_a_turned_photo_is_upright_in_memory_as_in_its_file(run: hs.Run, photo: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.jpg"
    with Image.open(photo) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.convert("RGB").rotate(90, expand=True).save(turned, quality=100, exif=exif)
    assert run.predict(Image.open(turned)).probabilities == run.predict(turned).probabilities


def test_16_bit_grey_arrays_are_read_as_such_files_are(run: hs.Run, photo: Path, tmp_path: Path) -> None:
    grey = _pixels(photo)[..., 0].astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "grey.png")
    expected = run.predict(tmp_path / "grey.png").probabilities
    assert run.predict(grey).probabilities == run.predict(grey[..., None]).probabilities == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), "array of float32: expected pixels as uint8, from 0 to 255"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\): expected .*np.moveaxis\(image, 0, -1\)"),
        ({"image": "cat.jpg"}, "got a dict: expected images as files, PIL images"),
        (7, "got a int: expected images"),
        ([7], "item 0 is a int: expected images"),
        (pd.DataFrame({"x": [1.5]}), r"no column of images; it has x. Name the column 'path'.*predict\(frame\['x'\]\)"),
        (b"no image", "image: .*not an image"),
    ],
    ids=["float", "channels first", "dict", "number", "list of numbers", "frame", "bytes"],
)
def test_what_is_no_image_is_named(value: Any, message: str, run: hs.Run) -> None:
    with pytest.raises(InputError, match=message):
        run.predict(value)


def test_rows_that_cannot_be_used_keep_their_place(run: hs.Run, photo: Path) -> None:
    answers = run.predict(pd.Series([str(photo), None, b"no image"]))
    assert [type(answer).__name__ for answer in answers] == ["Prediction", "Problem", "Problem"]
    assert answers[1].reason == "is missing"
    frame = answers.to_frame()
    assert list(frame["predicted"].fillna("")) == [answers[0].predicted, "", ""]
    assert list(frame["problem"].isna()) == [True, False, False]
    assert frame.loc[0, [f"p({name})" for name in run.classes]].sum() == pytest.approx(1, abs=1e-4)
    with pytest.raises(InputError, match="image 2: is missing"):
        run.predict_proba([str(photo), None])


def test_texts_are_answered_in_any_form(text_run: hs.Run, tmp_path: Path) -> None:
    texts = ["A tuple cannot be changed.", "The data set has 150 samples of flowers."]
    (tmp_path / "text.txt").write_text(texts[0])
    expected = [text_run.predict(text).probabilities for text in texts]
    frame = pd.DataFrame({"id": [1, 2], "text": texts})
    for inputs in (texts, tuple(texts), frame, frame["text"], np.array(texts), pd.array(texts), map(str, texts)):
        assert [answer.probabilities for answer in text_run.predict(inputs)] == expected
    assert text_run.predict(texts[0].encode()).probabilities == expected[0]
    assert text_run.predict(tmp_path / "text.txt").probabilities == expected[0]
    with pytest.raises(InputError, match=r"no column of texts; it has id\. Name the column 'text'"):
        text_run.predict(frame[["id"]])
    with pytest.raises(InputError, match="got a ndarray: expected texts as strings"):
        text_run.predict(np.zeros((4, 4), np.uint8))


def test_a_run_has_the_commands_of_the_package(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    copy = hs.load(shutil.copytree(run.folder, tmp_path / "run"))  # the shared one is not changed
    evaluation = copy.evaluate(photos, name="by-method", progress=False)
    assert evaluation.facts.kind == "evaluation"
    assert evaluation.confusion_matrix.sum() == evaluation.figures.headline_figures.examples
    assert run.confusion_matrix.shape == (len(run.classes),) * 2
    assert {row["phase"] for row in run.history} == {"cross-validation"}
    assert run.explain(_pixels(sorted(photos.glob("*/*"))[0])).class_name in run.classes
    (export,) = run.export("keras", out=tmp_path / "exports", progress=False)
    assert export.model.exists()
    with pytest.raises(InputError, match="blocks, got last:99"):
        copy.tune(fine_tune="last:99", progress=False)


def test_values_that_are_missing_in_texts_keep_their_place(text_run: hs.Run) -> None:
    answers = text_run.predict(pd.Series(["A tuple cannot be changed.", None, float("nan")]))
    assert [type(answer).__name__ for answer in answers] == ["Prediction", "Problem", "Problem"]
