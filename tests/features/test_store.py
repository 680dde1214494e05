"""The array store: any shape and dtype, by content and view."""

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from headstart.data.examples import FileExample, TextExample
from headstart.errors import IntegrityError
from headstart.features import store as module
from headstart.features.known_files import FileIndex, FileVersion, KnownFile
from headstart.features.store import ArrayStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ArrayStore]:
    with closing(ArrayStore(tmp_path / "store")) as opened:
        yield opened


def _digests(n: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(n)]


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5,), np.float32), ((3, 4, 2), np.float16), ((6, 6, 3), np.uint8), ((7,), np.int32)]
)
def test_arrays_of_any_form_come_back(store: ArrayStore, shape: tuple[int, ...], dtype: type) -> None:
    arrays = np.random.default_rng(0).integers(0, 255, (40, *shape)).astype(dtype)
    digests = _digests(40)
    store.append(digests[:25], arrays[:25])
    store.append(digests[25:], arrays[25:])
    store.append(digests[:1], arrays[1:2], view=3)
    assert store.locate(digests) == {}  # nothing counts before it is on disk
    store.commit()
    read = store.read([(digests[7], 0), None, (digests[30], 0), (digests[0], 3), (digests[0], 9)])
    assert (read.shape, read.dtype, read.are_stored.tolist()) == (shape, dtype, [True, False, True, True, False])
    assert np.array_equal(read.take([2, 0, 3, 2]), arrays[[30, 7, 1, 30]])
    assert np.array_equal(read.take([2, 3], slice(0, 1)), arrays[[30, 1]][..., :1])


def test_shards_end_by_size_and_stay_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 4 * 10 * 8)
    arrays, digests = np.random.default_rng(0).random((35, 10)), _digests(35)
    with closing(ArrayStore(tmp_path / "store")) as store:
        store.append(digests, arrays)
    assert len(list((tmp_path / "store").glob("shard-*.npy"))) == 9
    with closing(ArrayStore(tmp_path / "store")) as again:
        read = again.read([(digest, 0) for digest in digests])
    order = np.random.default_rng(1).permutation(35)
    assert np.array_equal(read.take(order), arrays[order])


def test_smaller_arrays_are_padded_with_zeros(store: ArrayStore) -> None:
    digests = _digests(3)
    store.append(digests[:2], np.ones((2, 3, 4), np.float16), shape=(5, 4))
    store.append(digests[2:], np.ones((1, 5, 4), np.float16), shape=(5, 4))
    store.commit()
    assert store.read([(digest, 0) for digest in digests]).take([0, 1, 2]).sum((1, 2)).tolist() == [12, 12, 20]


def test_another_form_is_refused(store: ArrayStore, tmp_path: Path) -> None:
    store.append(_digests(1), np.ones((1, 4), np.float32))
    store.commit()
    for wrong in (np.ones((1, 4), np.float16), np.ones((1, 5), np.float32)):
        with pytest.raises(IntegrityError, match=r"another shape or dtype than float.*Delete the folder"):
            store.append(_digests(1), wrong)


def test_more_keys_than_one_query_takes(store: ArrayStore) -> None:
    digests = _digests(70_000)
    store.append(digests, np.arange(70_000, dtype=np.float32)[:, np.newaxis])
    store.commit()
    assert store.read([(digest, 0) for digest in digests]).take([0, 69_999, 40_000])[:, 0].tolist() == [
        0,
        69_999,
        40_000,
    ]


def test_two_owners_share_the_work(tmp_path: Path) -> None:
    digests = _digests(10)
    with closing(ArrayStore(tmp_path)) as one, closing(ArrayStore(tmp_path)) as other:
        assert one.claim(digests[:6]) == set(digests[:6])
        assert other.claim(digests) == set(digests[6:])
        assert one.claim(digests) == set()
        one.append(digests[:2], np.ones((2, 3), np.float32))
        one.commit()
        one.release(digests[2:4])
        assert other.claim(digests) == set(digests[2:4])
    with closing(ArrayStore(tmp_path)) as third:
        assert third.claim(digests) == set(digests[2:])


def test_files_are_known_until_they_change(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(600)]
    for path in paths:
        path.write_bytes(b"x")
    examples = [FileExample(str(path)) for path in paths]
    with closing(FileIndex(tmp_path / "cache", "one")) as files:
        assert files.find(examples) == {}
        entries = [(version, KnownFile(b"d", None)) for example in examples if (version := FileVersion.of(example))]
        files.remember(entries)
        paths[3].write_bytes(b"longer")
        paths[4].unlink()
        found = files.find([TextExample("a text"), *examples])
        assert sorted(found) == [i + 1 for i in range(600) if i not in (3, 4)]
        assert found[1] == KnownFile(b"d", None)
    with closing(FileIndex(tmp_path / "cache", "another")) as files:
        assert files.find(examples) == {}


def _values(digests: list[bytes], view: int) -> np.ndarray:
    return np.array([[digest[0], digest[1], view] for digest in digests], np.float32)


def _store_values(folder: Path, digests: list[bytes]) -> np.ndarray:
    """Both views of some examples, computed where they are not stored or damaged, as every command does."""
    with closing(ArrayStore(folder)) as store:
        for view in (0, 1):
            store.remove_damaged(digests, view)
            stored = store.locate(digests, view)
            if missing := [digest for digest in digests if digest not in stored]:
                store.append(missing, _values(missing, view), view)
        store.commit()
        return store.read([(digest, view) for view in (0, 1) for digest in digests]).take(range(2 * len(digests)))


def test_bits_that_change_in_an_index_never_give_other_values(tmp_path: Path) -> None:
    """SQLite's quick check lets keys that are out of order pass, and a view could be taken for another one."""
    digests = _digests(40)
    expected = _store_values(tmp_path / "store", digests)
    with closing(sqlite3.connect(tmp_path / "store" / "index.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (tmp_path / "store" / "index.sqlite").read_bytes()
    used = [i for i, byte in enumerate(content) if byte]
    for seed in range(100):
        rng, changed = random.Random(seed), bytearray(content)
        for _ in range(rng.choice([1, 1, 5, 30, 200])):
            changed[rng.choice(used)] ^= 1 << rng.randrange(8)
        copy = Path(shutil.copytree(tmp_path / "store", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sqlite*")))
        (copy / "index.sqlite").write_bytes(changed)
        assert np.array_equal(_store_values(copy, digests), expected), seed
        shutil.rmtree(copy)
