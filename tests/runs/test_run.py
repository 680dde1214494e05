import csv
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import headstart as hs
from headstart.data.images import Decoder
from headstart.errors import InputError, IntegrityError
from headstart.model_files.keras_file import base_digests, fill_template, freeze_proof
from headstart.runs.folder import write_folder
from headstart.training import Head
from tests.conftest import SIZE, WITHOUT_HEADSTART

FILES = {
    "model.keras", "engine", "golden.npz", "run.json", "metrics.json", "predictions.csv", "history.csv", "skipped.csv",
    "report.html", "suspects.csv",
}  # fmt: skip

_OPEN_ELSEWHERE = (
    WITHOUT_HEADSTART
    + """
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
pixels = np.load(sys.argv[2])
np.save(sys.argv[3], np.concatenate([model.predict(batch, verbose=0) for batch in (pixels[:1], pixels)]))
assert model.input.dtype == "uint8", model.input.dtype
"""
)


def _keras_probabilities(model: Path, pixels: np.ndarray, scratch: Path) -> np.ndarray:
    """What plain Keras says in a fresh process in which headstart cannot be imported.

    Returns:
        Probabilities (1 + n, classes): of the first one by itself, then of all.
    """
    np.save(scratch / "pixels.npy", pixels)
    command = [sys.executable, "-c", _OPEN_ELSEWHERE, model, scratch / "pixels.npy", scratch / "answer.npy"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return np.load(scratch / "answer.npy")


def _predictions(folder: Path) -> list[dict[str, str]]:
    with open(folder / "predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def copied(run: hs.Run, tmp_path: Path) -> Path:
    """A copy of the run that may be harmed."""
    return Path(shutil.copytree(run.folder, tmp_path / "copy"))


def test_the_folder_holds_what_it_should_and_nothing_else(run: hs.Run) -> None:
    assert {path.name for path in run.folder.iterdir()} == FILES
    assert not [path for path in run.folder.parent.iterdir() if path.name.startswith(".")]


def test_it_tells_the_photos_apart(run: hs.Run) -> None:
    assert run.name == "photos"
    assert run.classes == ["china", "flower"]
    assert run.metrics["accuracy"] > 0.85
    low, high = run.intervals["accuracy"]
    assert low <= run.metrics["accuracy"] <= high
    assert run.figures.headline == "test"


def test_every_example_is_in_one_split_of_the_right_size(run: hs.Run) -> None:
    rows = _predictions(run.folder)
    sizes = {side: sum(row["split"] == side for row in rows) for side in ("train", "val", "test")}
    assert len({row["file"] for row in rows}) == len(rows) == 110
    assert sizes == {"train": 78, "val": 16, "test": 16}
    assert run.facts.data.splits["test"].to_json() == {"examples": 16, "per_class": {"china": 8, "flower": 8}}


def test_the_same_seed_gives_the_same_run(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    again = hs.train(photos, input_size=SIZE, runs=tmp_path)
    assert (again.folder / "predictions.csv").read_bytes() == (run.folder / "predictions.csv").read_bytes()
    assert (again.folder / "metrics.json").read_bytes() == (run.folder / "metrics.json").read_bytes()
    assert again.facts.cost.examples_computed == 0
    other = hs.train(photos, input_size=SIZE, runs=tmp_path, seed=1)
    assert other.facts.data.digest != again.facts.data.digest


def test_a_run_is_never_overwritten(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    first, second = (hs.train(photos, input_size=SIZE, runs=tmp_path, name="mine") for _ in range(2))
    assert [first.folder.name, second.folder.name] == ["mine", "mine-2"]
    assert second.facts.name == "mine-2"
    assert "mine-2" in (second.folder / "report.html").read_text(encoding="utf-8")


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path, name: str) -> None:
        (folder / "half").write_text("written")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "runs", "mine", fill)
    assert list((tmp_path / "runs").iterdir()) == []


def test_of_two_processes_with_one_name_the_slower_one_takes_another(tmp_path: Path) -> None:
    """It fills a folder from the start, in which nothing of the first attempt is left."""

    def fill(folder: Path, name: str) -> None:
        (folder / "engine").mkdir()
        (folder / "engine" / name).write_text("")
        (folder / name).write_text("")
        if name == "mine":
            (tmp_path / "mine").mkdir()  # by the other one
            (tmp_path / "mine" / "run.json").write_text("")

    folder = write_folder(tmp_path, "mine", fill)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in folder.rglob("*")) == [
        *("mine-2/engine", "mine-2/engine/mine-2", "mine-2/mine-2"),
    ]


@pytest.mark.slow
def test_plain_keras_opens_the_model_without_headstart(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    rows = _predictions(run.folder)[:7]
    decoder = Decoder((SIZE, SIZE))
    pixels = np.stack([decoder.read(photos / row["file"]) for row in rows])
    found = _keras_probabilities(run.model_path, pixels, tmp_path)
    assert found.sum(1) == pytest.approx(np.ones(8), abs=1e-5)
    expected = [float(row["probability"]) for row in (rows[0], *rows)]
    assert found.max(1) == pytest.approx(expected, abs=run.facts.engine.tolerance)


@pytest.mark.slow
def test_a_head_of_hidden_layers_is_an_ordinary_run(photos: Path, tmp_path: Path) -> None:
    mlp = hs.train(photos, input_size=SIZE, runs=tmp_path, dense=(32, 16), dropout=0.1, epochs=15)
    assert mlp.metrics["accuracy"] > 0.85
    assert mlp.facts.head.units == [32, 16]
    with open(mlp.folder / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))
    assert {row["phase"] for row in history} == {"head"}
    assert len(history) == mlp.facts.head.epochs <= 15
    assert float(history[-1]["loss"]) < float(history[0]["loss"])
    row = _predictions(mlp.folder)[0]
    pixels = Decoder((SIZE, SIZE)).read(photos / row["file"])[np.newaxis]
    by_keras = _keras_probabilities(mlp.model_path, pixels, tmp_path).max()
    assert by_keras == pytest.approx(float(row["probability"]), abs=1e-4)
    assert mlp.predict(photos / row["file"]).probability == pytest.approx(by_keras, abs=1e-4)


def test_class_names_travel_inside_the_model(run: hs.Run) -> None:
    with zipfile.ZipFile(run.model_path) as file:
        inside = json.loads(file.read("headstart.json"))
    assert inside["classes"] == ["china", "flower"]
    assert inside["base"]["handle"] == "embedded:efficientnet-lite0"


def test_the_frozen_base_is_proved_unchanged(run: hs.Run) -> None:
    proof = run.facts.freeze_proof
    assert proof.changed == 0
    assert proof.tensors > 200
    assert 0 < proof.statistics < proof.tensors


@pytest.mark.parametrize("part", ["kernel", "statistics"])
def test_a_base_that_moved_is_an_error(run: hs.Run, tmp_path: Path, part: str) -> None:
    with zipfile.ZipFile(run.model_path) as file:
        file.extractall(tmp_path / "model")
    with h5py.File(tmp_path / "model/model.weights.h5", "r+") as file:
        names: list[str] = []
        file.visit(lambda name: names.append(name) if isinstance(file[name], h5py.Dataset) else None)
        wanted = "batch_normalization" if part == "statistics" else "conv2d"
        name = next(name for name in names if wanted in name)
        file[name][...] = np.asarray(file[name]) * 1.000001 + 1e-6
    moved = tmp_path / "moved.keras"
    with zipfile.ZipFile(moved, "w") as file:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            file.write(tmp_path / "model" / name, name)
    before = base_digests(run.model_path)
    with pytest.raises(IntegrityError, match=r"1 of 2\d\d frozen tensors .*moved.keras differ"):
        freeze_proof(moved, {"before": before, "statistics": 0})


def test_the_engine_and_the_cached_features_agree(run: hs.Run, photos: Path) -> None:
    rows = _predictions(run.folder)
    answers = run.predict([photos / row["file"] for row in rows])
    difference = max(
        abs(answer.probabilities[row["label"]] - float(row["label_probability"]))
        for answer, row in zip(answers, rows, strict=True)
    )
    assert difference < run.facts.engine.tolerance


@pytest.mark.parametrize("file", ["engine/model.bin", "golden.npz"])
def test_a_changed_file_is_noticed_when_the_run_is_opened(copied: Path, photos: Path, file: str) -> None:
    if file == "golden.npz":
        with np.load(copied / file) as golden:
            pixels, probabilities = golden["inputs"], golden["probabilities"]
        np.savez(copied / file, inputs=pixels, probabilities=probabilities[:, ::-1])
    else:
        data = bytearray((copied / file).read_bytes())
        data[-8:] = b"\x00\x00\x80\x3f\x00\x00\x20\x41"  # the bias, which comes last
        (copied / file).write_bytes(data)
        facts = json.loads((copied / "run.json").read_text(encoding="utf-8"))
        del facts["files"][file]  # its digest would be noticed first
        (copied / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    expected = r"golden\.npz: its SHA-256" if file == "golden.npz" else r"golden samples of .*copy give other probab"
    with pytest.raises(IntegrityError, match=expected):
        hs.load(copied).predict(photos / "china/00.jpg")


def test_a_run_that_is_in_use_does_not_follow_its_file(copied: Path, photos: Path) -> None:
    """A newer run is copied over an older one that a server has opened: OpenVINO would mix both."""
    run, image, weights = hs.load(copied), photos / "china/00.jpg", copied / "engine/model.bin"
    expected = run.predict(image).probabilities
    with open(weights, "r+b") as file:  # in place, as `cp` does it
        file.write(bytes(weights.stat().st_size))
    assert run.predict(image).probabilities == expected
    with pytest.raises(IntegrityError, match=r"model\.bin: its SHA-256 is not the one in run\.json"):
        hs.load(copied).predict(image)


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is not a run: there is no such folder"):
        hs.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no run\.json"):
        hs.load(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"run\.json cannot be read as JSON"):
        hs.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dense": (0,)}, "dense: expected sizes of at least 1"),
        ({"head": "linear", "dense": (8,)}, "linear head has no hidden layers"),
        ({"dropout": 1.0, "head": "mlp"}, "dropout: expected a number of at least 0 and below 1"),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1"),
        ({"val": 0.5, "test": 0.5}, "val: 0.5 and test 0.5 leave nothing"),
        ({"name": "a/b"}, "name: 'a/b' cannot be the name"),
        ({"input_size": 8}, "8x8 is too small"),
        ({"base": "embedded:efficientnet-lite1"}, "efficientnet-lite1"),
        ({"base": "efficientnet"}, "'efficientnet' is not a base handle"),
        ({"classes": ["china", "flour"]}, "'flour'.* Did you mean 'flower'"),
    ],
)
def test_wrong_arguments_are_named(photos: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hs.train(photos, **{"input_size": SIZE, "runs": tmp_path, **options})
    assert list(tmp_path.iterdir()) == []


def test_without_held_out_data_the_figures_say_so(photos: Path, tmp_path: Path) -> None:
    everything = hs.train(photos, input_size=SIZE, runs=tmp_path, val=0, test=0)
    assert everything.figures.headline == "train"
    assert everything.facts.data.splits["train"].examples == 110


def test_damaged_files_are_left_out_and_listed(photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "damaged"))
    whole = (folder / "china/00.jpg").read_bytes()
    (folder / "china/empty.jpg").write_bytes(b"")
    (folder / "china/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "flower/really-a-jpeg.png").write_bytes((folder / "flower/00.jpg").read_bytes())
    (folder / "flower/page.jpg").write_text("<!DOCTYPE html><html>not found</html>")
    (folder / "flower/notes.txt").write_text("mine")
    (folder / "flower/also-china.jpg").write_bytes((folder / "china/05.jpg").read_bytes())
    run = hs.train(folder, input_size=SIZE, runs=tmp_path / "runs")
    with open(run.folder / "skipped.csv", newline="", encoding="utf-8") as file:
        skipped = {row["file"].replace("\\", "/"): row["reason"] for row in csv.DictReader(file)}
    expected = {
        "china/empty.jpg": "empty",
        "china/cut.jpg": "damaged",
        "flower/really-a-jpeg.png": "rename it to .jpg",
        "flower/page.jpg": "web page",
        "flower/notes.txt": ".txt",
        "flower/also-china.jpg": "another label (china and flower)",
        "china/05.jpg": "another label (china and flower)",
    }
    assert set(skipped) == set(expected)
    assert all(words in skipped[file] for file, words in expected.items())
    assert run.facts.data.examples == 109
    with pytest.raises(InputError, match="strict: 7 files left out"):
        hs.train(folder, input_size=SIZE, runs=tmp_path / "runs", strict=True)


def test_groups_stay_together(photos: Path, tmp_path: Path) -> None:
    grouped = hs.train(photos, input_size=SIZE, runs=tmp_path, group_by=r"/(\d)")  # ten file names to a group
    sides: dict[str, set[str]] = {}
    for row in _predictions(grouped.folder):
        sides.setdefault(Path(row["file"]).name[0], set()).add(row["split"])
    assert len(sides) == 6
    assert all(len(side) == 1 for side in sides.values())


def test_a_class_too_small_to_divide_is_named(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("china", "flower"):
        shutil.copytree(photos / name, folder / name)
    (folder / "rare").mkdir()
    shutil.copy(photos / "china/00.jpg", folder / "rare/0.jpg")
    (folder / "china/00.jpg").unlink()
    with pytest.raises(InputError, match="the class 'rare' has 1 usable example"):
        hs.train(folder, input_size=SIZE, runs=tmp_path / "runs")


@pytest.mark.slow
def test_imbalanced_classes_are_weighted(photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "data"))
    for path in sorted((folder / "flower").iterdir())[12:]:
        path.unlink()
    balanced = hs.train(folder, input_size=SIZE, runs=tmp_path / "runs")
    weights = balanced.facts.head.class_weights
    assert weights["flower"] > 3 * weights["china"]
    plain = hs.train(folder, input_size=SIZE, runs=tmp_path / "runs", class_weights="none")
    assert plain.facts.head.class_weights is None


def test_filling_a_template_keeps_what_keras_wrote(run: hs.Run, tmp_path: Path) -> None:
    """The head that comes out of a filled file is the one that went in, bit for bit."""
    rng = np.random.default_rng(0)
    head = Head(((rng.normal(size=(1280, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32)),))
    template = tmp_path / "template.keras"
    shutil.copy(run.model_path, template)
    facts = {"before": base_digests(run.model_path), "statistics": 0}
    template.with_suffix(".json").write_text(json.dumps(facts))
    fill_template(template, head, {"classes": list("abcde")}, tmp_path / "filled.keras")
    with zipfile.ZipFile(tmp_path / "filled.keras") as file:
        file.extract("model.weights.h5", tmp_path)
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert np.array_equal(file["layers/dense/vars/0"], head.layers[0][0])
        assert np.array_equal(file["layers/dense/vars/1"], head.layers[0][1])


def test_test_time_augmentation_is_the_mean_with_the_mirror_image(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    from PIL import Image, ImageOps

    picture = photos / "china" / "03.jpg"
    mirrored = tmp_path / "mirrored.png"
    with Image.open(picture) as opened:
        straight = tmp_path / "straight.png"
        opened.save(straight)
        ImageOps.mirror(opened).save(mirrored)
    both = [run.predict(file).probabilities["china"] for file in (straight, mirrored)]
    assert both[0] != both[1]
    assert run.predict(straight, tta=True).probabilities["china"] == pytest.approx(np.mean(both), abs=1e-5)
