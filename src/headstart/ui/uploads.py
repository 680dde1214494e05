"""Uploads: files from the browser, with safe names and within size limits."""

import os
import re
import shutil
import stat
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path, PurePosixPath
from uuid import uuid4

from headstart.data.boxes import layout, tables
from headstart.data.modalities import modalities
from headstart.data.table_files import is_table
from headstart.errors import InputError
from headstart.ui.root_folder import UNFINISHED, RootFolder

MAX_FILE_MB = 64
"""Largest size of one file; archives and tables may be larger."""

CLEAN = "clean-"
"""Prefix of the name of a table of usable examples that a check wrote."""

_MAX_FILES = 100_000
_MAX_DEPTH = 4  # train/class/folder/image.jpg
_MAX_NAME_BYTES = 120
_BLOCK = 1 << 20
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')


class _Names:
    """Gives every uploaded file a path of its own, and every folder one, however its name is cleaned or shortened."""

    def __init__(self) -> None:
        self._owners: dict[PurePosixPath, object] = {}

    def place(self, path: str, archive: PurePosixPath | None = None) -> PurePosixPath:
        """A relative path with only safe names; the same one for the same file.

        Args:
            path: as the browser or the archive gives it.
            archive: that it is in.

        Raises:
            InputError: the path is empty or too deep.
        """
        parts = [part for part in re.split(r"[/\\]", path) if clean_name(part)]
        if not parts or len(parts) > _MAX_DEPTH + 1:
            raise InputError(f"{path!r} is not a valid path: expected CLASS/FILE.")
        place = archive.parent if archive else PurePosixPath()
        for depth, part in enumerate(parts, 1):
            is_file = depth == len(parts)
            owner = (archive, part) if is_file else unicodedata.normalize("NFC", part)
            place = self._free(place / clean_name(part), owner)
        return place

    def _free(self, first_choice: PurePosixPath, owner: object) -> PurePosixPath:
        number, place = 1, first_choice
        while self._owners.setdefault(place, owner) != owner:
            number += 1
            place = first_choice.with_name(f"{first_choice.stem}-{number}{first_choice.suffix}")
        return place


class Upload:
    """An upload of files to a folder, which is used only when it is complete.

    Args:
        folder: for the files.
        max_mb: largest size of all files together.
    """

    def __init__(self, folder: Path, max_mb: int) -> None:
        self.folder, self.max_mb = folder, max_mb
        self._bytes_left, self._files, self._names = max_mb << 20, 0, _Names()

    @classmethod
    def begin(cls, root_folder: RootFolder, name: str, max_mb: int) -> "Upload":
        """Start an upload with an empty folder, named after ``name``."""
        folder = root_folder.uploads / f"{clean_name(name) or 'upload'}-{uuid4().hex[:6]}"
        folder.mkdir()
        (folder / UNFINISHED).touch()
        return cls(folder, max_mb)

    async def receive(self, path: str, content: AsyncIterator[bytes]) -> None:
        """Write an image, a text file, a table, a file of annotations, or a zip of those.

        Args:
            path: relative path of the file, such as ``class/image.jpg``.
            content: of the file, in blocks.

        Raises:
            InputError: another type of file, or too large.
        """
        relative_path = self._names.place(path)
        is_zip = relative_path.suffix.lower() == ".zip"
        if not is_zip and not _is_allowed(relative_path):
            raise InputError(
                f"{relative_path.name}: expected an image, a text file, a table, a file of annotations (XML, JSON, "
                "YAML) or a zip of those."
            )
        target = self.folder / relative_path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._count_file()
        target.unlink(missing_ok=True)
        max_bytes = None if is_zip or is_table(target) or _is_annotation(target) else MAX_FILE_MB << 20
        received = 0
        try:
            with open(target, "wb") as file:
                async for block in content:
                    received += len(block)
                    self._reserve(
                        len(block), relative_path.name, is_over=max_bytes is not None and received > max_bytes
                    )
                    file.write(block)
        except BaseException:
            target.unlink(missing_ok=True)
            self._bytes_left += received
            raise

    def unpack(self) -> None:
        """Unpack every uploaded zip in its folder, and remove it.

        Raises:
            InputError: a zip is damaged, encrypted, unsafe, or too large unpacked.
        """
        for archive in [*self.folder.rglob("*.[zZ][iI][pP]")]:
            try:
                self._unpack(archive)
            finally:
                archive.unlink(missing_ok=True)

    def finish(self) -> Path:
        """Finish the upload; returns the path of its data: a folder of class folders, or a table.

        Raises:
            InputError: it holds no usable files.
        """
        self.unpack()
        data = data_in(self.folder)
        (self.folder / UNFINISHED).unlink()
        return data

    def abandon(self) -> None:
        """Remove all files of the upload."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _count_file(self) -> None:
        self._files += 1
        if self._files > _MAX_FILES:
            raise InputError(f"more than {_MAX_FILES:,} files: use a folder on this machine instead.")

    def _reserve(self, size: int, name: str, *, is_over: bool = False) -> None:
        """Count bytes against the limit of the upload, which all its files share.

        Raises:
            InputError: the limit of the upload or of the file is exceeded.
        """
        self._bytes_left -= size
        if self._bytes_left < 0 or is_over:
            raise InputError(
                f"{name} is too large: the limits are {MAX_FILE_MB} MB for an image and {self.max_mb:,} MB for an "
                "unpacked upload. Use a folder on this machine instead."
            )

    def _unpack(self, archive: Path) -> None:
        """Unpack the usable files of a zip. Sizes are counted while unpacking: its header may be false."""
        inside = PurePosixPath(archive.relative_to(self.folder).as_posix())
        try:
            with zipfile.ZipFile(archive) as zip_file:
                for entry in _entries(zip_file, archive.name):
                    self._count_file()
                    target = self.folder / self._names.place(entry.filename, inside)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with zip_file.open(entry) as source, open(target, "wb") as file:
                        while block := source.read(_BLOCK):
                            self._reserve(len(block), archive.name)
                            file.write(block)
        except (InputError, MemoryError):
            raise
        except Exception as exc:  # the errors of zipfile, zlib and lzma have no other common base
            raise InputError(f"{archive.name} cannot be unpacked: {exc or type(exc).__name__}.") from exc


def data_in(upload: Path) -> Path:
    """The data in an upload: the folder with annotations of boxes, its table, or the folder with the class folders.

    Raises:
        InputError: it holds no usable files.
    """
    folder = upload
    while True:
        if any(reading.format != tables.NAME for reading in layout.readings(folder)):
            return folder
        visible = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        entries = [path for path in visible if not path.name.startswith(CLEAN)] or visible
        if not entries:
            raise InputError("the upload has no usable files: expected images, texts or a table.")
        table_files = [path for path in entries if is_table(path)]
        if len(table_files) == 1:
            return table_files[0]
        first = entries[0]
        if len(entries) > 1 or not first.is_dir() or not any(path.is_dir() for path in first.iterdir()):
            return folder
        folder = first


def _entries(zip_file: zipfile.ZipFile, name: str) -> Iterator[zipfile.ZipInfo]:
    """The usable entries of a zip.

    Raises:
        InputError: an entry is a link or is outside the folder, or the zip has too many entries.
    """
    entries = zip_file.infolist()
    if len(entries) > _MAX_FILES:
        raise InputError(f"{name} holds more than {_MAX_FILES:,} files.")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(
                f"{name} holds {entry.filename!r}, which is outside its folder or a link: the archive is refused."
            )
        if not entry.is_dir() and _is_allowed(path) and "__MACOSX" not in path.parts:
            yield entry


def _is_allowed(path: PurePosixPath) -> bool:
    if path.name.startswith("."):
        return False
    if is_table(Path(path)) or _is_annotation(path):
        return True
    return any(modality.has_file([path.name]) for modality in modalities())


def _is_annotation(path: PurePosixPath | Path) -> bool:
    return path.suffix.lower() in layout.EXTENSIONS


def clean_name(name: str) -> str:
    """A name that is valid for files and folders on any system; may be empty."""
    valid = unicodedata.normalize("NFC", _FORBIDDEN.sub("-", name)).strip(" .")
    stem, suffix = os.path.splitext(valid)
    longest = max(0, _MAX_NAME_BYTES - len(suffix.encode()))
    return stem.encode()[:longest].decode(errors="ignore") + suffix
