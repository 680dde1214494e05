"""Makes the golden runs that ``tests/runs`` opens: ``python tests/files/runs/make.py v2``.

``python tests/files/runs/make.py v4 boxes`` makes the detector alone.

A golden run is one that an earlier version has written, and that every later version must still open. They are made
once for each format and then never again: ``v1-…`` by the last version without a ``format_version``. The data, the base
and the word vectors are made here as well, from arithmetic alone, which gives the same bytes on every machine. Runs
name these by absolute paths below :data:`PLACE`; tests put them somewhere else and change the names.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PLACE = Path("/tmp/headstart-golden")
"""Folder of the data while the runs are made."""

HERE = Path(__file__).parent
BASE, MAPS, WORDS = HERE / "base.keras", HERE / "maps.keras", HERE / "words.bin"
_SIZE = 16  # pixels, of an image
_EACH = 20  # images of a class, texts of a label
_SCENE, _SCENES, _CHANNELS = 64, 24, 8  # of the detector: pixels of an image, images, channels of the neck
_TOPICS = {
    "sea": ("wave", "ship", "salt", "tide", "harbour", "sail"),
    "wood": ("tree", "leaf", "bark", "moss", "root", "branch"),
}
_FILLERS = ("the", "a", "of", "near", "old", "small", "and", "was")


def make_images(folder: Path, n: int = _EACH, start: int = 0) -> Path:
    """``rows/`` and ``columns/``: striped images as BMP files. Two lie in the wrong folder, and one is damaged."""
    y, x = np.mgrid[:_SIZE, :_SIZE]
    for name, axis in (("columns", x), ("rows", y)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(start, start + n):
            along, turn = (x + y - axis, 0.5) if (name, i) in (("rows", 3), ("columns", 12)) else (axis, 0)
            stripes = 128 + 90 * np.sin(along * (0.7 + 0.04 * i) + i + turn)
            noise = (7919 * (y * 31 + x * 17 + i * 101) % 251) / 251 - 0.5
            pixels = np.clip(stripes[..., None] + 60 * noise[..., None] * [1, -1, 1], 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02}.bmp")
    if start == 0:
        (folder / "rows" / "damaged.bmp").write_bytes(b"BM")
    return folder


def make_boxes(folder: Path, n: int = _SCENES, start: int = 0) -> Path:
    """``boxes.csv`` and noisy BMP files, each with a red block, a blue frame or both; every eighth one has neither."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:_SCENE, :_SCENE]
    lines = ["path,x1,y1,x2,y2,label"]
    for i in range(start, start + n):
        noise = (7919 * (y * 67 + x * 13 + i * 101) % 251) / 251 - 0.5
        pixels = (110 + 60 * noise[..., None] * [1, 1, 1]).astype(np.uint8)
        names = [] if i % 8 == 7 else ["block"] * (i % 3 != 1) + ["frame"] * (i % 3 != 0)
        for name in names:
            side = 16 + (5 * i) % 9
            left, top = (2 if name == "block" else 34) + (3 * i) % 7, 4 + (11 * i) % 30
            pixels[top : top + side, left : left + side] = (220, 40, 30) if name == "block" else (30, 60, 220)
            if name == "frame":
                pixels[top + 5 : top + side - 5, left + 5 : left + side - 5] = (240, 240, 240)
            lines.append(f"{i:02}.bmp,{left},{top},{left + side},{top + side},{name}")
        lines += [] if names else [f"{i:02}.bmp,,,,,"]
        Image.fromarray(pixels).save(folder / f"{i:02}.bmp")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def make_texts(path: Path, n: int = _EACH, start: int = 0) -> Path:
    """A table of texts with the columns ``text``, ``label`` (one of two) and ``labels`` (none, one or both)."""
    lines = ["text,label,labels"]
    for i in range(start, start + 2 * n):
        label = list(_TOPICS)[i % 2]
        others = [name for name in _TOPICS if name != label] if i % 5 == 0 else []
        words = [_TOPICS[label][(i // 2 + k) % 6] for k in range(3)]
        words += [_TOPICS[name][(i // 3 + k) % 6] for name in others for k in range(2)]
        fillers = [_FILLERS[(i * 3 + k * 5) % 8] for k in range(4)]
        if i % 14 == 9:
            words = []
        text = " ".join(fillers[:2] + words + fillers[2:]) + f" {i}"
        names = sorted([label, *others]) if words else []
        lines.append(f"{text},{label},{';'.join(names)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_base() -> None:
    """A network of two blocks, saved as a Keras file, as users have them."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((_SIZE, _SIZE, 3))
    x = keras.layers.Rescaling(1 / 255, name="scale")(inputs)
    for number, width in ((1, 4), (2, 8)):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", name=f"block{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = keras.layers.Activation("relu", name=f"block{number}_out")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    model = keras.Model(inputs, keras.layers.Dense(5, activation="softmax", name="top")(x))
    edges = np.zeros((3, 3, 3, 4), np.float32)  # differences along x and y, in both directions
    for number, (towards, away) in enumerate((((1, 2), (1, 0)), ((1, 0), (1, 2)), ((2, 1), (0, 1)), ((0, 1), (2, 1)))):
        edges[(*towards, slice(None), number)], edges[(*away, slice(None), number)] = 1, -1
    model.get_layer("block1_conv").set_weights([edges, np.zeros(4, np.float32)])
    model.save(BASE)


def make_maps() -> None:
    """A network of four blocks for the detector, each half as high and wide as the one before it."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((_SCENE, _SCENE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="scale")(inputs)
    for number, width in enumerate((8, 8, 12, 12), 1):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", name=f"block{number}_conv")(x)
        x = keras.layers.Activation("relu", name=f"block{number}_out")(x)
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pooled")(x)).save(MAPS)


def make_words() -> None:
    """Word vectors in word2vec's format: words of a topic lie near each other."""
    words = [*_FILLERS, *(word for topic in _TOPICS.values() for word in topic)]
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(_TOPICS), 8))
    topics = [centres[number] for number, topic in enumerate(_TOPICS.values()) for _ in topic]
    vectors = rng.normal(size=(len(words), 8)) * 0.6 + np.array([*([np.zeros(8)] * len(_FILLERS)), *topics])
    records = (
        word.encode() + b" " + row.tobytes() for word, row in zip(words, vectors.astype(np.float32), strict=True)
    )
    WORDS.write_bytes(f"{len(words)} 8\n".encode() + b"".join(records))


def make_detector(version: str, image_base: str, **settings: Any) -> None:
    """A detector; see :func:`narrow_copy`."""
    import headstart as hs

    run = hs.train(
        make_boxes(PLACE / "boxes"), base=image_base, detector_epochs=60, detector_views=3, name=f"{version}-boxes",
        **settings,
    )  # fmt: skip
    hs.evaluate(run.folder, make_boxes(PLACE / "new-boxes", 4, start=50), name="new")


def narrow_copy() -> Path:
    """A folder with a copy of headstart whose detectors have a narrow neck: their runs take little space.

    A run holds its own network, of any width. Detectors are trained in processes of their own, so a change of a
    constant in this one would not reach them.
    """
    import headstart

    source = Path(headstart.__file__).parent
    copy = shutil.copytree(source, PLACE / "narrow" / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "training" / "detection" / "network.py"
    text = path.read_text(encoding="utf-8")
    narrow_text = re.sub(r"^_WIDTH = \d+", f"_WIDTH = {_CHANNELS}", text, flags=re.MULTILINE)
    if narrow_text == text:
        raise SystemExit(f"{path} has no line that says the width of the neck")
    path.write_text(narrow_text, encoding="utf-8")
    return copy.parent


def main(version: str, *, only_detector: bool = False) -> None:
    """Make the golden runs of a format, and what they are made of where that is missing."""
    if not BASE.exists():
        make_base()
    if not MAPS.exists():
        make_maps()
    if not WORDS.exists():
        make_words()
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(HERE, PLACE / "bases", ignore=shutil.ignore_patterns("v*-*"))
    image_base, word_base = f"file:{PLACE / 'bases' / BASE.name}", f"word2vec:{PLACE / 'bases' / WORDS.name}"
    split: dict[str, Any] = {"val": 0.25, "test": 0.25, "runs": PLACE / "runs", "cache": PLACE / "cache"}
    code = (
        "from pathlib import PosixPath; from tests.files.runs.make import make_detector; "
        f"make_detector({version!r}, {f'file:{PLACE}/bases/{MAPS.name}'!r}, **{split!r})"
    )
    path = os.pathsep.join((str(narrow_copy()), str(HERE.parents[2])))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
    if not only_detector:
        make_classifiers(version, image_base, word_base, **split, precision="float32")
    for made in (PLACE / "runs").iterdir():
        unused_files = ("report.html", *(["model.keras"] if made.name.endswith("boxes") else []))  # the latter: 460 kB
        shutil.rmtree(HERE / made.name, ignore_errors=True)
        shutil.copytree(made, HERE / made.name, ignore=shutil.ignore_patterns(*unused_files))


def make_classifiers(version: str, image_base: str, word_base: str, **split: Any) -> None:
    """Runs with one label for each image, for each text, and with any number of labels for each text."""
    import headstart as hs

    images, texts = make_images(PLACE / "images"), make_texts(PLACE / "texts.csv")
    run = hs.train(images, base=image_base, fine_tune="last:1", name=f"{version}-images", **split)
    hs.evaluate(run.folder, make_images(PLACE / "new", 4, start=50), name="new")
    hs.train(
        texts, base=word_base, fine_tune="none", name=f"{version}-texts",
        text_column="text", label_column="label", **split,
    )  # fmt: skip
    hs.train(
        texts, base=word_base, fine_tune="none", name=f"{version}-multi-label", epochs=3, search=3,
        text_column="text", label_column="labels", label_separator=";", **split,
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], only_detector="boxes" in sys.argv[2:])
