"""Files of tables: which extensions they have, and how they are opened, compressed or not, in any Unicode encoding."""

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from headstart.data.examples import check_pointer
from headstart.errors import BadExample, InputError
from headstart.system.settings import check_readable

DELIMITED = (".csv", ".tsv", ".txt")
JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
ARROW = (".feather", ".arrow", ".ipc")
SUFFIXES = (*DELIMITED, *JSON, *PARQUET, *ARROW)
"""Of tables that can be read. Text tables may be compressed, with one more extension or with none."""

_OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_COMPRESSED = (".gz", ".bz2", ".xz")
_FIRST_BYTES = 100
_OTHER_KINDS = {
    b"PK\3\4": "an Excel file or a zip archive: save the table as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an Excel file: save the table as CSV",
    b"PAR1": "a Parquet file: rename it to .parquet",
    b"ARROW1": "a Feather file: rename it to .feather",
    b"SQLite format 3": "an SQLite database: save the table as CSV",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it",
    b"\x89HDF": "an HDF5 file: save the table as CSV",
}
"""How binary files of other kinds begin -> what they are."""
_OTHER_TEXTS = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<table": "a web page: save the table as CSV",
    b"<?xml": "an XML file: save the table as CSV",
    b"{\\rtf": "a document: save the table as CSV",
    b"__label__": "a list for fastText: write a table with the columns text and label",
}
_CONVERSIONS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), "a spreadsheet: save the table as CSV"),
    **dict.fromkeys((".pkl", ".pickle"), "a pickle file: load it in Python and pass the DataFrame to headstart.train"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3", ".sql"), "a database: save the table as CSV"),
    **dict.fromkeys((".zip", ".rar", ".7z", ".tar", ".tgz", ".zst"), "an archive: unpack it"),
    **dict.fromkeys((".html", ".htm", ".xml"), "a page of the web: save the table as CSV"),
    **dict.fromkeys((".h5", ".hdf5", ".mat", ".npy", ".npz", ".rds", ".rda"), "a file of arrays: write image files"),
    **dict.fromkeys((".tfrecord", ".tfrecords"), "a file of TensorFlow records: write image files or a table"),
    **dict.fromkeys((".yaml", ".yml", ".toml"), "a file of settings: write the table as CSV"),
    ".gz": "compressed: unpack it",
}
"""Extension of what cannot be read as a table -> what it is, and what to do."""
_READING_ERRORS = (OSError, EOFError, ValueError, csv.Error, zlib.error, lzma.LZMAError)


def table_suffix(path: Path) -> str:
    """The extension of a table in lower case, without that of compression: ``.csv`` of ``train.csv.gz``."""
    return Path(_uncompressed_name(path)).suffix.lower()


def table_stem(path: Path) -> str:
    """The name of a table without its extensions: ``train`` of ``train.csv.gz``."""
    return Path(_uncompressed_name(path)).stem


def is_table(path: Path) -> bool:
    """Whether a file's extension is one of a table that can be read."""
    suffix = table_suffix(path)
    return suffix in SUFFIXES and (suffix in (*DELIMITED, *JSON) or path.suffix.lower() == suffix)


def what_else(path: Path) -> str:
    """What a file is by its extension that cannot be read as a table, and what to do; empty if that is not known."""
    return _CONVERSIONS.get(path.suffix.lower(), "")


def open_binary(path: Path) -> BinaryIO:
    """A file's content; of a compressed one what it was before."""
    with open(path, "rb") as file:
        start = file.read(_FIRST_BYTES)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    return cast(BinaryIO, opener(path)) if opener and b"\0" in start else open(path, "rb")


def open_text(path: Path) -> TextIO:
    """A table's text, in UTF-8, UTF-16 or UTF-32; bytes that are none of these become lone surrogates."""
    file = open_binary(path)
    encoding = _encoding(file.read(_FIRST_BYTES))
    file.seek(0)
    return io.TextIOWrapper(file, newline="", encoding=encoding, errors="surrogateescape")


@contextmanager
def reading(table: Path) -> Iterator[None]:
    """Check the beginning of a file, and name it in errors of reading it.

    Raises:
        InputError: it cannot be read.
    """
    with naming(table):
        check_readable(table)
        with open_binary(table) as file:
            start = file.read(_FIRST_BYTES)
        check_pointer(start)
        _check_kind(table, start)
        yield


@contextmanager
def naming(table: Path) -> Iterator[None]:
    """Name a file in errors of reading it.

    Raises:
        InputError: it cannot be read.
    """
    try:
        yield
    except BadExample as exc:
        raise InputError(f"cannot read the table {table}: it is {exc}.") from exc
    except _READING_ERRORS as exc:
        if isinstance(exc, InputError):
            raise
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise InputError(f"cannot read the table {table}: {reason.rstrip('.')}.") from exc


def _uncompressed_name(path: Path) -> str:
    return path.stem if path.suffix.lower() in _COMPRESSED else path.name


def _encoding(start: bytes) -> str:
    """The encoding of a text by its first bytes: the mark in them, or where the zeros of Latin letters are."""
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    even, odd = start[::2].count(0), start[1::2].count(0)
    most = len(start) // 4
    if max(even, odd) > most and min(even, odd) == 0:
        return "utf-16-be" if even else "utf-16-le"
    return "utf-8-sig"


def _check_kind(table: Path, start: bytes) -> None:
    """See that a file is not one of another kind under the extension of a table.

    Raises:
        BadExample: it is.
    """
    if table_suffix(table) in (*PARQUET, *ARROW):
        return
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kinds = [kind for beginning, kind in _OTHER_TEXTS.items() if text.startswith(beginning)]
    kinds += [kind for magic, kind in _OTHER_KINDS.items() if start.startswith(magic) and b"\0" in start]
    if kinds:
        raise BadExample(kinds[0])
