"""The SQLite files of the cache, opened while another process has them."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from headstart.features.database import Database


def test_a_new_file_that_another_process_writes_is_waited_for(tmp_path: Path) -> None:
    """SQLite refuses at once to switch such a file to a write-ahead log: its timeout does not count there."""
    path = tmp_path / "index.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE numbers (value INTEGER)")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO numbers VALUES (1)")
        end = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        end.start()
        with closing(Database(path, "CREATE TABLE IF NOT EXISTS numbers (value INTEGER)")) as database:
            assert database.query("SELECT value FROM numbers") == [(1,)]
            assert database.query("PRAGMA journal_mode") == [("wal",)]
        end.join()
