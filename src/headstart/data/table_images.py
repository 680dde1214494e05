"""Images that are in a table themselves, each named by the table and its row: ``cats.parquet#row=7``.

A table can only be read from its beginning, and training reads images in any order. So reading a table writes its
images into the cache as files. No run names these files: if the cache is lost, the table is read again. An image of a
DataFrame is named by its content as well, because no file has it.

Source: the form of the names is that of RFC 7111, URI fragment identifiers for text/csv.
"""

import hashlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from headstart.data.examples import Example, file_version
from headstart.data.table_columns import Columns
from headstart.data.tables import FRAME, is_frame, read_rows
from headstart.errors import BadExample, InputError
from headstart.system.atomic import atomic_file
from headstart.system.settings import check_readable, table_images_folder

_ADDRESS = re.compile(r"(?P<table>.+?)#row=(?P<row>\d+)(?:&sha256=(?P<digest>[0-9a-f]{32})|&column=(?P<column>.+))?")
_FILE = re.compile(r"row-\d+-[0-9a-f]+")
_DIGITS = 32  # hexadecimal ones of a digest in a name


class RowAddress(NamedTuple):
    """Where an image is.

    Attributes:
        table: path of the table, or :data:`FRAME`.
        row: its number, as in messages.
        column: that holds the image; empty for the first one that does.
        digest: beginning of the SHA-256 of the content, hex, of an image of a DataFrame; else empty.
    """

    table: str
    row: int
    column: str = ""
    digest: str = ""

    def __str__(self) -> str:
        end = f"&column={self.column}" if self.column else f"&sha256={self.digest}" if self.digest else ""
        return f"{self.table}#row={self.row}{end}"


def parse_address(text: str) -> RowAddress | None:
    """The address of an image in a table; None if it is another one."""
    match = _ADDRESS.fullmatch(text) if "#row=" in text else None
    if match is None:
        return None
    return RowAddress(match["table"], int(match["row"]), match["column"] or "", match["digest"] or "")


@dataclass(frozen=True)
class TableImage(Example):
    """An image in a row of a table.

    Attributes:
        address: of it; the table by its absolute path.
    """

    address: RowAddress

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", str(self.address))

    @property
    def suffix(self) -> str:
        """Empty: it came under no extension."""
        return ""

    @property
    def location(self) -> str:
        """The address as text."""
        return str(self.address)

    def version(self) -> str | None:
        """That of the table; of a DataFrame the digest, None if the cache no longer has the image."""
        if self.address.table != FRAME:
            return file_version(self.address.table)
        return self.address.digest if _frame_file(self.address.digest).is_file() else None

    def read(self) -> bytes:
        """The content, from the cache or from the table.

        Raises:
            BadExample: neither has it.
        """
        return self._file()[1]

    def cell(self, folder: Path | None = None) -> tuple[str, str]:
        """Its address, in the column ``path``."""
        table = Path(self.address.table)
        is_below = folder is not None and table.is_relative_to(folder)
        address = self.address._replace(table=str(table.relative_to(folder))) if folder and is_below else self.address
        return "path", str(address)

    def to_json(self) -> dict[str, str]:
        """As the file in the cache, which another process reads; nothing is read here if it is there."""
        file = self._known_file()
        return {"address": str(file if file.is_file() else self._file()[0]), "name": self.name}

    def _known_file(self) -> Path:
        """Where the file in the cache should be."""
        table, row, column, digest = self.address
        return _frame_file(digest) if table == FRAME else images_of(table, column).path(row)

    def _file(self) -> tuple[Path, bytes]:
        """The file in the cache, written again if it is lost or damaged, and its content."""
        try:
            if self.address.table == FRAME:
                return _read_frame_file(self.address.digest)
            check_readable(Path(self.address.table))
            return images_of(self.address.table, self.address.column).read(self.address.row)
        except OSError as exc:
            raise BadExample(f"cannot be read: {exc.strerror or exc}") from exc


class TableImages:
    """The images of one column of a table, as files in the cache.

    Args:
        table: absolute path.
        column: that holds the images; empty for the first one that does.
        folder: for the files.
    """

    def __init__(self, table: str, column: str, folder: Path) -> None:
        self._table, self._column, self._folder = table, column, folder
        self._lock = threading.Lock()
        names = os.listdir(folder) if folder.is_dir() else []
        self._names = {int(name.split("-")[1]): name for name in names if _FILE.fullmatch(name)}

    def add(self, row: int, content: bytes) -> None:
        """Write the image of a row, unless it is there already."""
        name = f"row-{row}-{_digest(content)}"
        _write(self._folder / name, content)
        self._names[row] = name

    def path(self, row: int) -> Path:
        """Where the image of a row is; the folder of all images if that is not known."""
        return self._folder / self._names.get(row, "")

    def read(self, row: int) -> tuple[Path, bytes]:
        """The file of an image and its content; the table is read again if it is lost or damaged.

        Raises:
            BadExample: the table does not have it either.
            OSError: the file cannot be read.
        """
        intact = self._intact(row)
        if intact is None:
            with self._lock:
                intact = self._intact(row) or self._read_again(row)
        return intact

    def _read_again(self, row: int) -> tuple[Path, bytes]:
        try:
            for table_row in read_rows(Path(self._table), Columns(path=self._column or None), labelled=False):
                if table_row.content:
                    self.add(table_row.number, table_row.content)
        except InputError as exc:
            raise BadExample(f"cannot be read: {exc}") from exc
        intact = self._intact(row)
        if intact is None:
            raise BadExample(f"cannot be read: row {row} of {self._table} holds no image")
        return intact

    def _intact(self, row: int) -> tuple[Path, bytes] | None:
        path = self.path(row)
        return _intact(path, path.name.rpartition("-")[2]) if row in self._names else None


def images_of(table: str, column: str = "") -> TableImages:
    """The images of a table in its present state.

    Args:
        table: absolute path.
        column: that holds them; empty for the first one that does.
    """
    return _images_in(table_images_folder(), table, column, file_version(table) or "")


@lru_cache(maxsize=64)
def _images_in(cache: Path, table: str, column: str, version: str) -> TableImages:
    key = hashlib.sha256("\n".join((table, column, version)).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return TableImages(table, column, cache / f"{Path(table).stem}-{key}")


def image_namer(table: Any, root: Path, column: str = "") -> Callable[[int, bytes], str]:
    """A function that writes the image in a row of a table into the cache, and names it.

    Args:
        table: a DataFrame, or the path of a file.
        root: folder that names are relative to, absolute.
        column: that holds the images; empty for the first one that does.
    """
    if is_frame(table):
        return lambda row, content: str(add_frame_image(row, content))
    location = os.path.abspath(table)
    images, table_name = images_of(location, column), os.path.relpath(location, root)

    def name(row: int, content: bytes) -> str:
        images.add(row, content)
        return str(RowAddress(table_name, row, column))

    return name


def add_frame_image(row: int, content: bytes) -> RowAddress:
    """Write an image of a DataFrame into the cache, and return its address."""
    digest = _digest(content)
    _write(_frame_file(digest), content)
    return RowAddress(FRAME, row, digest=digest)


def _read_frame_file(digest: str) -> tuple[Path, bytes]:
    intact = _intact(_frame_file(digest), digest)
    if intact is None:
        raise BadExample("cannot be read: it is of a DataFrame, and no longer in the cache")
    return intact


def _frame_file(digest: str) -> Path:
    return table_images_folder() / FRAME / digest


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.stat().st_size != len(content):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path, shared=True) as partial:
            partial.write_bytes(content)


def _intact(path: Path, digest: str) -> tuple[Path, bytes] | None:
    """A file and its content, if it is there and has this digest. Another one is removed."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    if _digest(content) == digest:
        return path, content
    path.unlink(missing_ok=True)
    return None
