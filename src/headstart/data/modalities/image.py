"""Images: files that are decoded to pixels of the input size of a base."""

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.bit_depth import SampleRange
from headstart.data.examples import Example, FileExample, is_url
from headstart.data.fingerprints import ImageInfo
from headstart.data.folders import walk
from headstart.data.images import EXTENSIONS, Decoder, measure_sample_range, upright_size
from headstart.data.modalities.modality import Modality
from headstart.data.near_duplicates import near_images
from headstart.data.resizing import ResizeRule
from headstart.data.thumbnails import Thumbnail, thumbnail
from headstart.errors import BadExample, InputError


class Image(Modality):
    """Image files."""

    name = "image"
    noun = "image"
    plural = "images"
    article = "an"
    extensions = tuple(sorted(EXTENSIONS))
    has_pixels = True
    is_exportable = True
    base_fields = ("input_size", "preprocessing", "resize")
    default_bases = ("embedded:efficientnet-lite0",)
    mistakes_shown = 24
    command_input = "FILE …"
    shell_input = "image.jpg"
    python_input = '"image.jpg"'
    labelled_data = "folder/"

    def find_examples(self, items: Sequence[Path | str]) -> list[Example]:
        """Image files, as :meth:`list_examples`."""
        return self.list_examples(items)

    def is_single(self, item: Path | str) -> bool:
        """Whether it is a URL or a file, and not a folder or a pattern."""
        return is_url(str(item)) or Path(item).expanduser().is_file()

    def list_examples(self, items: Iterable[Path | str], text_column: Sequence[str] | None = None) -> list[Example]:
        """Image files named by paths, URLs, folders (with all folders in them, sorted) and patterns.

        Raises:
            InputError: something names no file; or a folder holds no image.
        """
        return [FileExample(address) for item in map(str, items) for address in self._find_files(item)]

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

    def thumbnail(self, example: Example, longest_px: int) -> Thumbnail | None:
        """The image itself; None if its file is gone or cannot be read."""
        return thumbnail(example, longest_px)

    def comparables(self, examples: Sequence[Example], image_infos: Mapping[int, ImageInfo]) -> dict[int, bytes]:
        """The fingerprints."""
        return {i: info.fingerprint for i, info in sorted(image_infos.items())}

    def near_pairs(self, comparables: Sequence[Any]) -> np.ndarray:
        """Compare fingerprints."""
        return near_images(comparables)

    def _find_files(self, item: str) -> list[str]:
        if is_url(item):
            return [item]
        path = Path(item).expanduser()
        if path.is_dir():
            files = [file for file in walk(str(path)) if Path(file).suffix.lower() in EXTENSIONS]
            if not files:
                raise InputError(f"the folder {item} holds no images ({', '.join(self.extensions)}).")
            return files
        if path.exists() or path.is_symlink():  # reading it reports a broken link
            return [str(path)]
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            raise InputError(f"no such file, folder or pattern: {item}.")
        return [address for match in matches for address in self._find_files(match)]


IMAGE = Image()
"""The modality of images."""
