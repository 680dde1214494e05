"""What the cache knows of files and images, so that unchanged ones are not read again.

<cache>/known-files/files.sqlite             location and version of a file -> content digest, or why it is unusable
<cache>/image-info/<reader>/images.sqlite    content digest of an image -> header and fingerprint

Every row has a checksum; one that does not fit any more counts as absent.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from headstart.data.examples import Example, is_url
from headstart.data.fingerprints import ImageInfo, pack, unpack
from headstart.data.parallel import map_ahead
from headstart.features.database import Database, checksum
from headstart.features.store import Digest


class KnownFile(NamedTuple):
    """What was found when a file was last read: its content digest, and the reason if it could not be decoded."""

    digest: Digest
    problem: str | None


class FileVersion(NamedTuple):
    """A file in one state.

    Attributes:
        location: absolute path, or URL.
        version: changes when the file does.
    """

    location: str
    version: str

    @classmethod
    def of(cls, example: Example) -> "FileVersion | None":
        """The present state of an example's file; None for a text in memory, and for a file that is not found."""
        version = example.version()
        return cls(example.location, version) if example.location and version else None


class FileIndex:
    """Remembers files by location and version.

    Args:
        folder: the cache folder.
        reader_key: of the reader that found what is remembered; another one may be able to read other files.
    """

    def __init__(self, folder: Path, reader_key: str) -> None:
        self._reader_key = reader_key
        self._database = Database(
            folder / "known-files" / "files.sqlite",
            """CREATE TABLE IF NOT EXISTS files (
                 location TEXT, reader TEXT, version TEXT, digest BLOB, problem TEXT, crc INTEGER,
                 PRIMARY KEY (location, reader)) WITHOUT ROWID""",
        )

    def find(self, examples: Sequence[Example]) -> dict[int, KnownFile]:
        """Index -> what is known of an example's file; those that are new or have changed are absent."""
        versions = _versions(examples)
        known_files = self._known_files({version.location: version.version for version in versions if version})
        return {
            i: known_files[version.location]
            for i, version in enumerate(versions)
            if version and version.location in known_files
        }

    def remember(self, entries: Iterable[tuple[FileVersion, KnownFile]]) -> None:
        """Record files with the version taken *before* they were read, so that a later change is noticed."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
                [_row(location, self._reader_key, version, file) for (location, version), file in entries],
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _known_files(self, versions: Mapping[str, str]) -> dict[str, KnownFile]:
        by_text = {_sql_text(location): location for location in versions}
        rows = self._database.query_in(
            "SELECT * FROM files WHERE reader=? AND location IN", list(by_text), (self._reader_key,)
        )
        return {
            by_text[text]: KnownFile(digest, problem)
            for text, reader, version, digest, problem, crc in rows
            if version == versions[by_text[text]] and crc == checksum(text, reader, version, digest, problem)
        }


class ImageInfoStore:
    """Remembers header and fingerprint of images, by their content.

    Args:
        folder: the cache folder.
        reader_key: of the reader: another one may crop images otherwise.
    """

    def __init__(self, folder: Path, reader_key: str) -> None:
        self._database = Database(
            folder / "image-info" / reader_key / "images.sqlite",
            """CREATE TABLE IF NOT EXISTS images (
                 digest BLOB PRIMARY KEY, header TEXT, fingerprint BLOB, crc INTEGER) WITHOUT ROWID""",
        )

    def find(self, digests: Sequence[Digest]) -> dict[Digest, ImageInfo]:
        """What is known of images with these digests; others are absent."""
        rows = self._database.query_in("SELECT * FROM images WHERE digest IN", digests)
        return {
            digest: unpack(header, fingerprint)
            for digest, header, fingerprint, crc in rows
            if crc == checksum(digest, header, fingerprint)
        }

    def remember(self, entries: Iterable[tuple[Digest, ImageInfo]]) -> None:
        """Record header and fingerprint of images."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?)",
                [(*row, checksum(*row)) for row in ((digest, *pack(info)) for digest, info in entries)],
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _versions(examples: Sequence[Example]) -> list[FileVersion | None]:
    """The present state of every example's file. Threads ask for those of URLs, each of which waits for the network."""
    if not any(example.location and is_url(example.location) for example in examples):
        return [FileVersion.of(example) for example in examples]
    return list(map_ahead(FileVersion.of, examples))


def _row(location: str, reader_key: str, version: str, file: KnownFile) -> tuple[object, ...]:
    row = (_sql_text(location), reader_key, version, *file)
    return (*row, checksum(*row))


def _sql_text(text: str) -> str:
    """A path as SQLite takes it: bytes in it that are not UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
