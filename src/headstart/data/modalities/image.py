"""Images: files that are decoded to pixels of the input size of a base."""

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.bit_depth import SampleRange
from headstart.data.examples import Example, FileExample, UnusableExample, is_url
from headstart.data.fingerprints import ImageInfo
from headstart.data.folders import walk
from headstart.data.images import EXTENSIONS, Decoder, measure_sample_range, upright_size
from headstart.data.modalities.modality import Modality
from headstart.data.near_duplicates import near_images
from headstart.data.readers import Reader
from headstart.data.resizing import ResizeRule
from headstart.data.table_columns import Columns
from headstart.data.table_files import is_table
from headstart.data.table_images import RowAddress, TableImage, parse_address
from headstart.data.tables import FRAME, read_rows
from headstart.data.thumbnails import Thumbnail, thumbnail
from headstart.errors import BadExample, InputError
from headstart.tasks.answers import Frame


class Image(Modality):
    """Image files."""

    name = "image"
    noun = "image"
    plural = "images"
    article = "an"
    extensions = tuple(sorted(EXTENSIONS))
    unread_extensions = (
        ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".svg", ".psd", ".ico", ".tga", ".ppm", ".pgm", ".pbm",
        ".dcm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".exr", ".hdr", ".eps",
    )  # fmt: skip
    unread_advice = "an image in a format that is not read: convert it to JPEG or PNG"
    has_pixels = True
    is_exportable = True
    base_fields = ("input_size", "preprocessing", "resize")
    default_bases = ("embedded:efficientnet-lite0",)
    mistakes_shown = 24
    command_input = "FILE …"
    shell_input = "image.jpg"
    python_input = '"image.jpg"'
    labelled_data = "folder/"

    def example_in(self, root: Path, file: str, text: str = "") -> Example:
        """A file, or an image in a row of a table."""
        address = None if is_url(file) else parse_address(file)
        if address is None:
            return super().example_in(root, file)
        return TableImage(address if address.table == FRAME else address._replace(table=_absolute(root, address.table)))

    def find_examples(self, items: Sequence[Path | str]) -> list[Example]:
        """Image files, as :meth:`list_examples`."""
        return self.list_examples(items)

    def is_single(self, item: Path | str) -> bool:
        """Whether it is a URL or a file, and not a folder or a pattern."""
        return is_url(str(item)) or Path(item).expanduser().is_file()

    def list_examples(self, items: Iterable[Path | str], text_column: Sequence[str] | None = None) -> list[Example]:
        """Images named by paths, URLs, folders (with all folders in them, sorted), patterns, tables and rows of tables.

        Raises:
            InputError: something names no file; a folder holds no image; or a table cannot be read.
        """
        return [example for item in map(str, items) for example in self._find_examples(item)]

    def open_reader(self, base: Mapping[str, Any], folder: Path) -> Decoder:
        """The decoder for the base's input size."""
        height, width = base["input_size"]
        rule, sample_range = ResizeRule.from_json(base["resize_rule"]), base["spec"]["sample_range"]
        return Decoder((height, width), base["resize"], rule, tuple(sample_range) if sample_range else None)

    def check(self, data: bytes) -> None:
        """Read the header."""
        upright_size(data)

    def check_size(self, data: bytes, *, max_megapixels: float, max_text_bytes: int) -> None:
        """Check the size in the header."""
        height, width = upright_size(data)
        if width * height > max_megapixels * 1_000_000:
            raise BadExample(
                f"too large: {width:,} x {height:,} pixels; at most {max_megapixels:g} million are accepted"
            )

    def sample_range(self, examples: Sequence[Example]) -> SampleRange | None:
        """Measured on some of the images."""
        return measure_sample_range(examples)

    def frame(self, reader: Reader, data: bytes) -> Frame | None:
        """The size of the upright image, and the part of it that a decoder shows."""
        if not isinstance(reader, Decoder):
            return None
        size = upright_size(data)
        return Frame(size, reader.visible_box(size))

    def thumbnail(self, example: Example, longest_px: int) -> Thumbnail | None:
        """The image itself; None if its file is gone or cannot be read."""
        return thumbnail(example, longest_px)

    def comparables(self, examples: Sequence[Example], image_infos: Mapping[int, ImageInfo]) -> dict[int, bytes]:
        """The fingerprints."""
        return {i: info.fingerprint for i, info in sorted(image_infos.items())}

    def near_pairs(self, comparables: Sequence[Any]) -> np.ndarray:
        """Compare fingerprints."""
        return near_images(comparables)

    def _find_examples(self, item: str) -> list[Example]:
        if is_url(item):
            return [FileExample(item)]
        if not item:  # or it would be the current folder
            raise InputError("expected a file, a folder or a pattern, got an empty name.")
        path = Path(item).expanduser()
        if path.is_dir():
            files = [file for file in walk(str(path)) if Path(file).suffix.lower() in EXTENSIONS]
            if not files:
                raise InputError(f"the folder {item} holds no images ({', '.join(self.extensions)}).")
            return [*map(FileExample, files)]
        if is_table(path) and path.suffix.lower() != ".txt" and path.is_file():
            return self._in_table(path)
        if path.exists() or path.is_symlink():  # reading it reports a broken link
            return [FileExample(str(path))]
        if (address := parse_address(str(path))) and (address.table == FRAME or os.path.isfile(address.table)):
            return [self.example_in(Path(), str(path))]
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            raise InputError(f"no such file, folder or pattern: {item}.")
        return [example for match in matches for example in self._find_examples(match)]

    def _in_table(self, table: Path) -> list[Example]:
        """The images of a table: the files that its rows name, or the rows themselves."""
        examples: list[Example] = []
        for row in read_rows(table, Columns(), labelled=False):
            if row.content:
                examples.append(self.example_in(table.parent, str(RowAddress(table.name, row.number))))
            elif row.path:
                examples.append(self.example_in(table.parent, row.path))
            else:
                examples.append(UnusableExample(name=row.where, reason=row.problem or "has no path"))
        return examples


IMAGE = Image()
"""The modality of images."""


def _absolute(root: Path, path: str) -> str:
    return os.path.abspath(root / path)
