"""Write images with drawn discs and squares, with their boxes in the layout of YOLO: data for object detection.

    python examples/shapes.py FOLDER      writes FOLDER/data.yaml, FOLDER/train/images/00.jpg and labels/00.txt …

The background is cut from an image that comes with scikit-learn (china.jpg by danielbuechele, licence CC BY 2.0). The
same images are written each time: 32 for training, 12 for validation and 12 for tests, 128x96 pixels each.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("disc", "square")
IMAGES = {"train": 32, "val": 12, "test": 12}
WIDTH_PX, HEIGHT_PX = 128, 96
_SIDES_PX = (18, 34)
_COLUMN_PX = 42  # each object has a column of its own, and none hides another
_COLOURS = ((230, 60, 40), (40, 90, 220))


def write_shapes(folder: Path) -> None:
    """Write the data set.

    Args:
        folder: made if missing.

    Raises:
        FileExistsError: the folder has something in it.
        ModuleNotFoundError: scikit-learn is not installed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: expected a new folder")

    from sklearn.datasets import load_sample_image

    scene, rng = load_sample_image("china.jpg"), np.random.default_rng(0)
    for split, n in IMAGES.items():
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for number in range(n):
            image, rows = _draw(scene, rng)
            image.save(folder / split / "images" / f"{number:02}.jpg", quality=95)
            (folder / split / "labels" / f"{number:02}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    paths = "".join(f"{split}: {split}/images\n" for split in IMAGES)
    (folder / "data.yaml").write_text(f"{paths}names: [{', '.join(CLASSES)}]\n", encoding="utf-8")


def _draw(scene: np.ndarray, rng: np.random.Generator) -> tuple[Image.Image, list[str]]:
    """An image with one to three objects, and a row of YOLO for each: class, centre and size as shares of the image."""
    y, x = rng.integers(0, scene.shape[0] - HEIGHT_PX), rng.integers(0, scene.shape[1] - WIDTH_PX)
    image = Image.fromarray(scene[y : y + HEIGHT_PX, x : x + WIDTH_PX])
    draw, rows = ImageDraw.Draw(image), []
    for column in range(int(rng.integers(1, 4))):
        side, cls = int(rng.integers(*_SIDES_PX)), int(rng.integers(2))
        left = _COLUMN_PX * column + int(rng.integers(0, _COLUMN_PX - side))
        top = int(rng.integers(0, HEIGHT_PX - side))
        paint = draw.ellipse if cls == 0 else draw.rectangle
        paint((left, top, left + side - 1, top + side - 1), fill=_COLOURS[cls])
        shares = ((left + side / 2) / WIDTH_PX, (top + side / 2) / HEIGHT_PX, side / WIDTH_PX, side / HEIGHT_PX)
        rows.append(" ".join([str(cls), *(f"{share:.6f}" for share in shares)]))
    return image, rows


def main() -> None:
    """Read the command line, write the folder and say so."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write images and labels")
    folder = parser.parse_args().folder
    try:
        write_shapes(folder)
    except ModuleNotFoundError as exc:
        sys.exit(f"error: the background comes with scikit-learn ({exc}). Install it with: pip install scikit-learn")
    except OSError as exc:
        sys.exit(f"error: {exc}.")
    print(f"{sum(IMAGES.values())} images with discs and squares in {folder}")


if __name__ == "__main__":
    main()
