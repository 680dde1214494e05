"""Texts: rows of tables, text files or strings, which the tokenizer of a base turns into token ids."""

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.examples import Example, FileExample, TextExample, UnusableExample, is_url
from headstart.data.fingerprints import ImageInfo
from headstart.data.folders import walk
from headstart.data.modalities.modality import Modality
from headstart.data.near_duplicates import near_texts
from headstart.data.readers import Reader
from headstart.data.table_columns import Columns
from headstart.data.table_files import is_table
from headstart.data.tables import read_rows
from headstart.errors import BadExample, InputError, field_name
from headstart.system.settings import check_readable

_OPTION = "--text"
_SHOWN = 80  # characters of an argument in a message


class Text(Modality):
    """Texts in UTF-8."""

    name = "text"
    noun = "text"
    plural = "texts"
    extensions = (".txt", ".text", ".md")
    unread_extensions = (".pdf", ".doc", ".docx", ".odt", ".rtf", ".html", ".htm", ".epub", ".tex")
    unread_advice = "a document: save its text as a .txt file"
    is_in_tables = True
    has_words = True
    is_exportable = True
    curl_input = """-H 'Content-Type: application/json' -d '{"texts": ["…"]}'"""
    base_fields = ("pooling", "tokenizer")
    default_bases = (
        "embedded:all-minilm-l6-v2", "hf:sentence-transformers/all-MiniLM-L6-v2", "embedded:glove-6b-50d",
    )  # fmt: skip
    mistakes_shown = 12
    python_input = '"some text"'
    command_input = shell_input = f"{_OPTION} {python_input}"
    labelled_data = "table.csv"

    def to_example(self, item: Path | str) -> Example:
        """A string is the text itself, a Path names a text file."""
        return TextExample(item) if isinstance(item, str) else super().to_example(item)

    def example_of_file(self, root: Path, file: str) -> Example:
        """The text in the file; tokenizing it reports problems."""
        return TextExample(read_text(root / file), name=file)

    def find_examples(self, items: Sequence[Path | str]) -> list[Example]:
        """Strings are texts; text files are read."""
        return [
            TextExample(item) if isinstance(item, str) else TextExample(read_text(item), name=str(item))
            for item in items
        ]

    def is_single(self, item: Path | str) -> bool:
        """A string or a file is one text."""
        return True

    def list_examples(self, items: Iterable[Path | str], text_column: Sequence[str] | None = None) -> list[Example]:
        """Texts in text files, folders of them, tables and patterns.

        Raises:
            InputError: something names no file, a folder holds no texts, or no texts are found in a table.
        """
        return [text for item in map(str, items) for text in self._find_texts(item, text_column)]

    def open_reader(self, base: Mapping[str, Any], folder: Path) -> Reader:
        """The tokenizer in the folder ``tokenizer``."""
        from headstart.data.tokenizers import open_tokenizer

        return open_tokenizer(folder / "tokenizer", base["tokenizer"])

    def check(self, data: bytes) -> None:
        """Decode it, and see that it is not empty."""
        from headstart.data.tokenizers import text_of

        text_of(data)

    def check_size(self, data: bytes, *, max_megapixels: float, max_text_bytes: int) -> None:
        """Check the length."""
        if len(data) > max_text_bytes:
            raise BadExample(f"too long: at most {max_text_bytes // 1000} kB of text are accepted")

    def comparables(self, examples: Sequence[Example], image_infos: Mapping[int, ImageInfo]) -> dict[int, str]:
        """The texts."""
        return {i: example.text for i, example in enumerate(examples)}

    def near_pairs(self, comparables: Sequence[Any]) -> np.ndarray:
        """Compare the words of texts."""
        return near_texts(comparables)

    def _find_texts(self, item: str, text_column: Sequence[str] | None) -> list[Example]:
        address = os.path.expanduser(item)
        if is_url(item) and not re.search(r"\s", item):
            return [FileExample(item)]
        if not item.strip() or not os.path.exists(address):  # False also for what is too long for a path
            return self._find_matches(item, text_column)
        path = Path(address)
        if path.is_dir():
            files = [Path(file) for file in walk(address) if Path(file).suffix.lower() in self.extensions]
            if not files:
                raise InputError(f"the folder {item} holds no texts ({', '.join(self.extensions)}).")
            return [TextExample(read_text(file), name=str(file)) for file in files]
        if is_table(path) and path.suffix.lower() not in self.extensions:
            rows = read_rows(path, Columns(text=text_column), labelled=False)
            return [
                UnusableExample(name=f"row {row.number} of {item}", reason=row.problem)
                if row.problem
                else TextExample(row.text or "", name=f"row {row.number} of {item}")
                for row in rows
            ]
        return [TextExample(read_text(path), name=item)]

    def _find_matches(self, pattern: str, text_column: Sequence[str] | None) -> list[Example]:
        """The texts in the files that a pattern matches."""
        matches = sorted(filter(os.path.exists, glob.glob(os.path.expanduser(pattern), recursive=True)))
        if not matches:
            is_short = len(pattern) <= 1.5 * _SHOWN  # of a long path its end says most, of a text its beginning
            short_pattern = pattern if is_short else f"{pattern[: _SHOWN // 2]} … {pattern[-_SHOWN:]}"
            raise InputError(
                f"no such file, folder or pattern: {short_pattern}. For a text itself, use {field_name('text')}."
            )
        return [text for match in matches for text in self._find_texts(match, text_column)]


TEXT = Text()
"""The modality of texts."""


def read_text(path: Path) -> str:
    """The text in a file; bytes that are not UTF-8 become lone surrogates, which a tokenizer refuses by name."""
    path = path.expanduser()
    check_readable(path)
    return path.read_bytes().decode("utf-8-sig", "surrogateescape")
