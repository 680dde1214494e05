"""Does a base still know ImageNet here? Top-1 of its own classifier on labelled ImageNet photos.

    python benchmarks/imagenet_top1.py FOLDER [--base embedded:efficientnet-lite0]

FOLDER holds photos whose names start with their WordNet id, and ``wnids.txt`` with all 1,000 ids in class order. The
protocol is that of ImageNet evaluation: the centre 87.5 % of the short side, resized to the input size. A base whose
weights, preprocessing or decoding were wrong would lose points here.
"""

import argparse
from pathlib import Path

import numpy as np

from headstart.bases import DEFAULT_BASES, load_base
from headstart.data.dataset import list_images
from headstart.data.readers import decoded
from headstart.system import keras_worker


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", default=DEFAULT_BASES["image"][0], help="base handle (default: %(default)s)")
    options = parser.parse_args()
    ids = (options.folder / "wnids.txt").read_text().split()
    paths = [path for path in list_images([options.folder]) if path.name.split("_")[0].split(".")[0] in ids]
    labels = np.array([ids.index(path.name.split("_")[0].split(".")[0]) for path in paths])
    base = load_base(options.base, resize="crop")
    keras_worker.import_keras()
    probabilities = base.model(include_top=True).predict(decoded(base.reader(), paths), verbose=0)
    right = int((probabilities.argmax(1) == labels).sum())
    print(f"{base.handle}: top-1 {right / len(paths):.3f} ({right} of {len(paths)} photos)")


if __name__ == "__main__":
    main()
