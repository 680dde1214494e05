"""Write scikit-learn's scanned digits as image files in class folders: real data for a demo, without a download.

    python examples/digits.py FOLDER      writes FOLDER/zero/0001.png … FOLDER/nine/0180.png

The data: 1,797 digits written by 13 people, scanned and reduced to 8x8 pixels of 17 grey levels. "Optical Recognition
of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, doi:10.24432/C50P49, licence
CC BY 4.0; scikit-learn carries its test part. Here they become dark ink on light paper, enlarged to 64x64 pixels.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = 1797
SIDE_PX = 64
_INK_MAX = 16  # the scans count the dark pixels of each 4x4 block


def write_digits(folder: Path) -> bool:
    """Write the data set as one folder of PNG files per class.

    Args:
        folder: made if missing; a complete one is left alone, so that calling this twice costs nothing.

    Returns:
        Whether anything was written.

    Raises:
        FileExistsError: the folder holds something else.
        ModuleNotFoundError: scikit-learn is not installed.
    """
    if folder.exists() and any(folder.iterdir()):
        if sum(1 for name in CLASSES for _ in (folder / name).glob("*.png")) == DIGITS:
            return False
        raise FileExistsError(f"{folder} holds something else: expected a new or an empty folder, or all the digits")

    from sklearn.datasets import load_digits

    data = load_digits()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Written beside its place and then renamed, so that a folder with this name is always complete.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        written: Counter[str] = Counter()
        for scan, digit in zip(data.images, data.target, strict=True):
            name = CLASSES[digit]
            written[name] += 1
            path = Path(scratch, "digits", name, f"{written[name]:04}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            enlarge(scan).save(path)
        shutil.rmtree(folder, ignore_errors=True)  # empty: seen above
        Path(scratch, "digits").rename(folder)
    return True


def enlarge(scan: np.ndarray) -> Image.Image:
    """Turn one scan, (8, 8) with 0 for paper and 16 for ink, into a grey image of 64x64 pixels with dark ink."""
    grey = np.round(255 - scan * (255 / _INK_MAX)).astype(np.uint8)
    return Image.fromarray(grey).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)


def main() -> None:
    """Read the command line, write the folder and say so."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write the ten class folders")
    folder = parser.parse_args().folder
    try:
        written = write_digits(folder)
    except ModuleNotFoundError as exc:
        sys.exit(f"error: the digits come with scikit-learn ({exc}). Install it with: pip install scikit-learn")
    except OSError as exc:
        sys.exit(f"error: {exc}.")
    print(f"{DIGITS:,} digits in {folder}" + ("" if written else ", there already"))


if __name__ == "__main__":
    main()
