"""Uploads: files as they come in, under names that can do no harm, and not more than there is room for."""

import os
import re
import shutil
import stat
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path, PurePosixPath
from uuid import uuid4

from headstart.data.dataset import TEXT_EXTENSIONS
from headstart.data.images import EXTENSIONS
from headstart.data.tables import is_table
from headstart.errors import InputError
from headstart.ui.place import UNFINISHED, Place

MAX_FILE_MB = 64
"""Of one file, but for archives and tables."""

CLEAN = "clean-"
"""How the name of a table begins that a check has made beside the data."""

_MAX_FILES = 100_000
_DEEPEST = 4  # train/class/folder/photo.jpg
_LONGEST_NAME = 100
_BLOCK = 1 << 20
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')


class Upload:
    """Files on their way from the browser into a folder, which counts when it is complete.

    Args:
        folder: where they go.
        max_mb: of all of them together.
    """

    def __init__(self, folder: Path, max_mb: int) -> None:
        self.folder, self.max_mb = folder, max_mb
        self._room, self._files = max_mb << 20, 0

    @classmethod
    def begin(cls, place: Place, name: str, max_mb: int) -> "Upload":
        """Make an empty one that is called something like ``name``."""
        folder = place.uploads / f"{clean_name(name) or 'upload'}-{uuid4().hex[:6]}"
        folder.mkdir()
        (folder / UNFINISHED).touch()
        return cls(folder, max_mb)

    async def receive(self, path: str, content: AsyncIterator[bytes]) -> None:
        """Take a picture, a text file, a table or a zip of those.

        Args:
            path: where it belongs: ``class/photo.jpg``.
            content: what comes in.

        Raises:
            InputError: it is something else, too large, or a zip that cannot be trusted.
        """
        place = _safe(path)
        is_zip = place.suffix.lower() == ".zip"
        if not is_zip and not _wanted(place):
            raise InputError(f"{place.name}: expected a picture, a text file, a table or a zip of those.")
        target = self.folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        self._count_file()
        target.unlink(missing_ok=True)
        most = None if is_zip or is_table(target) else MAX_FILE_MB << 20
        came = 0
        try:
            with open(target, "wb") as file:
                async for block in content:
                    came += len(block)
                    self._take(len(block), place.name, is_over=most is not None and came > most)
                    file.write(block)
        except BaseException:
            target.unlink(missing_ok=True)
            self._room += came
            raise

    def unpack(self) -> None:
        """Unpack every zip that was uploaded, where it lies, and remove it.

        Raises:
            InputError: one is damaged, encrypted, or too large unpacked.
        """
        for archive in [*self.folder.rglob("*.[zZ][iI][pP]")]:
            try:
                self._unpack(archive)
            finally:
                archive.unlink(missing_ok=True)

    def finish(self) -> Path:
        """End it; gives the data in it: a folder of class folders, or a table.

        Raises:
            InputError: nothing came that can be used.
        """
        self.unpack()
        data = data_in(self.folder)
        (self.folder / UNFINISHED).unlink()
        return data

    def abandon(self) -> None:
        """Leave nothing of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _count_file(self) -> None:
        self._files += 1
        if self._files > _MAX_FILES:
            raise InputError(f"that are more than {_MAX_FILES:,} files: name a folder on this machine instead.")

    def _take(self, size: int, name: str, *, is_over: bool = False) -> None:
        """Take some of the room that is left, which uploads of several files at once share.

        Raises:
            InputError: there is not so much of it, or the file is over its own limit.
        """
        self._room -= size
        if self._room < 0 or is_over:
            raise InputError(
                f"{name} is too large: {MAX_FILE_MB} MB a picture, and {self.max_mb:,} MB in all and unpacked, are "
                "taken (--max-upload-mb). Name a folder on this machine in place of uploading it."
            )

    def _unpack(self, archive: Path) -> None:
        """What is in a zip, as far as it can be data; sizes are counted as they come, for what it says may be lies."""
        try:
            with zipfile.ZipFile(archive) as opened:
                for entry in _entries(opened, archive.name):
                    self._count_file()
                    target = archive.parent / _safe(entry.filename)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(entry) as source, open(target, "wb") as file:
                        while block := source.read(_BLOCK):
                            self._take(len(block), archive.name)
                            file.write(block)
        except (InputError, MemoryError):
            raise
        except Exception as exc:  # what zipfile, zlib and lzma raise has no parent but this one
            raise InputError(f"{archive.name} cannot be unpacked: {exc or type(exc).__name__}.") from exc


def data_in(upload: Path) -> Path:
    """The data in an upload: a table that lies at its top, else the folder that the class folders are in.

    Raises:
        InputError: there are none.
    """
    found = upload
    while True:
        visible = [one for one in sorted(found.iterdir()) if not one.name.startswith(".")]
        entries = [one for one in visible if not one.name.startswith(CLEAN)] or visible
        if not entries:
            raise InputError("nothing was uploaded that can be used: expected pictures, texts or a table.")
        tables = [one for one in entries if is_table(one)]
        if len(tables) == 1:
            return tables[0]
        only = entries[0]
        if len(entries) > 1 or not only.is_dir() or not any(one.is_dir() for one in only.iterdir()):
            return found
        found = only


def _entries(opened: zipfile.ZipFile, name: str) -> Iterator[zipfile.ZipInfo]:
    """The entries of a zip that are wanted.

    Raises:
        InputError: one leads out of it or is a link, or there are too many.
    """
    entries = opened.infolist()
    if len(entries) > _MAX_FILES:
        raise InputError(f"{name} holds more than {_MAX_FILES:,} files.")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(
                f"{name} holds {entry.filename!r}, which leads out of it: such an archive is not unpacked."
            )
        if not entry.is_dir() and _wanted(path) and "__MACOSX" not in path.parts:
            yield entry


def _wanted(path: PurePosixPath) -> bool:
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in EXTENSIONS or path.suffix.lower() in TEXT_EXTENSIONS or is_table(Path(path))


def _safe(path: str) -> PurePosixPath:
    """A relative path of which every part is a plain name.

    Raises:
        InputError: nothing is left of it, or it is too deep.
    """
    parts = [name for part in re.split(r"[/\\]", path) if (name := clean_name(part))]
    if not parts or len(parts) > _DEEPEST + 1:
        raise InputError(f"{path!r} is no name for a file in a folder of its class.")
    return PurePosixPath(*parts)


def clean_name(name: str) -> str:
    """What can be the name of a file or folder on any machine; empty if nothing of it can."""
    plain = unicodedata.normalize("NFC", _FORBIDDEN.sub("-", name)).strip(" .")
    stem, suffix = os.path.splitext(plain)
    return stem[: _LONGEST_NAME - len(suffix)] + suffix
