"""YOLO: one text file for each image, with a row for each object: class number, centre, width and height as shares.

Rows can also hold an outline or a turned box. Each row is read by its own length, for files mix them.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from headstart.data.boxes.corner_names import from_centre
from headstart.data.boxes.image_files import ImageFiles, is_image
from headstart.data.boxes.parsing import read_lines, read_text
from headstart.data.boxes.records import AnnotatedImage, Annotations, RawBox, enclosing, number
from headstart.data.boxes.splits import SplitLists, split_of_path
from headstart.data.boxes.yolo_config import YoloConfig
from headstart.data.folders import ignore_unread, walk
from headstart.errors import BadExample, InputError, counted

logger = logging.getLogger(__name__)

NAME = "YOLO"

_BOX, _SCORED_BOX, _FOUR_POINTS, _SMALLEST_OUTLINE = 5, 6, 9, 7  # numbers in a row
_IMAGES, _LABELS = "images", "labels"


def read_yolo(config: YoloConfig, images: ImageFiles, folders: Sequence[Path] = ()) -> Annotations:
    """Read the labels of images.

    An image without a label file has no objects, unless no image of its split has one.

    Args:
        config: what the classes are called; and where the images are, else all of ``images`` are read.
        images: of the data set.
        folders: of label files that may lie elsewhere.

    Raises:
        InputError: a list or folder of images to train on is missing; or the rows are predictions.
    """
    annotations = Annotations(classes=[*config.classes.values()])
    splits_of = _listed_images(config, images, annotations) if config.sources else _by_folder(images)
    files = {path: _label_file(path, images.root, folders) for path in splits_of}
    labelled_splits = {split for path, file in files.items() if file for split in splits_of[path]}
    reader = _RowReader(config, images, annotations)
    splits = SplitLists()
    for path, file in files.items():
        if not labelled_splits.intersection(splits_of[path]):
            annotations.skip(images.relative(path), "has no label file, as all images of its split")
            continue
        image = reader.read(path, file)
        if image is None:
            continue
        annotations.images.append(image)
        for split in splits_of[path]:
            splits.add(image.file, split)
    splits.assign(annotations)
    reader.log_forms()
    _skip_lone_files([file for file in files.values() if file], images, annotations)
    return annotations


def _by_folder(images: ImageFiles) -> dict[str, list[str]]:
    return {path: [split_of_path(images.relative(path))] for path in images.paths}


def _listed_images(config: YoloConfig, images: ImageFiles, annotations: Annotations) -> dict[str, list[str]]:
    """Image, absolute -> splits, as the description of the data set lists them."""
    splits_of: dict[str, list[str]] = {}
    for split, sources in config.sources.items():
        for source in sources:
            path = config.locate(source)
            if path is None:
                message = f"{config.path} names {source} for {split}, which is not there"
                if split == "train":
                    raise InputError(f"{message}: looked for in {' and '.join(map(str, config.folders))}.")
                logger.warning(f"{message}: not used")
                continue
            for image in _images_of(path, config, images, annotations):
                splits_of.setdefault(image, []).append(split)
    return splits_of


def _images_of(path: Path, config: YoloConfig, images: ImageFiles, annotations: Annotations) -> Iterator[str]:
    """The images in a folder, or in a list: relative to the list, or as they were on another machine."""
    if path.is_dir():
        yield from (file for file in walk(str(path), ignore_unread) if is_image(file))
        return
    if is_image(path.name):
        yield str(path)
        return
    for row, line in enumerate(read_lines(path), 1):
        name = line.strip()
        candidates = [folder / name for folder in (path.parent, *config.folders)]
        file = next((file for file in candidates if name and file.is_file()), None)
        if file is not None:
            yield os.path.normpath(file)
        elif name:
            try:
                yield os.path.join(images.root, images.find(name))
            except BadExample as exc:
                annotations.skip(name, f"row {row} of {images.relative(str(path))}: {exc}")


def _label_file(image: str, root: Path, folders: Sequence[Path]) -> str | None:
    """The label file of an image: in ``labels`` in place of ``images``, beside it, or in a ``labels`` near it.

    Else in one of some folders, under the same path as the image or under its name alone.
    """
    parts = list(PurePath(image).with_suffix(".txt").parts)
    candidates = [
        PurePath(*parts),
        PurePath(*parts[:-1], _LABELS, parts[-1]),
        PurePath(*parts[:-2], _LABELS, parts[-1]),
    ]
    if _IMAGES in parts[:-1]:
        last = max(i for i, part in enumerate(parts[:-1]) if part == _IMAGES)
        candidates.insert(0, PurePath(*parts[:last], _LABELS, *parts[last + 1 :]))
    path = PurePath(image).with_suffix(".txt")
    inner = path.relative_to(root) if path.is_relative_to(root) else path
    candidates += [folder / name for folder in folders for name in (inner, path.name)]
    return next((str(path) for path in candidates if os.path.isfile(path)), None)


class _RowReader:
    """Reads label files."""

    def __init__(self, config: YoloConfig, images: ImageFiles, annotations: Annotations) -> None:
        self._config, self._images, self._annotations = config, images, annotations
        self._forms: Counter[str] = Counter()

    def read(self, path: str, file: str | None) -> AnnotatedImage | None:
        """The objects in an image; None if its label file cannot be read, which is listed."""
        name = self._images.relative(path)
        if file is None:
            return AnnotatedImage(name, "", is_relative=True)
        source = self._images.relative(file)
        try:
            lines = read_text(Path(file)).splitlines()
        except BadExample as exc:
            self._annotations.skip(name, f"its label file {source} {exc}")
            return None
        image = AnnotatedImage(name, source, is_relative=True)
        for row, line in enumerate(lines, 1):
            if cells := line.split():
                box = self._box(f"row {row} of {source}", cells, name)
                image.boxes += [box] if box else []
        return image

    def log_forms(self) -> None:
        """Say which rows were not plain boxes."""
        if n := self._forms[_OUTLINE]:
            logger.info(f"{counted(n, 'row')} with an outline: the box around it is used")
        if n := self._forms[_FOUR]:
            logger.info(
                f"{counted(n, 'row')} with four points, of a turned box or of an outline: the upright box around them "
                "is used, which is the same for both"
            )

    def _box(self, where: str, cells: Sequence[str], name: str) -> RawBox | None:
        """The object of a row; None if it cannot be read, which is listed."""
        class_name, fault = self._class_name(cells[0])
        values = [number(cell) for cell in cells[1:]]
        n = len(cells)
        if n == _SCORED_BOX and not self._config.n_keypoints:
            raise InputError(
                f"{where} has six numbers: a box with a confidence, as predictions have. Expected five, of a label."
            )
        if n in (_BOX, _BOX + self._config.n_keypoints):
            corners = from_centre(values)
        elif n % 2 and n >= _SMALLEST_OUTLINE:
            self._forms[_FOUR if n == _FOUR_POINTS else _OUTLINE] += 1
            corners = enclosing(values[::2], values[1::2])
        else:
            fault = fault or f"has {counted(n, 'number')}: expected 5, or an odd number of an outline"
        if fault:
            self._annotations.leave_out(name, where, fault)
            return None
        return RawBox(where, class_name, corners)

    def _class_name(self, cell: str) -> tuple[str, str]:
        """The name of a class, and what is wrong with its number."""
        value, classes = number(cell), self._config.classes
        if not value.is_integer() or value < 0:
            return "", f"has {cell!r} instead of the number of a class"
        if classes and int(value) not in classes:
            return "", f"has the class number {int(value)}, and the classes are {min(classes)} to {max(classes)}"
        return classes.get(int(value), str(int(value))), ""


_OUTLINE, _FOUR = "outline", "four points"


def _skip_lone_files(used: Sequence[str], images: ImageFiles, annotations: Annotations) -> None:
    """List label files without an image, in the folders that hold label files."""
    names = {os.path.basename(file) for file in used}
    for folder in dict.fromkeys(map(os.path.dirname, used)):
        for file in sorted(os.listdir(folder)):
            if file.endswith(".txt") and file not in names and is_label_file(Path(folder, file)):
                annotations.skip(images.relative(os.path.join(folder, file)), "a label file without an image")


def is_label_file(path: Path) -> bool:
    """Whether the first row of a file holds numbers, not names of classes or of images."""
    try:
        cells = read_text(path).split("\n", 1)[0].split()
    except BadExample:
        return False
    return len(cells) >= _BOX and all(number(cell) == number(cell) for cell in cells)
