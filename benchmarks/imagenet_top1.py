"""Does a base still know ImageNet here? Top-1 of its own classifier on labelled ImageNet photos.

    python benchmarks/imagenet_top1.py FOLDER [--base embedded:efficientnet-lite0]

FOLDER holds photos whose names start with their WordNet id, and ``wnids.txt`` with all 1,000 ids in class order. The
protocol is that of ImageNet evaluation: the centre 87.5 % of the short side, resized to the input size. A base whose
weights, preprocessing or decoding were wrong would lose points here.
"""

import argparse
from pathlib import Path

import numpy as np

from headstart.bases import load_base
from headstart.data.examples import Example
from headstart.data.modalities import IMAGE
from headstart.data.readers import decode_examples
from headstart.system import keras_worker


def _id(example: Example) -> str:
    return Path(example.name).name.split("_")[0].split(".")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", default=IMAGE.default_bases[0], help="base handle (default: %(default)s)")
    options = parser.parse_args()
    ids = (options.folder / "wnids.txt").read_text().split()
    examples = [example for example in IMAGE.list_examples([options.folder]) if _id(example) in ids]
    labels = np.array([ids.index(_id(example)) for example in examples])
    base = load_base(options.base, resize="crop")
    keras_worker.import_keras()
    pixels = decode_examples(base.reader(), examples)
    probabilities = base.model(include_top=True).predict(pixels, verbose=0)
    right = int((probabilities.argmax(1) == labels).sum())
    print(f"{base.handle}: top-1 {right / len(examples):.3f} ({right} of {len(examples)} photos)")


if __name__ == "__main__":
    main()
