"""The search for a head on features of several layers, with real sentences and photos, through whole runs."""

import csv
import os
import pydoc_data.topics
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import headstart as hs
from headstart.bases.derived import with_taps
from headstart.data.modalities import IMAGE
from headstart.errors import InputError
from headstart.features.augmented import augmented_features
from tests.conftest import SIZE, WORDS

pytestmark = pytest.mark.slow
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_NAMES_FUNCTION = re.compile(r"\b(function|method)s?\b")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """340 sentences with and without the word function or method: one word decides, which a mean over words hides."""
    topics = [text for _, text in sorted(pydoc_data.topics.topics.items())]
    pieces = dict.fromkeys(part for text in topics for part in _SENTENCE_END.split(" ".join(text.split())))
    by_label: dict[str, list[str]] = {"yes": [], "no": []}
    for piece in pieces:
        if 40 < len(piece) < 300:
            by_label["yes" if _NAMES_FUNCTION.search(piece) else "no"].append(piece)
    path = tmp_path_factory.mktemp("data") / "functions.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([text, label] for label, texts in by_label.items() for text in texts[:340])
    return path


@pytest.fixture(scope="module")
def searched(table: Path, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """A run whose head was found by a search; read it, do not change it."""
    runs = tmp_path_factory.mktemp("runs")
    return hs.train(table, base=WORDS, val=0.4, fine_tune="none", counts="none", search=20, runs=runs)


def test_a_better_head_on_other_features_is_found_and_kept(searched: hs.Run) -> None:
    search = searched.facts.search
    assert search.outcome == "kept"
    assert "which the search did not use" in search.reason
    assert search.trials == search.new == len(search.tried) == 20
    assert search.best.log_loss == min(trial.log_loss for trial in search.tried if not trial.pruned)
    assert search.best.log_loss < search.start_log_loss
    assert search.on_val.log_loss[1] < search.on_val.log_loss[0]
    assert {trial.settings["layers"] > 0 for trial in search.tried} == {True, False}
    assert sum(search.importance["all heads"].values()) == pytest.approx(1, abs=0.01)
    # The finished model, from the text on, gives the predictions that were evaluated.
    with open(searched.folder / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"][:20]
    for row, answer in zip(rows, searched.predict([row["text"] for row in rows]), strict=True):
        assert answer.predicted == row["predicted"]
        assert answer.probability == pytest.approx(float(row["probability"]), abs=1e-3)
    assert searched.facts.base.spec.taps == [f"words:{pooling}" for pooling in ("mean", "max")]
    assert searched.facts.freeze_proof.changed == 0


def test_the_report_and_the_history_show_the_search(searched: hs.Run) -> None:
    page = (searched.folder / "report.html").read_text(encoding="utf-8")
    for phrase in (
        "Search for a head",
        "The head of the search was kept",
        "words, mean and max",
        "Importance of the settings",
    ):
        assert phrase in page
    with open(searched.folder / "history.csv", newline="", encoding="utf-8") as file:
        trials = [row for row in csv.DictReader(file) if row["phase"] == "search"]
    assert [int(row["epoch"]) for row in trials] == list(range(1, 21))


def test_a_search_continues_an_earlier_one(
    table: Path, searched: hs.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repeated = hs.train(table, base=WORDS, val=0.4, fine_tune="none", counts="none", search=20, runs=tmp_path)
    assert repeated.facts.search.new == 0
    assert repeated.facts.search.best == searched.facts.search.best
    assert repeated.metrics == searched.metrics
    continued = hs.train(table, base=WORDS, val=0.4, fine_tune="none", counts="none", search=22, runs=tmp_path)
    assert "continuing a search with 20 finished trials" in caplog.text
    assert continued.facts.search.new == 2
    assert continued.facts.search.tried[:20] == searched.facts.search.tried


def test_the_default_head_is_kept_where_no_other_is_proved_better(
    sentences: Path, text_run: hs.Run, tmp_path: Path
) -> None:
    run = hs.train(sentences, base=WORDS, fine_tune="none", search=1, runs=tmp_path)
    assert run.facts.search.outcome == "not better"
    assert run.facts.search.best.description == "solved head"
    assert run.facts.search.importance == {}
    assert run.metrics == text_run.metrics
    assert run.facts.base == text_run.facts.base


def test_networks_learn_from_augmented_photos(photos: Path, tmp_path: Path) -> None:
    options = {"input_size": SIZE, "val": 0.3, "fine_tune": "none", "runs": tmp_path}
    run = hs.train(photos, search=16, **options)
    tried = run.facts.search.tried
    of_networks = [trial.settings for trial in tried if trial.settings["layers"]]
    assert len({trial["augmentation"] for trial in of_networks}) > 1
    assert not any("augmentation" in trial.settings for trial in tried if not trial.settings["layers"])
    plain = hs.train(photos, search=16, augment="none", **options)
    assert any(trial.settings["layers"] for trial in plain.facts.search.tried)
    assert not any("augmentation" in trial.settings for trial in plain.facts.search.tried)


def test_features_of_augmented_photos_are_those_of_the_augmented_images(photos: Path, tmp_path: Path) -> None:
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
    examples = IMAGE.as_examples(files)
    digests = [digest or b"" for digest in plain.digests]
    folder = tmp_path / "work"
    rows = augmented_features(base, plain, examples, digests, flips, folder, seed=0, cache=cache)
    original, flipped = plain.rows(range(20)), other.rows(range(20))
    np.testing.assert_allclose(rows[0], original, atol=2e-3)
    is_flipped = np.abs(rows[1] - original).max(1) > 0.05
    assert 3 < is_flipped.sum() < 17  # each with a chance of one half
    np.testing.assert_allclose(rows[1][is_flipped], flipped[is_flipped], atol=2e-3)
    shard = next(folder.rglob("shard-*.npy"))
    written = shard.stat().st_mtime_ns
    repeated = augmented_features(base, plain, examples, digests, flips, folder, seed=0, cache=cache)
    assert np.array_equal(rows, repeated)
    assert [path.stat().st_mtime_ns for path in folder.rglob("shard-*.npy")] == [written]


def test_features_of_photos_come_from_any_block(photos: Path) -> None:
    import keras

    from headstart.bases.blocks import find_blocks

    base = hs.load_base(input_size=SIZE)
    files = sorted(photos.rglob("*.jpg"))[:3]
    pixels = np.stack([base.reader().decode(file.read_bytes(), ".jpg") for file in files])
    features = with_taps(base, ("block15:max", "block15:mean", "block13:mean")).model().predict(pixels, verbose=0)
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
        ({"search": 0}, "search: expected a whole number of at least 1, got '0'"),
        ({"search": 5, "head": "linear"}, "search: the search chooses the head"),
        ({"search": 5, "dense": (64,)}, "search: the search chooses the head"),
        ({"search": 5, "shots": 8}, "search: it is judged on validation examples, and shots leaves none"),
        ({"search": 5, "val": 0.0}, "set val='0.15', for instance"),
    ],
)
def test_contradictory_search_settings_are_refused(
    sentences: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        hs.train(sentences, base=WORDS, runs=tmp_path, **options)  # type: ignore[arg-type]
