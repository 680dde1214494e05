"""The image that an annotation names: by its name, or by the name of the annotation file."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from headstart.data.boxes.records import Annotations
from headstart.data.examples import is_url
from headstart.data.folders import ignore_unread, walk
from headstart.data.images import EXTENSIONS
from headstart.errors import BadExample

_CONTAINERS = {
    "annotations",
    "annotation",
    "labels",
    "label",
    "jpegimages",
    "images",
    "image",
    "imgs",
    "img",
    "xml",
    "label_2",
    "image_2",
    "data",
}
_SHOWN = 3


class ImageFiles:
    """All images of some folders, by name. Annotations name them from other machines and other folders.

    Args:
        root: folder that names of files are relative to.
        paths: of the images, absolute.
        bases: folders that names of images may be relative to, absolute.
    """

    def __init__(self, root: Path, paths: Iterable[str], bases: Sequence[Path]) -> None:
        self.root, self._bases = root, bases
        self.paths = list(paths)
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            name = os.path.basename(path)
            self._by_name[name].append(path)
            self._by_stem[os.path.splitext(name)[0]].append(path)

    @classmethod
    def of_folders(cls, root: Path, folders: Sequence[Path]) -> "ImageFiles":
        """The images in some folders and in all folders below them."""
        files = (file for folder in folders for file in walk(str(folder), ignore_unread))
        return cls(root, (file for file in dict.fromkeys(files) if is_image(file)), folders)

    def relative(self, path: str) -> str:
        """The name of a file in the data set."""
        return os.path.relpath(path, self.root) if Path(path).is_relative_to(self.root) else path

    def within(self, folder: Path) -> "ImageFiles":
        """The images below one folder; all if it has none."""
        paths = [path for path in self.paths if Path(path).is_relative_to(folder)]
        return ImageFiles(self.root, paths, [folder]) if paths else self

    def below_name(self, name: str) -> "ImageFiles":
        """The images that lie in folders of this name; all if there are none."""
        paths = [path for path in self.paths if name in PurePath(self.relative(path)).parts[:-1]]
        return ImageFiles(self.root, paths, self._bases) if paths and name else self

    def find_annotated(self, source: str, named_file: str) -> str:
        """The image of an annotation file: the one of the same name, else the one that the file names.

        People rename images with their files, and the name in the file stays.

        Args:
            source: name of the annotation file.
            named_file: name or path of the image in it; may be empty.

        Raises:
            BadExample: neither is there.
        """
        beside = os.path.join(os.path.dirname(source), (_parts(named_file) or [""])[-1])
        for name in (source, beside) if named_file else ():
            with suppress(BadExample):
                return self.find(name)
        return self.find(named_file or source)

    def skip_others(self, annotations: Annotations, reason: str) -> None:
        """List the images that no annotation is about."""
        known_files = {image.file for image in annotations.images} | {item.file for item in annotations.skipped}
        for path in self.paths:
            if (name := self.relative(path)) not in known_files:
                annotations.skip(name, reason)

    def find(self, name: str) -> str:
        """The image of a name, which may be a path of another machine, or have another extension or none.

        Returns:
            Its name in the data set, or a URL as it is.

        Raises:
            BadExample: no image fits, or several fit equally well.
        """
        if is_url(name):
            return name
        parts = _parts(name)
        file = parts[-1] if parts else ""
        stem = (
            os.path.splitext(file)[0]
            if PurePath(file).suffix.lower() in {*EXTENSIONS, ".xml", ".json", ".txt"}
            else file
        )
        candidates = self._by_name.get(file) or self._by_stem.get(stem) or []
        if not candidates:
            raise BadExample(f"there is no image of this name: {name}")
        exact = next((path for base in self._bases if (path := os.path.join(base, *parts)) in candidates), None)
        if exact is not None:
            return self.relative(exact)
        lengths = [_common_end(parts[:-1], _parts(path)[:-1]) for path in candidates]
        best = [path for path, length in zip(candidates, lengths, strict=True) if length == max(lengths)]
        if len(best) > 1:
            names = ", ".join(map(self.relative, best[:_SHOWN])) + (" …" if len(best) > _SHOWN else "")
            raise BadExample(f"several images have this name: {names}")
        return self.relative(best[0])


def is_image(file: str) -> bool:
    """Whether a name has the extension of an image."""
    return os.path.splitext(file)[1].lower() in EXTENSIONS


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")]


def _common_end(first: Sequence[str], second: Sequence[str]) -> int:
    """How many folders two paths share at their ends, without those that only hold images or annotations."""
    ends = ([part for part in reversed(parts) if part.lower() not in _CONTAINERS] for parts in (first, second))
    n = 0
    for a, b in zip(*ends, strict=False):
        if a != b:
            break
        n += 1
    return n
