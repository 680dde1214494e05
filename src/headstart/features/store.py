"""The array store: arrays of any rank and dtype, found by the content that they were computed from.

    <folder>/index.sqlite     shape and dtype of every array; content digest, view -> shard, row, checksum
    <folder>/shard-….npy      (capacity, *shape), memory-mapped; one writer each, rows are never rewritten

A row enters the index only after its values are on disk, so a process may be killed at any moment. Rows whose values
do not fit their checksum any more leave it again (:meth:`ArrayStore.remove_damaged`). Processes share the
work by claiming digests. Each holds a lock while it lives (:mod:`headstart.system.locks`): another one takes over the
claims of a process that has ended at once, and of one that has stopped after a while.
"""

import json
import logging
import os
import uuid
import zlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from headstart.errors import IntegrityError, counted
from headstart.features.database import Database
from headstart.system.disk import check_room, is_full, no_room_error
from headstart.system.locks import HeldLock, Watch, is_held, remove_lock

logger = logging.getLogger(__name__)

SHARD_ROWS, SHARD_BYTES = 16_384, 2**30
"""A shard ends where it reaches either; the disk holds only the rows that are written."""

Digest = bytes
Key = tuple[Digest, int]
"""Content digest of an example, and the number of the view: 0 is the example as it is."""


def _checksum(key: Key, array: np.ndarray) -> int:
    """CRC-32 of the values, bound to the example and the view that they belong to."""
    digest, view = key
    start = zlib.crc32(str(view).encode() if view else b"", zlib.crc32(digest))
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, start)


def _shard_name(row: tuple) -> str:
    """The shard of a row; a damaged index may hold anything in its place."""
    return str(row[0])


class StoredArrays:
    """Arrays of a store in a chosen order, memory-mapped.

    Attributes:
        shape: of one array; empty if the store is empty.
        dtype: of them.
    """

    def __init__(
        self, shards: Sequence[np.ndarray], shard: np.ndarray, row: np.ndarray, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self._shards, self._shard, self._row = shards, shard, row
        self.shape, self.dtype = shape, dtype

    @property
    def are_stored(self) -> np.ndarray:
        """Whether the store has the array of each key: bool (n,)."""
        return self._shard >= 0

    def take(self, indices: Sequence[int] | np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        """The arrays at ``indices``, in that order, as one: (len(indices), *shape).

        Args:
            indices: of keys that were found.
            columns: of the last axis, to read these only.
        """
        indices = np.asarray(indices, np.int64)
        width = len(range(*columns.indices(self.shape[-1]))) if self.shape else 0
        out = np.empty((len(indices), *self.shape[:-1], width), self.dtype)
        shard, row = self._shard[indices], self._row[indices]
        for number in np.unique(shard[shard >= 0]):
            positions = np.flatnonzero(shard == number)
            out[positions] = self._shards[number][row[positions], ..., columns]
        return out


class ArrayStore:
    """Arrays of one shape and dtype, by content digest and view.

    Args:
        folder: of this store alone; everything the values depend on, besides the content of examples, names it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database = Database(
            folder / "index.sqlite",
            """CREATE TABLE IF NOT EXISTS form (id INTEGER PRIMARY KEY CHECK (id = 0), shape TEXT, dtype TEXT);
               CREATE TABLE IF NOT EXISTS rows (
                 digest BLOB, view INTEGER, shard TEXT, row INTEGER, crc INTEGER, PRIMARY KEY (digest, view))
                 WITHOUT ROWID;
               CREATE TABLE IF NOT EXISTS claims (
                 digest BLOB, view INTEGER, owner TEXT, PRIMARY KEY (digest, view)) WITHOUT ROWID""",
            companions="shard-*.npy",
        )
        self._owner = uuid.uuid4().hex[:12]
        self._alive = HeldLock(self._lock_path(self._owner))
        self._watches: dict[str, Watch] = {}
        self._stopped: set[str] = set()
        self._form = self._stored_form()
        self._shard: np.memmap | None = None
        self._shard_name, self._next_row = "", 0
        self._uncommitted: list[tuple[Digest, int, str, int, int]] = []

    def close(self) -> None:
        """Commit what is written, give back claims and release the lock."""
        self.commit()
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM claims WHERE owner=?", (self._owner,))
        self._database.close()
        self._alive.release()
        self._lock_path(self._owner).unlink(missing_ok=True)

    def locate(self, digests: Sequence[Digest], view: int = 0) -> dict[Digest, tuple[str, int]]:
        """Digest -> (shard, row) of its array; those that are not stored yet are absent."""
        rows = self._database.query_in(
            "SELECT digest, shard, row FROM rows WHERE view=? AND digest IN", digests, (view,)
        )
        return {digest: (shard, row) for digest, shard, row in rows}

    def remove_damaged(self, digests: Sequence[Digest], view: int = 0) -> None:
        """Forget those of these arrays whose values on the disk have changed, with one line: they count as new.

        That reads them all, and takes a second for about 5 GB.
        """
        rows = list(
            self._database.query_in(
                "SELECT shard, row, digest, crc FROM rows WHERE view=? AND digest IN", digests, (view,)
            )
        )
        damaged: list[Digest] = []
        for name, of_shard in groupby(sorted(rows, key=_shard_name), key=_shard_name):
            try:
                shard = self._open_shard(name)
            except IntegrityError:
                shard = np.empty(0)
            damaged += [
                digest
                for _, row, digest, crc in of_shard
                if not (isinstance(row, int) and 0 <= row < len(shard) and _checksum((digest, view), shard[row]) == crc)
            ]
        if damaged:
            logger.warning(
                f"the cache is damaged: {counted(len(damaged), 'array')} in {self.folder} changed on the disk. "
                "They are computed again."
            )
            with self._database.transaction() as connection:
                connection.executemany(
                    "DELETE FROM rows WHERE digest=? AND view=?", [(digest, view) for digest in damaged]
                )

    def read(self, keys: Sequence[Key | None]) -> StoredArrays:
        """The arrays of some keys, in that order; they stay readable after :meth:`close`.

        Args:
            keys: of the arrays; None for missing ones.

        Raises:
            IntegrityError: a shard is missing or damaged.
        """
        located = {
            (digest, view): place
            for view in sorted({key[1] for key in keys if key})
            for digest, place in self.locate([key[0] for key in keys if key and key[1] == view], view).items()
        }
        names = sorted({shard for shard, _ in located.values()})
        number = {name: i for i, name in enumerate(names)}
        shard, row = np.full(len(keys), -1, np.int32), np.zeros(len(keys), np.int64)
        for i, key in enumerate(keys):
            if key in located:
                name, row[i] = located[key]
                shard[i] = number[name]
        shape, dtype = self._form or self._stored_form() or ((), np.dtype(np.float32))
        return StoredArrays([self._open_shard(name) for name in names], shard, row, shape, dtype)

    def claim(self, digests: Sequence[Digest]) -> set[Digest]:
        """Take on those of these digests that are neither stored nor being computed, by this process or another."""
        with self._database.transaction() as connection:
            unavailable = self.locate(digests).keys() | self.claim_owners(digests).keys()
            claimed = set(digests) - unavailable
            connection.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?, 0, ?)", [(digest, self._owner) for digest in claimed]
            )
        return claimed

    def claim_owners(self, digests: Sequence[Digest]) -> dict[Digest, str]:
        """Digest -> process that is computing its array, for messages."""
        owners = dict(self._database.query_in("SELECT digest, owner FROM claims WHERE view=0 AND digest IN", digests))
        process = {owner: self._working_process(owner) for owner in set(owners.values())}
        return {digest: name for digest, owner in owners.items() if (name := process[owner])}

    def release(self, digests: Sequence[Digest]) -> None:
        """Give claims back: these examples turned out to be unusable."""
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE digest=? AND owner=?", [(digest, self._owner) for digest in digests]
            )

    def append(
        self, digests: Sequence[Digest], arrays: np.ndarray, view: int = 0, shape: tuple[int, ...] | None = None
    ) -> None:
        """Write arrays, one per digest; they count as done after the next :meth:`commit`.

        Args:
            digests: n content digests.
            arrays: (n, ...).
            view: number of the view that they are.
            shape: of one array in the store; those that are smaller are padded with zeros. None means they are not.

        Raises:
            IntegrityError: the store has arrays of another shape or dtype.
        """
        shape = arrays.shape[1:] if shape is None else shape
        if (shape, arrays.dtype) != self._form:
            self._set_form(shape, arrays.dtype)
        while len(arrays):
            shard = self._shard_with_room(shape, arrays.dtype)
            fitting = arrays[: len(shard) - self._next_row]
            rows = slice(self._next_row, self._next_row + len(fitting))
            self._reserve(shard, rows)
            shard[(rows, *map(slice, arrays.shape[1:]))] = fitting
            self._uncommitted += [
                (digest, view, self._shard_name, row, _checksum((digest, view), shard[row]))
                for row, digest in enumerate(digests[: len(fitting)], self._next_row)
            ]
            self._next_row += len(fitting)
            digests, arrays = digests[len(fitting) :], arrays[len(fitting) :]

    def commit(self) -> None:
        """Make what was appended durable, then visible: values to disk first, the index after."""
        if not self._uncommitted or self._shard is None:
            return
        self._shard.flush()
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", self._uncommitted)
            connection.executemany(
                "DELETE FROM claims WHERE digest=? AND view=?",
                [(digest, view) for digest, view, *_ in self._uncommitted],
            )
        self._uncommitted.clear()

    def _open_shard(self, name: str) -> np.ndarray:
        path, form = self.folder / name, self._form or self._stored_form()
        try:
            shard: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError, OverflowError, TypeError) as exc:
            raise self._damaged(f"{path} is damaged ({exc})") from exc
        if (shard.shape[1:], shard.dtype) != form:
            raise self._damaged(f"{path} holds {shard.dtype} {shard.shape[1:]}, and the index says otherwise")
        return shard

    def _shard_with_room(self, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
        if self._shard is None or self._next_row == len(self._shard):
            self.commit()
            self._shard_name = f"shard-{uuid.uuid4().hex[:12]}.npy"
            bytes_of_one = max(1, dtype.itemsize * int(np.prod(shape)))
            self._shard = np.lib.format.open_memmap(
                self.folder / self._shard_name,
                mode="w+",
                dtype=dtype,
                shape=(max(1, min(SHARD_ROWS, SHARD_BYTES // bytes_of_one)), *shape),
            )
            self._next_row = 0
        return self._shard

    def _reserve(self, shard: np.memmap, rows: slice) -> None:
        """Reserve disk space for some rows. A write into mapped memory without space ends the process.

        Raises:
            UnavailableError: the disk is full.
        """
        size = shard[0].nbytes * (rows.stop - rows.start)
        if not hasattr(os, "posix_fallocate"):
            check_room(self.folder, size, "cached arrays")
            return
        with open(self.folder / self._shard_name, "r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), shard.offset + shard[0].nbytes * rows.start, size)
            except OSError as exc:
                raise no_room_error(self.folder, "cached arrays") if is_full(exc) else exc from exc

    def _set_form(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        with self._database.transaction() as connection:
            is_empty = not connection.execute("SELECT 1 FROM rows LIMIT 1").fetchone()
            verb = "REPLACE" if is_empty else "IGNORE"
            connection.execute(f"INSERT OR {verb} INTO form VALUES (0, ?, ?)", (json.dumps(shape), dtype.str))
        self._form = self._stored_form()
        if self._form != (shape, dtype):
            raise self._damaged(f"{self.folder} holds arrays of another shape or dtype than {dtype} {shape}")

    def _stored_form(self) -> tuple[tuple[int, ...], np.dtype] | None:
        """Shape and dtype of one array; None while the store is empty, and where they cannot be read."""
        rows = self._database.query("SELECT shape, dtype FROM form")
        try:
            return (tuple(json.loads(rows[0][0])), np.dtype(rows[0][1])) if rows else None
        except (TypeError, ValueError):
            return None

    def _damaged(self, problem: str) -> IntegrityError:
        return IntegrityError(
            f"cached arrays: {problem}. Delete the folder {self.folder}; the next run computes them again."
        )

    def _lock_path(self, owner: str) -> Path:
        return self.folder / f"{owner}.lock"

    def _working_process(self, owner: str) -> str | None:
        """The process of an owner of claims; None if it has ended or stopped."""
        if owner == self._owner:
            return "this process"
        path = self._lock_path(owner)
        if not is_held(path):
            remove_lock(path)
            return None
        watch = self._watches.setdefault(owner, Watch(path))
        if not watch.has_stopped():
            return watch.process
        if owner not in self._stopped:
            self._stopped.add(owner)
            logger.warning(
                f"{watch.process} has stopped while computing features; this one computes its share as well."
            )
        return None
