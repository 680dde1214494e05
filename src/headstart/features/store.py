"""The feature cache: content-keyed rows in plain ``.npy`` files, with a small SQLite index.

    <cache>/files.sqlite                     path, size, mtime -> content digest, or why the file cannot be used
    <cache>/looks/<decoder>/index.sqlite     content digest of a picture -> its header and fingerprint
    <cache>/features/<key>/index.sqlite      content digest, view -> shard, row
    <cache>/features/<key>/shard-….npy       float32 (capacity, d); one writer each, never rewritten

A row enters the index only after its values are on disk, so a process may be killed at any moment. Processes share the
work by claiming digests; each holds a file lock while it lives, which the operating system lets go of however it dies,
so a claim by the dead is seen at once and taken over.
"""

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from headstart.data.fingerprints import ImageInfo, pack, unpack
from headstart.errors import IntegrityError

SHARD_ROWS = 16_384
_AT_ONCE = 500  # SQLite limits the parameters of one statement

Digest = bytes


def is_held(lock: Path) -> bool:
    """Whether a living process holds a lock file; the system lets go of the locks of the dead."""
    if not lock.exists():
        return False
    probe = FileLock(lock)
    try:
        probe.acquire(timeout=0)
    except Timeout:
        return True
    probe.release()
    return False


class _Database:
    """One SQLite file, shared by this process's threads and by other processes."""

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        with self.transaction():
            for statement in schema.split(";"):
                self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        with self._lock:
            self._connection.close()


class KnownFile(NamedTuple):
    """What an earlier look at a file found: its content digest, and the reason if it could not be decoded."""

    digest: Digest
    problem: str | None


class FileIndex:
    """Remembers files by path, size and modification time, so that unchanged ones are not read again.

    What pictures look like is remembered by their content.

    Args:
        folder: the cache folder.
        decoder_key: what is remembered is of one decoder; another may be able to read the file, or see it otherwise.
    """

    def __init__(self, folder: Path, decoder_key: str) -> None:
        self._decoder_key = decoder_key
        self._database = _Database(
            folder / "files.sqlite",
            """CREATE TABLE IF NOT EXISTS files (
                 path TEXT, decoder TEXT, size INTEGER, mtime_ns INTEGER, digest BLOB, problem TEXT,
                 PRIMARY KEY (path, decoder)) WITHOUT ROWID""",
        )

    def look_up(self, path: Path) -> KnownFile | None:
        """What is known of this file, if it has not changed since."""
        try:
            stat = path.stat()
        except OSError:
            return None
        rows = self._database.query(
            "SELECT digest, problem FROM files WHERE path=? AND decoder=? AND size=? AND mtime_ns=?",
            (_text(path), self._decoder_key, stat.st_size, stat.st_mtime_ns),
        )
        return KnownFile(*rows[0]) if rows else None

    def remember(self, entries: Iterable[tuple[Path, os.stat_result, KnownFile]]) -> None:
        """Record files with the stat taken *before* they were read, so that a later change is noticed."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (_text(path), self._decoder_key, stat.st_size, stat.st_mtime_ns, known.digest, known.problem)
                    for path, stat, known in entries
                ],
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class ImageInfoStore:
    """Remembers what pictures look like, by their content.

    Args:
        folder: the cache folder.
        decoder_key: of the decoder: another one may cut them otherwise.
    """

    def __init__(self, folder: Path, decoder_key: str) -> None:
        self._database = _Database(
            folder / "looks" / decoder_key / "index.sqlite",
            "CREATE TABLE IF NOT EXISTS looks (digest BLOB PRIMARY KEY, header TEXT, fingerprint BLOB)",
        )

    def find(self, digests: Sequence[Digest]) -> dict[Digest, ImageInfo]:
        """What these pictures look like; those that were not looked at yet are absent."""
        found: dict[Digest, ImageInfo] = {}
        for block in _blocks(digests):
            rows = self._database.query(
                f"SELECT digest, header, fingerprint FROM looks WHERE digest IN ({_marks(block)})", block
            )
            found.update((digest, unpack(header, fingerprint)) for digest, header, fingerprint in rows)
        return found

    def remember(self, entries: Iterable[tuple[Digest, ImageInfo]]) -> None:
        """Record what pictures look like."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO looks VALUES (?, ?, ?)", [(digest, *pack(look)) for digest, look in entries]
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class FeatureStore:
    """Rows of features under one key: one base, preprocessing, decoder and engine precision.

    Args:
        folder: the cache folder.
        key: everything the values depend on besides an example's content, as one hex digest.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.key = key
        self.folder = folder / "features" / key[:32]
        self._database = _Database(
            self.folder / "index.sqlite",
            """CREATE TABLE IF NOT EXISTS rows (
                 digest BLOB, view INTEGER, shard TEXT, row INTEGER, PRIMARY KEY (digest, view)) WITHOUT ROWID;
               CREATE TABLE IF NOT EXISTS claims (
                 digest BLOB, view INTEGER, owner TEXT, PRIMARY KEY (digest, view)) WITHOUT ROWID""",
        )
        self._owner = uuid.uuid4().hex[:12]
        self._alive = FileLock(self._lock_path(self._owner))
        self._alive.acquire()
        self._shard: np.memmap | None = None
        self._shard_name, self._next_row = "", 0
        self._uncommitted: list[tuple[Digest, int, str, int]] = []

    def close(self) -> None:
        """Commit what is written, give back claims and let go of the lock."""
        self.commit()
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM claims WHERE owner=?", (self._owner,))
        self._database.close()
        self._alive.release()
        self._lock_path(self._owner).unlink(missing_ok=True)

    def locate(self, digests: Sequence[Digest], view: int = 0) -> dict[Digest, tuple[str, int]]:
        """Where the rows of these digests are: digest -> (shard, row); those not stored yet are absent."""
        found: dict[Digest, tuple[str, int]] = {}
        for block in _blocks(digests):
            rows = self._database.query(
                f"SELECT digest, shard, row FROM rows WHERE view=? AND digest IN ({_marks(block)})", (view, *block)
            )
            found.update((digest, (shard, row)) for digest, shard, row in rows)
        return found

    def claim(self, digests: Sequence[Digest], view: int = 0) -> set[Digest]:
        """Take on those of these digests that are neither stored nor being computed by a living process."""
        mine: set[Digest] = set()
        with self._database.transaction() as connection:
            for digest in digests:
                if connection.execute("SELECT 1 FROM rows WHERE digest=? AND view=?", (digest, view)).fetchone():
                    continue
                holder = connection.execute(
                    "SELECT owner FROM claims WHERE digest=? AND view=?", (digest, view)
                ).fetchone()
                if holder and holder[0] != self._owner and self._is_alive(holder[0]):
                    continue
                if holder is None or holder[0] != self._owner:
                    connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (digest, view, self._owner))
                    mine.add(digest)
        return mine

    def release(self, digest: Digest, view: int = 0) -> None:
        """Give a claim back: the example turned out to be unusable."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM claims WHERE digest=? AND view=? AND owner=?", (digest, view, self._owner))

    def append(self, digests: Sequence[Digest], rows: np.ndarray, view: int = 0) -> None:
        """Write rows, float32 (n, d), one per digest; they count as done after the next :meth:`commit`."""
        while len(rows):
            shard = self._shard_with_room(rows.shape[1])
            fitting = rows[: len(shard) - self._next_row]
            shard[self._next_row : self._next_row + len(fitting)] = fitting
            self._uncommitted += [
                (digest, view, self._shard_name, self._next_row + i) for i, digest in enumerate(digests[: len(fitting)])
            ]
            self._next_row += len(fitting)
            digests, rows = digests[len(fitting) :], rows[len(fitting) :]

    def commit(self) -> None:
        """Make what was appended durable, then visible: values to disk first, the index after."""
        if not self._uncommitted or self._shard is None:
            return
        self._shard.flush()
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", self._uncommitted)
            connection.executemany(
                "DELETE FROM claims WHERE digest=? AND view=?",
                [(digest, view) for digest, view, *_ in self._uncommitted],
            )
        self._uncommitted.clear()

    def open_shard(self, name: str) -> np.ndarray:
        """One shard as a read-only memory map, float32 (capacity, d).

        Raises:
            IntegrityError: the file is missing or shorter than its header says.
        """
        path = self.folder / name
        try:
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError) as exc:
            raise IntegrityError(
                f"the cached features in {path} are damaged ({exc}). Delete the folder {self.folder}; "
                "the next run computes them again."
            ) from exc

    def _shard_with_room(self, width: int) -> np.memmap:
        if self._shard is None or self._next_row == len(self._shard):
            self.commit()
            self._shard_name = f"shard-{uuid.uuid4().hex[:12]}.npy"
            self._shard = np.lib.format.open_memmap(
                self.folder / self._shard_name, mode="w+", dtype=np.float32, shape=(SHARD_ROWS, width)
            )
            self._next_row = 0
        return self._shard

    def _lock_path(self, owner: str) -> Path:
        return self.folder / f"{owner}.lock"

    def _is_alive(self, owner: str) -> bool:
        path = self._lock_path(owner)
        if is_held(path):
            return True
        path.unlink(missing_ok=True)
        return False


def _blocks(digests: Sequence[Digest]) -> Iterator[list[Digest]]:
    for start in range(0, len(digests), _AT_ONCE):
        yield list(digests[start : start + _AT_ONCE])


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _text(path: Path) -> str:
    """A path as SQLite takes it: bytes in it that are no text are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
