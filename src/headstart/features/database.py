"""SQLite files of the cache, shared by the threads of this process and by other processes."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Database:
    """One SQLite file.

    Args:
        path: of the file; it and its folder are made where they are missing.
        schema: ``CREATE TABLE IF NOT EXISTS`` statements, separated by semicolons.
    """

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._most_values = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - 8
        with self.transaction():
            for statement in schema.split(";"):
                self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make several changes at once, or none where an exception is raised."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple]:
        """All rows that a statement gives."""
        with self._lock:
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
