"""What all tests share: folders of their own, and small real data that come with a package."""

import csv
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before anything is imported: nothing of the user's is touched, Keras in this process is one that can train, and CPUs
# that have bfloat16 compute as exactly as the others; tests/contracts/test_bfloat16.py is about what they do otherwise.
_HOME = tempfile.mkdtemp(prefix="headstart-tests-")
os.environ.update(HEADSTART_CACHE=f"{_HOME}/cache", KERAS_HOME=f"{_HOME}/keras", HEADSTART_OFFLINE="1")
# What is expensive to make is shared by pytest's side-by-side processes, which inherit the variable.
_SHARED = Path(os.environ.setdefault("HEADSTART_TESTS_SHARED", f"{_HOME}/shared"))
for _name in ("engines", "tuning", "box-views"):  # what bases are converted into, trainings, and the maps of detectors
    (_SHARED / _name).mkdir(parents=True, exist_ok=True)
    Path(_HOME, "cache").mkdir(exist_ok=True)
    Path(_HOME, "cache", _name).symlink_to(_SHARED / _name)
os.environ["HEADSTART_PRECISION"] = "float32"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("XDG_CACHE_HOME", None)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes import headstart: only the first compiles it
sys.dont_write_bytecode = False  # and tests, which pytest compiles for half the time that it takes to find them

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402

import headstart as hs  # noqa: E402
from examples.shapes import write_shapes  # noqa: E402
from headstart.features.engines import prepare  # noqa: E402
from headstart.system.locks import patient_lock  # noqa: E402
from headstart.system.settings import cache_folder  # noqa: E402

SIZE = 64
"""Input size of the runs that tests train, in pixels: the smallest that still tells the classes apart."""

WORDS = "embedded:glove-6b-50d"
"""The quickest base for texts."""

DETECTOR: dict[str, Any] = {"input_size": (96, 128), "detector_epochs": 25, "detector_views": 2}
"""Settings of the detector that many tests share."""

WITHOUT_HEADSTART = """
import sys
class NoHeadstart:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "headstart":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoHeadstart())
"""
"""Begins a program in which headstart cannot be imported."""

Command = Callable[..., "subprocess.CompletedProcess[str]"]
"""``headstart(*arguments, cwd=folder)``."""

_LONG_FILES = (
    "training/detection/test_detector.py", "journeys/test_tutorials.py", "exporting/test_export.py",
    "training/fine_tuning/test_fine_tune.py", "bases/test_saved_model.py", "contracts/test_keras_applications.py",
    "exporting/test_detectors.py", "journeys/test_network.py", "bases/test_transformers_graph.py",
    "features/test_extraction.py", "bases/test_kerashub.py", "bases/test_config_fields.py", "runs/test_golden_runs.py",
    "contracts/test_backends.py", "runs/test_run.py", "ui/test_browser.py", "contracts/test_grad_cam.py",
)  # fmt: skip
"""The files that take longest, 90 to 20 seconds, from the longest on."""

_IS_FROZEN = pytest.StashKey[bool]()
_CROP, _STEP = 96, 48
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, or at the end one of two processes would wait for them.

    A file is one process's (``--dist loadfile``), which makes the fixtures of its module once. What needs the detector
    is slow, because its training is.
    """
    for item in items:
        if "detector" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    places = {name: place for place, name in enumerate(_LONG_FILES)}

    def place(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        return places.get(name, len(places)), item.path not in slow_files

    items.sort(key=place)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """TensorFlow's million objects stay to the end: collections after the first test that needs it leave them out."""
    if "tensorflow" in sys.modules and not item.config.stash.get(_IS_FROZEN, False):
        item.config.stash[_IS_FROZEN] = True  # to ask for the number of frozen objects would count them, every time
        gc.freeze()


def prepared_cache(folder: Path, size: int = SIZE) -> Path:
    """A cache of its own, which holds the embedded base as it was prepared once for a size, and no features."""
    engine = prepare(hs.load_base(input_size=size), cache_folder(), np.zeros((1, size, size, 3), np.uint8)).folder
    shutil.copytree(engine, folder / "engines" / engine.name)
    return folder


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest's processes makes and all read; nobody changes it.

    Args:
        name: of the folder.
        make: makes it, and what is in it.
    """
    folder, done = _SHARED / name, _SHARED / f"{name}.done"
    with patient_lock(f"{folder}.lock", f"making {name}"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``china/`` and ``flower/``: 55 crops each of the two photographs that come with scikit-learn, as JPEG."""
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp("data") / "photos"
    sample = load_sample_images()
    for name, photo in zip(("china", "flower"), sample.images, strict=True):
        (folder / name).mkdir(parents=True)
        height, width = photo.shape[:2]
        corners = [(y, x) for y in range(0, height - _CROP, _STEP) for x in range(0, width - _CROP, _STEP)]
        for number, (y, x) in enumerate(corners[:55]):
            Image.fromarray(photo[y : y + _CROP, x : x + _CROP]).save(folder / name / f"{number:02}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> "hs.Run":
    """A run trained on ``photos`` with a linear head; read it, do not change it."""
    return hs.train(photos, input_size=SIZE, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def shapes() -> Path:
    """Discs and squares on crops of a photograph, with boxes in the layout of YOLO: 32 train, 12 val and 12 test."""
    return made_once("shapes", write_shapes)


@pytest.fixture(scope="session")
def detector(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> "hs.Run":
    """A run trained on ``shapes``; read it, do not change it."""

    def make(folder: Path) -> None:
        hs.train(shapes, **DETECTOR, runs=folder)

    return hs.load(shutil.copytree(made_once("detector", make) / "shapes", tmp_path_factory.mktemp("runs") / "shapes"))


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 110 sentences each from two books that come with Python and scikit-learn: ``python`` and ``data``."""
    import pydoc_data.topics

    from sklearn.datasets import __file__ as place

    described = sorted((Path(place).parent / "descr").glob("*.rst"))
    books = {
        "data": [path.read_text(encoding="utf-8") for path in described],
        "python": [text for _, text in sorted(pydoc_data.topics.topics.items())],
    }
    table = tmp_path_factory.mktemp("data") / "sentences.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for label, texts in books.items():
            pieces = [part for text in texts for part in _SENTENCE_END.split(" ".join(text.split()))]
            chosen = [part for part in dict.fromkeys(pieces) if 40 < len(part) < 300]
            writer.writerows([part, label] for part in chosen[:: len(chosen) // 110][:110])
    return table


@pytest.fixture(scope="session")
def text_run(sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> "hs.Run":
    """A run trained on ``sentences`` with word vectors; read it, do not change it."""
    return hs.train(sentences, base=WORDS, fine_tune="none", runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base for images of 32 pixels that is prepared and trained in a moment: 8 convolutions in 6 blocks.

    Each is followed by BatchNormalization; the features are too few for the digits, so fine-tuning helps.
    """
    rng = np.random.default_rng(0)
    sections = ["[net]\nheight=32\nwidth=32"]
    values = [np.array([0, 2, 5, 0, 0], "<i4").tobytes()]

    def convolution(inputs: int, outputs: int, options: str, size: int = 1, groups: int = 1) -> None:
        sections.append(
            f"[convolutional]\nbatch_normalize=1\npad=1\nfilters={outputs}\nsize={size}\ngroups={groups}\n{options}"
        )
        per_output = inputs // groups * size**2
        bias, mean = rng.normal(0, 0.1, (2, outputs))
        kernel = rng.normal(0, (2 / per_output) ** 0.5, outputs * per_output)
        norm = [bias, np.ones(outputs), mean, rng.uniform(0.8, 1.2, outputs)]
        values.append(np.concatenate([*norm, kernel]).astype("<f4").tobytes())

    convolution(3, 16, "activation=relu6\nstride=2", size=3)
    for inputs, outputs in ((16, 16), (16, 32), (32, 32)):
        convolution(inputs, inputs, f"activation=relu6\nstride={outputs // inputs}", size=3, groups=inputs)
        convolution(inputs, outputs, "activation=linear")
        if inputs == outputs:
            sections.append("[shortcut]\nfrom=-3\nactivation=linear")
    convolution(32, 12, "activation=relu6")
    cfg = tmp_path_factory.mktemp("bases") / "small.cfg"
    cfg.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    cfg.with_suffix(".weights").write_bytes(b"".join(values))
    return f"yolo:{cfg}"


@pytest.fixture
def headstart_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process, which has imported most of it: for what does not depend on the process."""
    from headstart.cli.main import main

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["headstart", *map(str, arguments)])
        if cwd:
            monkeypatch.chdir(cwd)
        handler = signal.getsignal(signal.SIGTERM)
        capfd.readouterr()
        try:
            main()
        except SystemExit as exc:
            return subprocess.CompletedProcess(sys.argv, exc.code, *capfd.readouterr())
        finally:
            signal.signal(signal.SIGTERM, handler)

    return run
