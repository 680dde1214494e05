"""Annotation files that each hold many images: what their readers share."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from headstart.data.boxes.image_files import ImageFiles
from headstart.data.boxes.records import AnnotatedImage, Annotations
from headstart.data.boxes.splits import SplitLists, split_in_name, split_of_path
from headstart.errors import BadExample

ReadImages = Callable[[Path, str, ImageFiles, Annotations], Iterable[AnnotatedImage]]
"""Reads the images of one file, given with its name for messages and the images that may be meant.

What cannot be used goes to the annotations.
"""


def read_data_sets(files: Sequence[Path], images: ImageFiles, read_images: ReadImages) -> Annotations:
    """Read files with all images of a data set or of a split.

    An image that is named several times has all boxes. Its split is the one that its file, the folder of that or its
    own folder is named for.

    Args:
        files: absolute.
        images: those that may be meant; those that no file names are listed.
        read_images: reads one file.

    Raises:
        InputError: a file cannot be read.
    """
    annotations, splits = Annotations(), SplitLists()
    by_file: dict[str, AnnotatedImage] = {}
    for file in files:
        source = images.relative(str(file))
        split_of_file = split_in_name(file.stem) or split_of_path(source)
        for image in read_images(file, source, images, annotations):
            splits.add(image.file, split_of_file or split_of_path(image.file))
            if (first := by_file.setdefault(image.file, image)) is not image:
                first.boxes += image.boxes
    annotations.images = [*by_file.values()]
    images.skip_others(annotations, "not among the images of the annotation file")
    splits.assign(annotations)
    return annotations


def named_image(name: str, source: str, images: ImageFiles, annotations: Annotations) -> AnnotatedImage | None:
    """The image of a name in an annotation file; None if it is missing, which is listed."""
    try:
        return AnnotatedImage(images.find(name), source)
    except BadExample as exc:
        annotations.skip(name or source, f"named in {source}: {exc}")
        return None
