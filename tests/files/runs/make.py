"""Makes the golden runs that ``tests/runs`` opens: ``python tests/files/runs/make.py v2``.

A golden run is one that an earlier version has written, and that every later version must still open. They are made
once for each format and then never again: ``v1-…`` by the last version without a ``format_version``. The data, the base
and the word vectors are made here as well, from arithmetic alone, which gives the same bytes on every machine. Runs
name these by absolute paths below :data:`PLACE`; tests put them somewhere else and change the names.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

PLACE = Path("/tmp/headstart-golden")
"""Folder of the data while the runs are made."""

HERE = Path(__file__).parent
BASE, WORDS = HERE / "base.keras", HERE / "words.bin"
_SIZE = 16  # pixels, of an image
_EACH = 20  # images of a class, texts of a label
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


def main(version: str) -> None:
    """Make the three golden runs of a format, and what they are made of where that is missing."""
    import headstart as hs

    if not BASE.exists():
        make_base()
    if not WORDS.exists():
        make_words()
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(HERE, PLACE / "bases", ignore=shutil.ignore_patterns("v*-*"))
    images, texts = make_images(PLACE / "images"), make_texts(PLACE / "texts.csv")
    image_base, word_base = f"file:{PLACE / 'bases' / BASE.name}", f"word2vec:{PLACE / 'bases' / WORDS.name}"
    split = {"val": 0.25, "test": 0.25, "precision": "float32", "runs": PLACE / "runs", "cache": PLACE / "cache"}
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
    for made in (PLACE / "runs").iterdir():
        shutil.rmtree(HERE / made.name, ignore_errors=True)
        shutil.copytree(made, HERE / made.name, ignore=shutil.ignore_patterns("report.html"))


if __name__ == "__main__":
    main(sys.argv[1])
