"""The splits that a data set with boxes comes with."""

import logging
import re
from collections import defaultdict
from pathlib import PurePath

from headstart.data.boxes.records import Annotations
from headstart.data.split_names import SPLITS, split_of

logger = logging.getLogger(__name__)

_NO_MEANING = re.compile(
    r"(?i)instances|annotations?|labels?|coco|yolo|voc|darknet|via|obj|bbox(es)?|boxes|detections|oidv\d"
)
_HELD_OUT_FIRST = ("test", "val", "train")
_SHOWN = 3


class SplitLists:
    """Which image is in which splits."""

    def __init__(self) -> None:
        self._splits: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, file: str, split: str) -> None:
        """Put an image into a split; an empty one is none."""
        if split:
            self._splits[file].add(split)

    def assign(self, annotations: Annotations) -> None:
        """Set the split of every image; an image in several is held out.

        A split with the same images as train is no split of its own: the examples of tools have such ones. If all
        images are in train, the data have no split.
        """
        files = {split: {file for file, splits in self._splits.items() if split in splits} for split in SPLITS}
        for split in SPLITS[1:]:
            if files[split] and files[split] == files["train"]:
                logger.warning(f"{split} has the same images as train: it is not used, and other images are held out")
                files[split] = set()
        if not files["val"] and not files["test"]:
            return
        several = [file for file in self._splits if sum(file in members for members in files.values()) > 1]
        if several:
            names = ", ".join(several[:_SHOWN]) + (" …" if len(several) > _SHOWN else "")
            logger.warning(
                f"{len(several):,} images are in several splits ({names}): they are used for held-out figures only"
            )
        for image in annotations.images:
            image.split = next((split for split in _HELD_OUT_FIRST if image.file in files[split]), "")


def split_of_path(path: str) -> str:
    """The split that a folder of a path is named for; empty where none is."""
    return next(filter(None, map(split_of, PurePath(path).parts[:-1])), "")


def split_in_name(name: str) -> str:
    """The split in the name of an annotation file: train of ``instances_train2017``, or empty."""
    return split_of(_NO_MEANING.sub("", name).strip("_-. "))
