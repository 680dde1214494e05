"""What an example is: the interface of a modality, which owns everything that depends on the kind of example.

The rest of headstart handles examples only through a modality: as contents that its reader turns into arrays. A
modality is stateless, and runs record its name.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar

import numpy as np

from headstart.data.examples import Example, FileExample, TextExample, file_in
from headstart.data.fingerprints import ImageInfo
from headstart.data.readers import Reader
from headstart.data.thumbnails import Thumbnail
from headstart.tasks.answers import Frame


class Modality(ABC):
    """A kind of example, and what follows from it.

    Attributes:
        name: recorded in runs.
        noun: what messages call one example.
        plural: of the noun; what progress bars count, and the field of a request to the server.
        article: of the noun.
        extensions: of its files in a folder of data, in lower case.
        unread_extensions: of files of this kind that are not read, in lower case.
        unread_advice: what such a file is, and what to do.
        is_in_tables: whether tables hold the content of the examples, in a column ``text``. If not, examples are files.
        has_pixels: whether its readers give pixels (h, w, 3) of one size, which can be augmented and shown. If not,
            they give token ids (t,), of different length.
        has_words: whether the examples are words, which can be left out one by one to explain a prediction.
        is_exportable: whether the script beside an exported model has code that reads the examples.
        base_fields: fields of :class:`headstart.runs.schema.BaseFacts` that :meth:`open_reader` and exports need.
        default_bases: handles, best first. The first one that is available is used.
        mistakes_shown: number of wrong predictions that a report shows.
        command_input: what stands for examples after ``headstart predict RUN``.
        shell_input: an example as an argument of ``headstart predict``.
        python_input: an example as an argument of ``Run.predict``.
        labelled_data: name of data with labels, as an argument of ``headstart evaluate``.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    plural: ClassVar[str]
    article: ClassVar[str] = "a"
    extensions: ClassVar[Sequence[str]]
    unread_extensions: ClassVar[Sequence[str]] = ()
    unread_advice: ClassVar[str] = ""
    is_in_tables: ClassVar[bool] = False
    has_pixels: ClassVar[bool] = False
    has_words: ClassVar[bool] = False
    is_exportable: ClassVar[bool] = False
    base_fields: ClassVar[tuple[str, ...]]
    default_bases: ClassVar[tuple[str, ...]]
    mistakes_shown: ClassVar[int]
    command_input: ClassVar[str]
    shell_input: ClassVar[str]
    python_input: ClassVar[str]
    labelled_data: ClassVar[str]

    @property
    def curl_input(self) -> str:
        """An example as an option of curl, for a request to the server."""
        return f"-F files=@{self.shell_input}"

    # ---- finding examples

    def has_file(self, files: Iterable[str]) -> bool:
        """Whether one of some files has an extension of this modality."""
        return any(PurePath(file).suffix.lower() in self.extensions for file in files)

    def example_in(self, root: Path, file: str, text: str = "") -> Example:
        """The example that a table of data or of a run names.

        Args:
            root: folder that relative paths start from.
            file: path, URL, or what the example is called.
            text: its content, if ``is_in_tables``.
        """
        return TextExample(text, name=file) if self.is_in_tables else file_in(root, file)

    def example_of_file(self, root: Path, file: str) -> Example:
        """The example in a file of a folder of data."""
        return file_in(root, file)

    def as_examples(self, items: Iterable[Example | Path | str]) -> list[Example]:
        """Examples that a Python program names by paths, URLs or contents; examples are given back as they are."""
        return [item if isinstance(item, Example) else self.to_example(item) for item in items]

    def to_example(self, item: Path | str) -> Example:
        """The example with a path or URL; a subclass may take a string as the content itself."""
        return FileExample(os.path.expanduser(item))

    @abstractmethod
    def find_examples(self, items: Sequence[Path | str]) -> list[Example]:
        """Examples that a Python program names for a prediction, in the order given.

        Raises:
            InputError: something names no file.
        """

    @abstractmethod
    def is_single(self, item: Path | str) -> bool:
        """Whether :meth:`find_examples` takes an item as one example, and not as a name of several."""

    @abstractmethod
    def list_examples(self, items: Iterable[Path | str], text_column: Sequence[str] | None = None) -> list[Example]:
        """Examples that arguments on the command line name, in the order given.

        Args:
            items: files, folders, URLs or contents.
            text_column: columns of a table with the content; None for the usual names.

        Raises:
            InputError: something names no example.
        """

    # ---- reading examples

    def sample_range(self, examples: Sequence[Example]) -> tuple[float, float] | None:
        """Values that are black and white in images with more than 8 bits; None where there are none such."""
        return None

    @abstractmethod
    def open_reader(self, base: Mapping[str, Any], folder: Path) -> Reader:
        """The reader of a finished run.

        Args:
            base: what ``run.json`` records of the base; the fields ``base_fields`` are there.
            folder: of the run.

        Raises:
            IntegrityError: a file of the run that the reader needs is missing or damaged.
        """

    @abstractmethod
    def check(self, data: bytes) -> None:
        """Check the content of an example quickly, without a base.

        Raises:
            BadExample: it cannot be used.
        """

    @abstractmethod
    def check_size(self, data: bytes, *, max_megapixels: float, max_text_bytes: int) -> None:
        """Check the size of a content that a server gets, before anything is decoded.

        Raises:
            BadExample: it is too large.
        """

    # ---- showing examples

    def frame(self, reader: Reader, data: bytes) -> Frame | None:
        """Where the array that a reader makes of an image lies in the image; None for what is no image."""
        return None

    def thumbnail(self, example: Example, longest_px: int) -> Thumbnail | None:
        """An example as a small image, no side longer than this; None if it cannot be shown as one."""
        return None

    # ---- comparing examples

    def comparables(self, examples: Sequence[Example], image_infos: Mapping[int, ImageInfo]) -> dict[int, Any]:
        """What :meth:`near_pairs` compares, by index, of the examples where it is known.

        Args:
            examples: all examples.
            image_infos: index -> header and fingerprint, of those with pixels.
        """
        return {}

    def near_pairs(self, comparables: Sequence[Any]) -> np.ndarray:
        """Pairs of examples that nearly repeat each other.

        Args:
            comparables: of n examples, as :meth:`comparables` gives them.

        Returns:
            int64 (pairs, 2), positions of each pair.
        """
        return np.empty((0, 2), np.int64)
