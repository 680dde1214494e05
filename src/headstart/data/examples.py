"""Examples: one image or text each, in a file named by its address, or a text held in memory.

An address is a local path or a URL of the kinds that fsspec opens, such as ``s3://bucket/cat.jpg``.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from headstart.errors import BadExample, UnavailableError
from headstart.system.extras import require
from headstart.system.settings import check_readable, is_offline, root_folder

MAX_BYTES = 512 * 1024 * 1024
"""Size limit of one file."""


_URL = "://"
_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Example(ABC):
    """One image or text.

    Attributes:
        name: what messages and answers call it; the address of a file, or the text itself, where nothing else is given.
    """

    name: str = field(default="", kw_only=True)

    @abstractmethod
    def read(self) -> bytes:
        """The content.

        Raises:
            BadExample: it cannot be read.
            UnavailableError: a package is missing that opens the address.
        """

    @property
    @abstractmethod
    def suffix(self) -> str | None:
        """The extension of a file; None for a text in memory."""

    @property
    @abstractmethod
    def location(self) -> str | None:
        """Absolute path or URL of a file; None for a text in memory."""

    @abstractmethod
    def version(self) -> str | None:
        """What changes when a file changes; None for a text in memory, and for a file that cannot be found."""

    @property
    def text(self) -> str:
        """The content of a text in memory; empty for a file."""
        return ""

    @property
    def length(self) -> int:
        """Characters of a text in memory; 0 for a file, whose length is not known before it is read."""
        return len(self.text)

    @abstractmethod
    def cell(self, folder: Path | None = None) -> tuple[str, str]:
        """The column of a table of data that holds the example, and its cell there.

        Args:
            folder: absolute; the paths of files below it are relative to it.
        """

    @abstractmethod
    def to_json(self) -> dict[str, str]:
        """As plain data that :func:`example_from_json` reads back in another process."""

    def digest(self) -> bytes:
        """SHA-256 of the content.

        Raises:
            BadExample: it cannot be read.
        """
        return hashlib.sha256(self.read()).digest()


@dataclass(frozen=True)
class FileExample(Example):
    """An image file or a text file.

    Attributes:
        address: local path, or URL.
    """

    address: str

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.address)

    @property
    def is_local(self) -> bool:
        """Whether the address is a path."""
        return not is_url(self.address)

    @property
    def suffix(self) -> str:
        """The extension, or empty."""
        return PurePath(self.address).suffix

    @cached_property
    def location(self) -> str:
        """Absolute path, or the URL."""
        return os.path.abspath(self.address) if self.is_local else self.address

    def version(self) -> str | None:
        """That of :func:`file_version` of a local file; of other files what fsspec has, such as S3's ETag.

        A web server's files count as unchanging: fsspec has only their address.
        """
        try:
            if self.is_local:
                return file_version(self.address)
            filesystem, path = _filesystem(self.address)
            return str(filesystem.ukey(path))
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - each filesystem has errors of its own; read() names them
            return None

    def read(self) -> bytes:
        """The content of the file.

        Raises:
            BadExample: it is missing, not readable, empty or too large, or lies outside the folder that may be read.
            UnavailableError: a package is missing that opens the URL; or the network must not be used.
        """
        data = _read_local(self.address) if self.is_local else _read_url(self.address)
        if not data:
            raise BadExample("empty: 0 bytes")
        check_pointer(data)
        return data

    def cell(self, folder: Path | None = None) -> tuple[str, str]:
        """Its location, in the column ``path``."""
        path = PurePath(self.location)
        is_below = folder is not None and self.is_local and path.is_relative_to(folder)
        return "path", str(path.relative_to(folder)) if folder and is_below else self.location

    def to_json(self) -> dict[str, str]:
        """As plain data."""
        return {"address": self.address, "name": self.name}


@dataclass(frozen=True)
class TextExample(Example):
    """A text in memory.

    Attributes:
        content: the text; bytes that were not UTF-8 are lone surrogates in it, and a tokenizer refuses them.
    """

    content: str

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.content)

    @property
    def suffix(self) -> None:
        """A text in memory has none."""
        return None

    @property
    def location(self) -> None:
        """A text in memory has none."""
        return None

    @property
    def text(self) -> str:
        """The content."""
        return self.content

    def version(self) -> None:
        """A text in memory does not change."""
        return

    def read(self) -> bytes:
        """The text in UTF-8."""
        return self.content.encode("utf-8", "surrogateescape")

    def cell(self, folder: Path | None = None) -> tuple[str, str]:
        """The content, in the column ``text``."""
        return "text", self.content

    def to_json(self) -> dict[str, str]:
        """As plain data."""
        return {"content": self.content, "name": self.name}


def file_version(path: str) -> str | None:
    """Size, number and times of a local file; None if it is not there.

    The time of the last change of the content is not enough: ``cp -p``, archives and synchronisation set it to that of
    the file they copy. The time of the last change of the inode, which no program can set, tells them apart.
    """
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


@dataclass(frozen=True)
class UnusableExample(TextExample):
    """A row of a table that is no example.

    Attributes:
        reason: why it is none.
    """

    content: str = ""
    reason: str = ""

    def read(self) -> bytes:
        """Give the reason.

        Raises:
            BadExample: always.
        """
        raise BadExample(self.reason)


def example_from_json(fields: dict[str, str]) -> Example:
    """The example that :meth:`Example.to_json` described."""
    return FileExample(**fields) if "address" in fields else TextExample(**fields)


def file_in(root: Path, file: str) -> FileExample:
    """The file that a table names: by a URL, or by a path from the folder ``root``."""
    return FileExample(file if is_url(file) else os.path.join(root, file))


def is_url(address: str) -> bool:
    """Whether an address is a URL and not a local path."""
    return _URL in address


def check_pointer(data: bytes) -> None:
    """See that the content of a file is not what Git LFS leaves in its place.

    Raises:
        BadExample: it is.
    """
    if data.startswith(_LFS):
        raise BadExample("a Git LFS pointer instead of the file: run `git lfs pull` in its repository")


def _read_local(path: str) -> bytes:
    try:
        check_readable(Path(path))
        _check_size(os.stat(path).st_size)
        return Path(path).read_bytes()
    except OSError as exc:
        raise BadExample(f"cannot be read: {exc.strerror or exc}") from exc


def _read_url(url: str) -> bytes:
    try:
        filesystem, path = _filesystem(url)
        _check_size(filesystem.size(path) or 0)
        content: bytes = filesystem.cat_file(path)
    except (BadExample, UnavailableError):
        raise
    except Exception as exc:  # each filesystem has errors of its own
        raise BadExample(f"cannot be read: {' '.join(str(exc).split()) or type(exc).__name__}") from exc
    return content


def _filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path in it.

    Raises:
        BadExample: only local files may be read, or there is no such kind of URL.
        UnavailableError: a package is missing that opens the URL; or the network must not be used.
    """
    if root := root_folder():
        raise BadExample(f"cannot be read: is outside {root}, and only files inside it may be read")
    fsspec = require("fsspec", extra="remote", purpose=f"reading {url}")
    protocol = url.split(_URL, 1)[0]
    if is_offline() and protocol not in ("file", "memory"):
        raise UnavailableError(f"{url} cannot be read offline: copy the files to this machine, or allow the network.")
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as exc:
        raise UnavailableError(f"reading {url} needs another Python package: {exc}.") from exc
    except ValueError as exc:
        raise BadExample(f"cannot be read: {exc}") from exc
    return filesystem, str(path)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise BadExample(f"too large: {size / 2**20:,.0f} MiB, and at most {MAX_BYTES // 2**20} are read")
