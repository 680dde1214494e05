"""KITTI: one text file for each image, with a row of 15 values for each object; boxes in pixels.

Regions of the class DontCare hold objects that nobody labelled: no class is trained on or evaluated there.

Source: readme.txt of the development kit, https://www.cvlibs.net/datasets/kitti/eval_object.php
"""

from collections.abc import Sequence
from pathlib import Path

from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.parsing import read_text
from headstart.data.boxes.records import AnnotatedImage, Annotations, Corners, RawBox, number
from headstart.data.boxes.splits import SplitLists, split_of_path
from headstart.errors import BadExample, InputError

NAME = "KITTI"

_VALUES, _SCORED_VALUES = 15, 16
_BOX = slice(4, 8)  # left, top, right and bottom
_UNLABELLED = "dontcare"


def is_kitti_file(path: Path) -> bool:
    """Whether a text file holds labels in this form; not if it is empty."""
    try:
        lines = read_text(path).splitlines()
    except (BadExample, OSError):
        return False
    rows = [cells for line in lines if (cells := line.split())]
    return (
        bool(rows)
        and all(
            len(cells) in (_VALUES, _SCORED_VALUES)
            and number(cells[0]) != number(cells[0])  # a name, which is not a number
            and all(number(cell) == number(cell) for cell in cells[1:])
            for cells in rows
        )
    )


def read_kitti(files: Sequence[Path], images: ImageFiles) -> Annotations:
    """Read the labels of images.

    Args:
        files: text files, absolute, or folders of them.
        images: those that may be meant.

    Raises:
        InputError: the rows are predictions.
    """
    annotations, splits = Annotations(), SplitLists()
    for file in [path for entry in files for path in (sorted(entry.glob("*.txt")) if entry.is_dir() else [entry])]:
        source = images.relative(str(file))
        try:
            name, lines = images.find_annotated(source, ""), read_text(file).splitlines()
        except BadExample as exc:
            annotations.skip(source, str(exc))
            continue
        image = AnnotatedImage(name, source)
        for row, line in enumerate(lines, 1):
            if cells := line.split():
                _add(f"row {row} of {source}", cells, image, annotations)
        splits.add(name, split_of_path(source))
        annotations.images.append(image)
    _ignore_unlabelled(annotations.images)
    images.skip_others(annotations, "has no label file: an image without objects needs an empty one")
    splits.assign(annotations)
    return annotations


def _add(where: str, cells: Sequence[str], image: AnnotatedImage, annotations: Annotations) -> None:
    if len(cells) == _SCORED_VALUES:
        raise InputError(f"{where} has a score: these are predictions, not labels.")
    if len(cells) != _VALUES:
        annotations.leave_out(image.file, where, f"has {len(cells)} values, not {_VALUES}")
        return
    left, top, right, bottom = map(number, cells[_BOX])
    corners: Corners = (left, top, right, bottom)
    image.boxes.append(RawBox(where, cells[0], corners, cells[0].lower() == _UNLABELLED))


def _ignore_unlabelled(images: Sequence[AnnotatedImage]) -> None:
    """Put an ignored object of every class in the place of each region that nobody labelled."""
    classes = sorted({box.name for image in images for box in image.boxes if not box.is_ignored})
    for image in images:
        image.boxes = [
            box._replace(name=name) for box in image.boxes for name in (classes if box.is_ignored else [box.name])
        ]
