"""SQLite files of the cache, shared by the threads of this process and by other processes."""

import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from headstart.system.disk import no_room_error

logger = logging.getLogger(__name__)

_DAMAGED = ("unsupported file format", "decode", "malformed")
"""Parts of the messages of operational errors that come from the content of a file."""
_TIMEOUT_S = 60  # for a file that another process has locked


class Database:
    """One SQLite file. One that is damaged is removed, with one line, and a new one takes its place.

    Args:
        path: of the file; it and its folder are made where they are missing.
        schema: ``CREATE TABLE IF NOT EXISTS`` statements, separated by semicolons.
        companions: pattern of files beside it that are of no use without it, and are removed with it.
    """

    def __init__(self, path: Path, schema: str, companions: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._lock = path, threading.RLock()
        with _naming_full_disk(path):
            self._connection = _connect(path, schema) or _replace(path, schema, companions)
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._most_values = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - 8
        with self.transaction():
            for statement in schema.split(";"):
                self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make several changes at once, or none where an exception is raised."""
        with self._lock, _naming_full_disk(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._connection.execute("ROLLBACK")
                raise

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple]:
        """All rows that a statement gives. Texts that a damage made unreadable have the sign for unknown characters."""
        with self._lock:
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except (sqlite3.OperationalError, UnicodeDecodeError) as exc:
                if "decode" not in str(exc) or self._connection.text_factory is _decoded:
                    raise
                self._connection.text_factory = _decoded  # slower, so only for damaged files
                return self._connection.execute(sql, parameters).fetchall()

    def query_in(self, sql: str, values: Sequence[object], parameters: Sequence[object] = ()) -> Iterator[tuple]:
        """The rows of a statement that ends in ``IN``, for any number of values, with as few queries as SQLite allows.

        Args:
            sql: the statement.
            values: to look for.
            parameters: of the statement, before the values.
        """
        for start in range(0, len(values), self._most_values):
            block = values[start : start + self._most_values]
            yield from self.query(f"{sql} ({','.join('?' * len(block))})", (*parameters, *block))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def checksum(*values: object) -> int:
    """CRC-32 of a row of texts, bytes and None: a table that keeps it notices values that changed on the disk."""
    return zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


@contextmanager
def _naming_full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as exc:
        if "disk is full" in str(exc) or "disk I/O error" in str(exc):
            raise no_room_error(path.parent, f"the index {path.name}") from exc
        raise


def _connect(path: Path, schema: str) -> sqlite3.Connection | None:
    """Open a file; None if it is damaged.

    The whole check is made: the quick one does not see that keys are out of order, so that rows are not found.
    """
    connection = sqlite3.connect(path, timeout=_TIMEOUT_S, check_same_thread=False, isolation_level=None)
    try:
        _use_write_ahead_log(connection)
        if connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",) and _has_schema(connection, schema):
            return connection
    except sqlite3.OperationalError as exc:
        if not any(words in str(exc) for words in _DAMAGED):  # locked, no room, not allowed
            connection.close()
            raise
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # Python cannot always decode what SQLite says of a damage
        pass
    connection.close()
    return None


def _has_schema(connection: sqlite3.Connection, schema: str) -> bool:
    """Whether the tables that are there have the columns that they should have."""
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE type='table'").fetchall()
    present = {_without_spaces(sql) for (sql,) in rows}
    expected = {_without_spaces(statement.replace("IF NOT EXISTS ", "")) for statement in schema.split(";")}
    names = {sql.partition("(")[0] for sql in expected}
    return all(sql in expected for sql in present if sql.partition("(")[0] in names)


def _without_spaces(sql: str) -> str:
    return "".join(sql.split())


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch a new file to a write-ahead log: for a file in use, SQLite refuses this without its timeout."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _replace(path: Path, schema: str, companions: str | None) -> sqlite3.Connection:
    """Open a new file in place of a damaged one."""
    with FileLock(f"{path}.lock"):  # another process may be doing the same
        connection = _connect(path, schema)
        if connection is None:
            logger.warning(f"the cache is damaged: {path} cannot be read. What it held is computed again.")
            for file in (path, *path.parent.glob(f"{path.name}-*"), *path.parent.glob(companions or path.name)):
                file.unlink(missing_ok=True)
            connection = _connect(path, schema)
    if connection is None:
        raise sqlite3.DatabaseError(f"{path} cannot be read right after it was made")
    return connection
