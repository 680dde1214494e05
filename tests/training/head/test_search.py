"""`--search`: heads on features from several places, on real sentences and photos; what is found goes the whole way."""

import csv
import os
import pydoc_data.topics
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import headstart as hs
from headstart.bases import for_images
from headstart.bases.derived import tapped
from headstart.data.readers import as_examples
from headstart.errors import InputError
from headstart.features.augmented import augmented_features
from tests.conftest import SIZE, WORDS

pytestmark = pytest.mark.slow
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_NAMES_ONE = re.compile(r"\b(function|method)s?\b")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """340 sentences each that name a function or method, and that name none: one word tells, which a mean hides."""
    topics = [text for _, text in sorted(pydoc_data.topics.topics.items())]
    pieces = dict.fromkeys(part for text in topics for part in _SENTENCE_END.split(" ".join(text.split())))
    sides: dict[str, list[str]] = {"yes": [], "no": []}
    for piece in pieces:
        if 40 < len(piece) < 300:
            sides["yes" if _NAMES_ONE.search(piece) else "no"].append(piece)
    path = tmp_path_factory.mktemp("data") / "functions.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([text, label] for label, texts in sides.items() for text in texts[:340])
    return path


@pytest.fixture(scope="module")
def found(table: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """A run whose head was searched for; read it, do not change it."""
    runs = tmp_path_factory.mktemp("runs")
    return hs.train(table, base=WORDS, val=0.4, fine_tune="none", search=20, runs=runs)


def test_a_better_head_on_other_features_is_found_and_kept(found: hs.Run) -> None:
    search = found.facts["search"]
    assert search["outcome"] == "kept"
    assert "which had no part in the search" in search["reason"]
    assert search["trials"] == search["new"] == len(search["tried"]) == 20
    assert search["best"]["log_loss"] == min(one["log_loss"] for one in search["tried"] if not one["pruned"])
    assert search["best"]["log_loss"] < search["start"]["log_loss"]
    assert search["on_val"]["log_loss"][1] < search["on_val"]["log_loss"][0]
    assert {one["layers"] > 0 for one in search["tried"]} == {True, False}
    assert sum(search["mattered"]["all heads"].values()) == pytest.approx(1, abs=0.01)
    # What was measured is what the finished model answers, from the text on.
    with open(found.folder / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"][:20]
    for row, answer in zip(rows, found.predict([row["text"] for row in rows]), strict=True):
        assert answer.predicted == row["predicted"]
        assert answer.probability == pytest.approx(float(row["probability"]), abs=1e-3)
    assert found.facts["base"]["spec"]["taps"] == [f"words:{pooling}" for pooling in ("mean", "max")]
    assert found.facts["freeze_proof"]["changed"] == 0


def test_the_report_and_the_history_tell_of_it(found: hs.Run) -> None:
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    for said in ("Is another head better?", "The head that was found was kept", "words, mean and max", "What mattered"):
        assert said in page
    with open(found.folder / "history.csv", newline="", encoding="utf-8") as file:
        trials = [row for row in csv.DictReader(file) if row["phase"] == "search"]
    assert [int(row["epoch"]) for row in trials] == list(range(1, 21))


def test_a_search_goes_on_where_it_was(
    table: Path, found: hs.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again = hs.train(table, base=WORDS, val=0.4, fine_tune="none", search=20, runs=tmp_path)
    assert again.facts["search"]["new"] == 0
    assert again.facts["search"]["best"] == found.facts["search"]["best"]
    assert again.metrics == found.metrics
    more = hs.train(table, base=WORDS, val=0.4, fine_tune="none", search=22, runs=tmp_path)
    assert "continuing a search with 20 finished trials" in caplog.text
    assert more.facts["search"]["new"] == 2
    assert more.facts["search"]["tried"][:20] == found.facts["search"]["tried"]


def test_the_usual_head_stays_where_nothing_proves_another_better(
    sentences: Path, text_run: hs.Run, tmp_path: Path
) -> None:
    run = hs.train(sentences, base=WORDS, fine_tune="none", search=1, runs=tmp_path)
    assert run.facts["search"]["outcome"] == "not better"
    assert run.facts["search"]["best"]["description"] == "solved head"
    assert run.facts["search"]["mattered"] == {}
    assert run.metrics == text_run.metrics
    assert run.facts["base"] == text_run.facts["base"]


def test_networks_learn_from_augmented_photos(photos: Path, tmp_path: Path) -> None:
    options = {"input_size": SIZE, "val": 0.3, "fine_tune": "none", "runs": tmp_path}
    run = hs.train(photos, search=30, **options)
    tried = run.facts["search"]["tried"]
    of_networks = [one for one in tried if one["layers"]]
    assert len({one["augmentation"] for one in of_networks}) > 1
    assert not any("augmentation" in one for one in tried if not one["layers"])
    plain = hs.train(photos, search=30, augment="none", **options)
    assert not any("augmentation" in one for one in plain.facts["search"]["tried"])


def test_features_of_augmented_photos_are_those_of_the_pictures_that_augmentation_makes(
    photos: Path, tmp_path: Path
) -> None:
    from headstart.bases.base import ImageBase

    base = hs.load_base(input_size=SIZE)
    assert isinstance(base, ImageBase)
    files = sorted(photos.rglob("*.jpg"))[:20]
    mirrored = [tmp_path / f"{file.parent.name}-{file.stem}.png" for file in files]
    for file, other in zip(files, mirrored, strict=True):
        ImageOps.mirror(Image.open(file)).save(other)
    plain, other = hs.extract(base, files), hs.extract(base, mirrored)
    flips = [[], [("RandomFlip", {"mode": "horizontal"})]]
    cache = Path(os.environ["HEADSTART_CACHE"])
    examples = as_examples(files, "image")
    digests = [digest or b"" for digest in plain.digests]
    folder = tmp_path / "work"
    rows = augmented_features(base, plain, examples, digests, flips, folder, seed=0, cache=cache)
    as_it_is, flipped = plain.rows(range(20)), other.rows(range(20))
    np.testing.assert_allclose(rows[0], as_it_is, atol=2e-3)
    moved = np.abs(rows[1] - as_it_is).max(1) > 0.05
    assert 3 < moved.sum() < 17  # each with a chance of one half
    np.testing.assert_allclose(rows[1][moved], flipped[moved], atol=2e-3)
    shard = next(folder.rglob("shard-*.npy"))
    written = shard.stat().st_mtime_ns
    again = augmented_features(base, plain, examples, digests, flips, folder, seed=0, cache=cache)
    assert np.array_equal(rows, again)
    assert [path.stat().st_mtime_ns for path in folder.rglob("shard-*.npy")] == [written]


def test_features_of_photos_come_from_any_block(photos: Path) -> None:
    import keras

    from headstart.bases.blocks import find_blocks

    base = for_images(hs.load_base(input_size=SIZE))
    files = sorted(photos.rglob("*.jpg"))[:3]
    pixels = np.stack([base.reader().decode(file.read_bytes(), ".jpg") for file in files])
    features = tapped(base, ("block15:max", "block15:mean", "block13:mean")).model().predict(pixels, verbose=0)
    network = base.build(False)
    ends = {block.name: block.output for block in find_blocks(network)}
    upper, lower = keras.Model(network.input, [ends["block15"], ends["block13"]]).predict(
        base.preprocessing.array(pixels), verbose=0
    )
    expected = np.concatenate([upper.max((1, 2)), upper.mean((1, 2)), lower.mean((1, 2))], axis=1)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": 0}, "search: expected at least 1 trial, such as 50, got 0"),
        ({"search": 5, "head": "linear"}, "search: the search chooses the head"),
        ({"search": 5, "dense": (64,)}, "search: the search chooses the head"),
        ({"search": 5, "shots": 8}, "shots='8' leaves none"),
        ({"search": 5, "val": 0.0}, "set --val, such as 0.15"),
    ],
)
def test_what_a_search_cannot_be_asked_is_refused(
    sentences: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        hs.train(sentences, base=WORDS, runs=tmp_path, **options)  # type: ignore[arg-type]
